"""Keep a controller from creating twice because its informer is behind (upstream: controller_utils.go).

A ReplicationController that has created three pods may be reconciled again before the informer shows them. It would
count none and create three more. So it notes before each batch what it expects its informer to show, and does nothing
for that key until that was seen; or until EXPIRES_AFTER, by which time something must have gone wrong.

Creations are counted, since names are not known before. Deletions are known by uid, so that one that is seen twice
(its beginning and its end) counts once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

EXPIRES_AFTER = 300.0  # seconds, as upstream


@dataclass
class _Expected:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """For each key of a controller, the creations and deletions that its informer has not shown yet."""

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
        """Expect one creation less: the informer showed it, or the call failed."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is not None and expected.creations > 0:
                expected.creations -= 1

    def deletion_seen(self, key: str, uid: str) -> None:
        """Expect this deletion no longer: the informer showed it or its beginning, or the call failed."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is not None:
                expected.deletions.discard(uid)

    def satisfied(self, key: str) -> bool:
        """Return whether the informer has shown everything that was expected, or the expectations have expired."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is None or (expected.creations <= 0 and not expected.deletions):
                return True
            return self._clock() - expected.since > EXPIRES_AFTER

    def forget(self, key: str) -> None:
        """Drop a key whose object is deleted."""
        with self._lock:
            self._expected.pop(key, None)

    def _of(self, key: str) -> _Expected:
        """Return the expectations to add to; those that are fulfilled or have expired are replaced by new ones."""
        expected = self._expected.get(key)
        pending = expected is not None and (expected.creations > 0 or expected.deletions)
        if expected is None or not pending or self._clock() - expected.since > EXPIRES_AFTER:
            expected = self._expected[key] = _Expected(self._clock())
        return expected
