"""Limits for work that is less urgent: so many at once (Limiter), and not while something is being started (Starts)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Limiter:
    """Lets at most ``most`` keys through at once.

    ``wake`` is called, without a lock held, with the key that has waited longest when another is released.
    """

    def __init__(self, most: int, wake: Callable[[str], None]) -> None:
        self._free = most
        self._wake = wake
        self._lock = threading.Lock()
        self._holders: set[str] = set()
        self._waiting: dict[str, None] = {}  # in the order of asking

    def acquire(self, key: str) -> bool:
        """Return True if ``key`` may go on now; if not, it will be woken to ask again."""
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

    def release(self, key: str) -> None:
        """Let another key through in place of ``key``, if that was let through."""
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


class Starts:
    """Counts what is being started, so that less urgent work can wait for it."""

    def __init__(self) -> None:
        self._quiet = threading.Condition()
        self._count = 0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Count something as being started for as long as the block runs."""
        with self._quiet:
            self._count += 1
        try:
            yield
        finally:
            with self._quiet:
                self._count -= 1
                self._quiet.notify_all()

    def wait(self, most: float) -> None:
        """Return when nothing is being started, and after ``most`` seconds in any case."""
        with self._quiet:
            self._quiet.wait_for(lambda: self._count == 0, most)
