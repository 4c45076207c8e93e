"""The work queue of a controller: keys of objects, each given to one worker at a time, with delays and backoff.

A key says which object to look at, not what happened to it, so that many events of one object become one piece of work.
What the queue guarantees (as client-go's ``util/workqueue`` does):

1. A key that waits is in the queue once, however often it is added.
2. No two workers process the same key: between ``get`` and ``done`` nobody else is given it.
3. A key that is added while a worker processes it is given out once more after ``done``. So the worker may have read
   the object before the change that the event was about; the second time it cannot have.
4. Keys come out in the order in which they became ready.
5. After ``shut_down`` every ``get`` returns None, also one that waits already, and adding has no effect. No work is
   lost by that: a reconciler is level-triggered, and looks at all objects when it starts again.

There is no thread for delayed keys: a waiting ``get`` sleeps until the earliest of them is due.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable

from machinery.queuemetrics import QueueMetrics

# Upstream's backoff of each key, in seconds (DefaultTypedControllerRateLimiter).
BASE_DELAY = 0.005
MAX_DELAY = 1000.0


class WorkQueue:
    """See the file's docstring. ``name`` is the queue's label in metrics, ``clock`` gives monotonic seconds."""

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
        self._dirty: set[str] = set()  # keys that wait in _ready, or were added while a worker has them
        self._processing: set[str] = set()
        self._delayed: list[tuple[float, str]] = []  # a heap by time; an entry is void if _due has another time
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._shut_down = False
        self._metrics = QueueMetrics(name, clock)

    def __len__(self) -> int:
        """Return the number of keys that are ready for a worker; neither delayed nor processed ones."""
        with self._changed:
            return len(self._ready)

    def add(self, key: str) -> None:
        with self._changed:
            self._add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Add the key after a delay. If it has a delay already, the earlier of the two counts."""
        if seconds <= 0:
            return self.add(key)
        with self._changed:
            due = self._clock() + seconds
            if self._shut_down or self._due.get(key, due) < due:
                return None
            self._due[key] = due
            heapq.heappush(self._delayed, (due, key))
            if self._delayed[0] == (due, key):
                self._changed.notify()  # A worker in get() must wake up earlier than it meant to.
        return None

    def add_rate_limited(self, key: str, *, most: float | None = None) -> None:
        """Add the key after its backoff: BASE_DELAY, which doubles with each call until ``forget``.

        ``most`` is an upper limit in seconds for this time, instead of MAX_DELAY.
        """
        with self._changed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            self._metrics.retried()
        longest = self._max_delay if most is None else most
        self.add_after(key, min(self._base_delay * 2.0 ** min(failures, 60), longest))

    def failures(self, key: str) -> int:
        """Return how often the key was added rate-limited since it was last forgotten."""
        with self._changed:
            return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        """Let the key's next backoff begin at BASE_DELAY, because it was reconciled."""
        with self._changed:
            self._failures.pop(key, None)

    def get(self, timeout: float | None = None) -> str | None:
        """Wait for a key to process; the caller must call ``done``. None after ``shut_down`` or ``timeout`` seconds."""
        with self._changed:
            deadline = None if timeout is None else self._clock() + timeout
            while True:
                if self._shut_down:
                    return None
                self._take_due()
                if self._ready:
                    key = self._ready.popleft()
                    self._dirty.discard(key)
                    self._processing.add(key)
                    self._metrics.taken(key)
                    if self._ready:
                        # Several delayed keys may have become ready, for which only this worker woke up.
                        self._changed.notify()
                    return key
                now = self._clock()
                if deadline is not None and now >= deadline:
                    return None
                earliest = self._delayed[0][0] if self._delayed else None
                ends = [at for at in (deadline, earliest) if at is not None]
                self._changed.wait(min(ends) - now if ends else None)

    def done(self, key: str) -> None:
        """End the processing of a key that ``get`` returned."""
        with self._changed:
            self._processing.discard(key)
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
        if key not in self._processing:
            self._ready.append(key)
            self._changed.notify()

    def _take_due(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            due, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key)
