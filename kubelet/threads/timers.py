"""One thread that calls functions when their time comes: a heap of deadlines instead of a ticking thread for each.

What it calls must be short; long work goes to a Pool.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Timers:
    """Calls functions after some seconds, one after the other in one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._stopped = False

    def start(self) -> None:
        threading.Thread(target=self._run, name="timers", daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._heap, (self._clock() + seconds, next(self._numbers), call))
            self._changed.notify()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:
                log.exception("A timer's call failed")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                if not self._heap:
                    self._changed.wait()
                elif (rest := self._heap[0][0] - self._clock()) > 0:
                    self._changed.wait(rest)
                else:
                    return heapq.heappop(self._heap)[2]
            return None
