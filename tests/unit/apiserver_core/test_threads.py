"""The pool of threads that serve requests."""

from __future__ import annotations

import threading

import pytest

from apiserver.threads import Threads


def named(prefix: str = "request-") -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def test_results_and_errors_come_back() -> None:
    pool = Threads(2)
    assert pool.submit(pow, 2, 3).result(5) == 8
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(5)
    pool.shutdown()


def test_as_many_threads_as_needed_and_no_more_than_allowed() -> None:
    pool, go, busy = Threads(3), threading.Event(), threading.Semaphore(0)

    def work() -> str:
        busy.release()
        assert go.wait(5)
        return threading.current_thread().name

    futures = [pool.submit(work) for _ in range(5)]
    for _ in range(3):
        assert busy.acquire(timeout=5)
    assert not busy.acquire(blocking=False), "the others wait in line"
    go.set()
    assert len({future.result(5) for future in futures}) == 3
    pool.shutdown()


def test_the_thread_that_was_idle_last_works_next() -> None:
    pool = Threads(10)
    names = set()
    for _ in range(20):
        names.add(pool.submit(lambda: threading.current_thread().name).result(5))
    assert len(names) <= 2  # the first result may be there before its thread is idle
    pool.shutdown()


def test_idle_threads_end() -> None:
    before = set(named())  # of other tests' pools, on their way out
    pool = Threads(50, idle=0.05)
    gate = threading.Barrier(20)
    for future in [pool.submit(gate.wait, 5) for _ in range(20)]:
        future.result(5)
    for thread in named():
        thread.join(5)
    assert set(named()) <= before
    assert pool.submit(pow, 1, 1).result(5) == 1, "and new ones begin"
    pool.shutdown()


def test_after_the_end_nothing_is_taken_but_what_was_is_done() -> None:
    pool, go = Threads(1), threading.Event()
    first, second = pool.submit(go.wait, 5), pool.submit(pow, 2, 2)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError):
        pool.submit(pow, 1, 1)
    go.set()
    assert (first.result(5), second.result(5)) == (True, 4)
