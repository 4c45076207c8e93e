"""What a controller has asked for and not yet seen: keeps it from creating twice on a stale cache.

After a batch of creations or deletions the controller does nothing for that key until its informer has
shown them all, or until they are so late that something must have gone wrong (upstream: 5 minutes).
Deletions are known by uid, so that one that is reported twice is counted once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

EXPIRES_AFTER = 300.0


@dataclass
class _Expected:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """For each controller key, the creations and deletions that its informer has still to show."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._expected: dict[str, _Expected] = {}

    def expect_creations(self, key: str, count: int) -> None:
        with self._lock:
            self._of(key).creations += count

    def expect_deletions(self, key: str, uids: Iterable[str]) -> None:
        with self._lock:
            self._of(key).deletions.update(uids)

    def creation_seen(self, key: str) -> None:
        """A creation was seen, or will never be because the call failed."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is not None and expected.creations > 0:
                expected.creations -= 1

    def deletion_seen(self, key: str, uid: str) -> None:
        """A deletion was seen (also its beginning), or will never be because the call failed."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is not None:
                expected.deletions.discard(uid)

    def satisfied(self, key: str) -> bool:
        """May the controller trust its cache for this key?"""
        with self._lock:
            expected = self._expected.get(key)
            if expected is None or (expected.creations <= 0 and not expected.deletions):
                return True
            return self._clock() - expected.since > EXPIRES_AFTER

    def forget(self, key: str) -> None:
        """The controller's object is gone."""
        with self._lock:
            self._expected.pop(key, None)

    def _of(self, key: str) -> _Expected:
        """What is expected now: everything fulfilled or expired starts anew."""
        expected = self._expected.get(key)
        fresh = expected is not None and (expected.creations > 0 or expected.deletions)
        if expected is None or not fresh or self._clock() - expected.since > EXPIRES_AFTER:
            expected = self._expected[key] = _Expected(self._clock())
        return expected
