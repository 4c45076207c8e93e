"""The threads that serve requests: started when they are needed, and ended when they are not.

Python's own pool keeps every thread that it ever started, so that one crowd of clients would cost its memory for good.
Here the thread that became idle last gets the next work (its memory is the warmest), and one that has been idle for a
while ends.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

Work = Callable[[], object]

# Seconds after which an idle thread ends.
IDLE = 5.0


class Threads:
    """A pool of at most ``most`` threads. Work that comes while all are busy waits in a queue."""

    def __init__(self, most: int, idle: float = IDLE) -> None:
        self._most = most
        self._idle_seconds = idle
        self._lock = threading.Lock()
        self._idle: list[_Thread] = []
        self._waiting: deque[Work] = deque()
        self._count = 0
        self._started = 0
        self._ended = False

    def submit(self, work: Work) -> None:
        """Have a thread call ``work``, whose result is dropped and whose error is logged. Raises RuntimeError."""
        with self._lock:
            if self._ended:
                raise RuntimeError("the threads have been told to end")
            if self._idle:
                self._idle.pop().give(work)
            elif self._count < self._most:
                self._count += 1
                self._started += 1
                _Thread(self, work, f"request-{self._started}").start()
            else:
                self._waiting.append(work)

    @property
    def idle(self) -> int:
        """The number of threads that wait for work."""
        return len(self._idle)

    def shutdown(self) -> None:
        """Let idle threads end at once, and busy ones when they and the queue are done. Returns without waiting."""
        with self._lock:
            self._ended = True
            for thread in self._idle:
                thread.give(None)
            self._idle.clear()

    def next_for(self, thread: _Thread) -> Work | None:
        """Wait for the next work of a thread that is done with its last; return None if it shall end."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._ended:
                return None
            self._idle.append(thread)
        if not thread.has_been_given(self._idle_seconds):
            with self._lock:
                if thread in self._idle:
                    self._idle.remove(thread)
                    self._count -= 1
                    return None
            thread.has_been_given()  # It was taken off the list of idle ones after its wait had ended: work is coming.
        return thread.work


class _Thread(threading.Thread):
    """A thread of the pool. Its lock is held while it has no work, so that acquiring it means waiting for work."""

    def __init__(self, pool: Threads, work: Work, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.work: Work | None = work
        self._pool = pool
        self._given = threading.Lock()
        self._given.acquire()

    def run(self) -> None:
        while self.work is not None:
            try:
                self.work()
            except Exception:
                log.exception("an unexpected error")
            self.work = None
            self.work = self._pool.next_for(self)

    def give(self, work: Work | None) -> None:
        self.work = work
        self._given.release()

    def has_been_given(self, seconds: float = -1) -> bool:
        return self._given.acquire(timeout=seconds)
