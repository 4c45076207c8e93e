"""Turns: never more than allowed, and whoever waits is woken in order. Starts: the others keep still meanwhile."""

from __future__ import annotations

import threading

from kubelet.sync.limiter import Starts, Turns


def test_no_more_than_allowed_and_the_longest_waiting_is_next() -> None:
    woken: list[str] = []
    turns = Turns(1, woken.append)
    assert turns.take("a")
    assert turns.take("a")
    assert not turns.take("b")
    assert not turns.take("c")
    assert not turns.take("b")
    turns.give_back("a")
    assert woken == ["b"]
    assert turns.take("b")
    turns.give_back("b")
    assert woken == ["b", "c"]


def test_who_has_no_turn_gives_none_back() -> None:
    woken: list[str] = []
    turns = Turns(1, woken.append)
    assert turns.take("a")
    turns.give_back("b")
    assert not turns.take("c")
    assert woken == []


def test_one_that_was_woken_late_is_not_skipped() -> None:
    woken: list[str] = []
    turns = Turns(1, woken.append)
    turns.take("a")
    turns.take("b")
    turns.give_back("a")
    assert turns.take("c")  # faster than b, who has been woken
    assert not turns.take("b")
    turns.give_back("c")
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
