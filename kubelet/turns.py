"""Who may do something of which only a few are to go on at once; the others are told when their turn comes."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Turns:
    """``wake`` is called, without a lock held, with the key of whoever waited longest when a turn is given back."""

    def __init__(self, most: int, wake: Callable[[str], None]) -> None:
        self._free = most
        self._wake = wake
        self._lock = threading.Lock()
        self._holders: set[str] = set()
        self._waiting: dict[str, None] = {}  # in the order of asking

    def take(self, key: str) -> bool:
        """Whether ``key`` has a turn now; if not, it will be woken to ask again."""
        with self._lock:
            if key in self._holders:
                return True
            if self._free == 0:
                self._waiting[key] = None
                return False
            self._free -= 1
            self._holders.add(key)
            self._waiting.pop(key, None)
            return True

    def give_back(self, key: str) -> None:
        """Ends the turn of ``key``, if it has one."""
        with self._lock:
            if key not in self._holders:
                return
            self._holders.remove(key)
            self._free += 1
            following = next(iter(self._waiting), None)
            if following is not None:
                del self._waiting[following]
        if following is not None:
            self._wake(following)
