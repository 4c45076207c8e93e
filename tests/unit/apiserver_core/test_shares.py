"""What one user takes of a worker, and what is left for others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from apiserver.api import shares as module
from apiserver.api.shares import Shares
from machinery.errors import TooManyRequests


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"RUNNING": 2, "WAITING": 2, "STREAMS": 3, "WATCHES": 2, "ALL_REQUESTS": 6, "ALL_STREAMS": 5}
    for name, number in limits.items():
        monkeypatch.setattr(module, name, number)


def test_a_request_waits_for_its_turn_and_one_too_many_is_refused() -> None:
    shares, entered = Shares(), threading.Semaphore(0)
    leave = [shares.enter("eve", stream=False) for _ in range(2)]

    def wait() -> Callable[[], None]:
        left = shares.enter("eve", stream=False)
        entered.release()
        return left

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(wait) for _ in range(2)]
        wait_until(lambda: len(shares._users["eve"].waiting) == 2)
        with pytest.raises(TooManyRequests) as refused:
            shares.enter("eve", stream=False)
        assert refused.value.retry_after == 1
        shares.enter("bob", stream=False)()  # others are served at once
        assert not entered.acquire(blocking=False)
        for each in leave:
            each()
        for future in waiting:
            future.result(5)()
    assert not shares._users and shares._requests == 0


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_SECONDS", 0.05)
    shares = Shares()
    leave = [shares.enter("eve", stream=False) for _ in range(2)]
    with pytest.raises(TooManyRequests):
        shares.enter("eve", stream=False)
    for each in leave:
        each()
    assert not shares._users and shares._requests == 0


def test_streams_are_counted_apart() -> None:
    shares = Shares()
    leave = [shares.enter("eve", stream=True) for _ in range(3)]
    with pytest.raises(TooManyRequests):
        shares.enter("eve", stream=True)
    leave.append(shares.enter("eve", stream=False))
    leave += [shares.enter("bob", stream=True) for _ in range(2)]
    with pytest.raises(TooManyRequests):
        shares.enter("carol", stream=True)  # all together have too many
    for each in leave:
        each()
    assert not shares._users and shares._requests == shares._streams == 0


def test_watches_are_counted_apart() -> None:
    shares = Shares()
    leave = [shares.enter_watch("eve") for _ in range(2)]
    with pytest.raises(TooManyRequests):
        shares.enter_watch("eve")
    leave.append(shares.enter_watch("bob"))
    for each in leave:
        each()
    assert not shares._users


def test_all_users_together_leave_room() -> None:
    shares = Shares()
    leave = [shares.enter(f"user-{number}", stream=False) for number in range(6)]
    with pytest.raises(TooManyRequests):
        shares.enter("one-more", stream=False)
    for each in leave:
        each()
    assert not shares._users


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("waited in vain")
