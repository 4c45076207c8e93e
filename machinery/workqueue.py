"""The work queue of a reconciler: keys in, one worker a key out, with delays and per-key backoff.

Invariants:
1. A key that waits is there once, however often it is added.
2. No two workers hold the same key: between ``get`` and ``done`` nobody else is given it.
3. A key that is added while it is held is given out once more after ``done``.
4. Keys come out in the order in which they became due.
5. After ``shut_down`` every ``get``, also one that waits, returns None; adding is ignored. Nothing is
   lost by that: reconcilers are level-triggered and look at everything again when they start.

Delayed keys need no thread: a waiting ``get`` sleeps until the earliest of them is due.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable

from machinery.queuemetrics import QueueMetrics

# Upstream's per-item exponential backoff.
BASE_DELAY = 0.005
MAX_DELAY = 1000.0


class WorkQueue:
    """See the module's docstring. ``clock`` is monotonic seconds; ``name`` is the queue's in metrics."""

    def __init__(
        self,
        name: str = "",
        *,
        base_delay: float = BASE_DELAY,
        max_delay: float = MAX_DELAY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()  # waits in _ready, or was added while it is held
        self._held: set[str] = set()
        self._delayed: list[tuple[float, str]] = []  # heap; entries that _due does not confirm are void
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._shut_down = False
        self._metrics = QueueMetrics(name, clock)

    def __len__(self) -> int:
        """How many keys are ready for a worker."""
        with self._changed:
            return len(self._ready)

    def add(self, key: str) -> None:
        with self._changed:
            self._add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Adds the key later; of several delays for one key the shortest counts."""
        if seconds <= 0:
            return self.add(key)
        with self._changed:
            due = self._clock() + seconds
            if self._shut_down or self._due.get(key, due) < due:
                return None
            self._due[key] = due
            heapq.heappush(self._delayed, (due, key))
            if self._delayed[0] == (due, key):
                self._changed.notify()  # a waiting get must sleep less long
        return None

    def add_rate_limited(self, key: str, *, most: float | None = None) -> None:
        """Adds the key after its backoff, which doubles with each call until ``forget``; ``most`` seconds at most."""
        with self._changed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            self._metrics.retried()
        longest = self._max_delay if most is None else most
        self.add_after(key, min(self._base_delay * 2.0 ** min(failures, 60), longest))

    def failures(self, key: str) -> int:
        """How often the key was rate-limited since it was last forgotten."""
        with self._changed:
            return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        """The key is fine again: its next backoff starts anew."""
        with self._changed:
            self._failures.pop(key, None)

    def get(self, timeout: float | None = None) -> str | None:
        """Waits for a key and holds it; None after ``shut_down`` or when the timeout is over."""
        with self._changed:
            deadline = None if timeout is None else self._clock() + timeout
            while True:
                if self._shut_down:
                    return None
                self._take_due()
                if self._ready:
                    key = self._ready.popleft()
                    self._dirty.discard(key)
                    self._held.add(key)
                    self._metrics.taken(key)
                    if self._ready:
                        self._changed.notify()  # one add may have woken this worker for several keys
                    return key
                now = self._clock()
                if deadline is not None and now >= deadline:
                    return None
                earliest = self._delayed[0][0] if self._delayed else None
                ends = [at for at in (deadline, earliest) if at is not None]
                self._changed.wait(min(ends) - now if ends else None)

    def done(self, key: str) -> None:
        """Lets go of a key that ``get`` gave out."""
        with self._changed:
            self._held.discard(key)
            self._metrics.done(key)
            if key in self._dirty:
                self._ready.append(key)
                self._changed.notify()

    def shut_down(self) -> None:
        with self._changed:
            self._shut_down = True
            self._changed.notify_all()

    def _add(self, key: str) -> None:
        if self._shut_down or key in self._dirty:
            return
        self._dirty.add(key)
        self._metrics.added(key)
        if key not in self._held:
            self._ready.append(key)
            self._changed.notify()

    def _take_due(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            due, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key)
