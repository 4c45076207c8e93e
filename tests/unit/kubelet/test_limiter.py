"""Limiter: never more than allowed, and whoever waits is woken in order. Starts: the others keep still meanwhile."""

from __future__ import annotations

import threading

from kubelet.sync.limiter import Limiter, Starts


def test_no_more_than_allowed_and_the_longest_waiting_is_next() -> None:
    woken: list[str] = []
    limiter = Limiter(1, woken.append)
    assert limiter.acquire("a")
    assert limiter.acquire("a")
    assert not limiter.acquire("b")
    assert not limiter.acquire("c")
    assert not limiter.acquire("b")
    limiter.release("a")
    assert woken == ["b"]
    assert limiter.acquire("b")
    limiter.release("b")
    assert woken == ["b", "c"]


def test_who_has_no_turn_gives_none_back() -> None:
    woken: list[str] = []
    limiter = Limiter(1, woken.append)
    assert limiter.acquire("a")
    limiter.release("b")
    assert not limiter.acquire("c")
    assert woken == []


def test_one_that_was_woken_late_is_not_skipped() -> None:
    woken: list[str] = []
    limiter = Limiter(1, woken.append)
    limiter.acquire("a")
    limiter.acquire("b")
    limiter.release("a")
    assert limiter.acquire("c")  # faster than b, who has been woken
    assert not limiter.acquire("b")
    limiter.release("c")
    assert woken == ["b", "b"]


def test_less_urgent_work_waits_for_starts_but_not_for_ever() -> None:
    starts, done = Starts(), threading.Event()

    def sweep() -> None:
        starts.wait(10)
        done.set()

    with starts.going_on():
        starts.wait(0.01)  # gives up
        sweeper = threading.Thread(target=sweep)
        sweeper.start()
        assert not done.wait(0.05)
    assert done.wait(5)
    sweeper.join()
