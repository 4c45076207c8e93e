"""The threads that serve requests: started when they are needed, and gone again when they are not.

Python's own pool keeps every thread that it ever started, so that one crowd of clients would cost its memory for good.
Here the thread that was idle last works next, and one that has been idle for a while ends.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Seconds after which an idle thread ends.
IDLE = 5.0


class Threads(Executor):
    """At most so many threads; what comes when all are busy waits in line."""

    def __init__(self, most: int, idle: float = IDLE) -> None:
        self._most = most
        self._idle_seconds = idle
        self._lock = threading.Lock()
        self._idle: list[_Thread] = []
        self._waiting: deque[_Work] = deque()
        self._count = 0
        self._started = 0
        self._ended = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        work = _Work(fn, args, kwargs)
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
        return work.future

    @property
    def idle(self) -> int:
        """How many of the threads wait for work."""
        return len(self._idle)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Idle threads end at once, busy ones when they are done; nobody waits for them."""
        with self._lock:
            self._ended = True
            for thread in self._idle:
                thread.give(None)
            self._idle.clear()

    def next_for(self, thread: _Thread) -> _Work | None:
        """What an idle thread does next, waiting for it; None: it ends."""
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
            thread.has_been_given()  # in the last moment
        return thread.work


class _Work:
    def __init__(self, function: Callable[..., Any], arguments: Any, keywords: Any) -> None:
        self.future: Future[Any] = Future()
        self._call = (function, arguments, keywords)

    def do(self) -> None:
        function, arguments, keywords = self._call
        try:
            result = function(*arguments, **keywords)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class _Thread(threading.Thread):
    """Its lock is held until there is work."""

    def __init__(self, pool: Threads, work: _Work, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.work: _Work | None = work
        self._pool = pool
        self._given = threading.Lock()
        self._given.acquire()

    def run(self) -> None:
        while self.work is not None:
            self.work.do()
            self.work = None
            self.work = self._pool.next_for(self)

    def give(self, work: _Work | None) -> None:
        self.work = work
        self._given.release()

    def has_been_given(self, seconds: float = -1) -> bool:
        return self._given.acquire(timeout=seconds)
