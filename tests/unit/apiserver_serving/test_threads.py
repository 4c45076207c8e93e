"""The pool of threads that serve requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pytest

from apiserver.serving.threads import Threads

T = TypeVar("T")


def submit(pool: Threads, function: Callable[[], T]) -> Future[T]:
    """Have a thread of the pool call the function; the future gets its result."""
    future: Future[T] = Future()
    pool.submit(lambda: future.set_result(function()))
    return future


def test_an_error_is_logged_and_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    pool = Threads(1)
    pool.submit(lambda: divmod(1, 0))
    assert submit(pool, lambda: 8).result(5) == 8
    [entry] = caplog.records
    assert entry.levelno == logging.ERROR and entry.exc_info and entry.exc_info[0] is ZeroDivisionError
    pool.shutdown()


def test_as_many_threads_as_needed_and_no_more_than_allowed() -> None:
    pool, go, busy = Threads(3), threading.Event(), threading.Semaphore(0)

    def work() -> str:
        busy.release()
        assert go.wait(5)
        return threading.current_thread().name

    futures = [submit(pool, work) for _ in range(5)]
    for _ in range(3):
        assert busy.acquire(timeout=5)
    assert not busy.acquire(blocking=False), "the others wait in line"
    go.set()
    assert len({future.result(5) for future in futures}) == 3
    pool.shutdown()


def test_the_thread_that_was_idle_last_works_next() -> None:
    pool, both = Threads(10), threading.Barrier(2)

    def name() -> str:
        return threading.current_thread().name

    for future in [submit(pool, lambda: both.wait(5)) for _ in range(2)]:
        future.result(5)
    names = set()
    for _ in range(20):
        # A result may be there before its thread is idle, which there is no event for.
        while pool.idle < 2:
            time.sleep(0)
        names.add(submit(pool, name).result(5))
    assert len(names) == 1
    pool.shutdown()


def test_idle_threads_end() -> None:
    pool = Threads(50, idle=0.05)
    gate = threading.Barrier(20)

    def work() -> threading.Thread:
        gate.wait(5)
        return threading.current_thread()

    threads = [future.result(5) for future in [submit(pool, work) for _ in range(20)]]
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert submit(pool, lambda: 1).result(5) == 1, "and new ones begin"
    pool.shutdown()


def test_after_the_end_nothing_is_taken_but_what_was_is_done() -> None:
    pool, go = Threads(1), threading.Event()
    first, second = submit(pool, lambda: go.wait(5)), submit(pool, lambda: 4)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(lambda: 1)
    go.set()
    assert (first.result(5), second.result(5)) == (True, 4)
