"""The reconcile loop: retries, later looks, and events that become keys."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from machinery import errors
from machinery.controller import UNREACHABLE_RETRY, Controller, Reconcile
from machinery.informer import EventHandler, Informer
from machinery.objects import Object
from machinery.workqueue import WorkQueue


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def controller_of(reconcile: Reconcile, clock: Clock) -> Controller:
    return Controller("test", reconcile, queue=WorkQueue(clock=clock))


@pytest.mark.parametrize("error", [errors.conflict("pods", "a"), errors.NotFound("x"), ValueError("bug")])
def test_an_error_is_tried_again_later(clock: Clock, error: Exception) -> None:
    outcomes: list[Exception | None] = [error, None]

    def reconcile(key: str) -> None:
        outcome = outcomes.pop(0)
        if outcome:
            raise outcome

    controller = controller_of(reconcile, clock)
    controller.process("a")
    assert controller.queue.get(0) is None
    clock.now += 0.006
    assert controller.queue.get(0) == "a"
    controller.process("a")
    assert controller.queue.failures("a") == 0


def test_an_outage_of_the_api_server_does_not_lengthen_the_backoff_for_ever(clock: Clock) -> None:
    def unreachable(key: str) -> None:
        raise errors.ServiceUnavailable("cannot reach the API server")

    controller = controller_of(unreachable, clock)
    for _ in range(20):
        controller.process("a")
        clock.now += UNREACHABLE_RETRY
        assert controller.queue.get(0) == "a"
        controller.queue.done("a")


def test_the_returned_seconds_are_when_to_look_again(clock: Clock) -> None:
    controller = controller_of(lambda key: 30.0, clock)
    controller.process("a")
    clock.now += 29
    assert controller.queue.get(0) is None
    clock.now += 2
    assert controller.queue.get(0) == "a"


class FakeInformer:
    def __init__(self) -> None:
        self.handlers: list[EventHandler] = []
        self.ready = threading.Event()

    def add_handler(self, handler: EventHandler) -> None:
        self.handlers.append(handler)

    def wait_synced(self, timeout: float | None = None) -> bool:
        return self.ready.wait(timeout)

    def tell(self, old: Object | None, new: Object | None) -> None:
        for handler in self.handlers:
            handler(old, new)


def obj(name: str, owner: str = "o") -> Object:
    return {"metadata": {"namespace": "ns", "name": name, "owner": owner}}


def owner_of(obj: Object) -> str | None:
    owner: str = obj["metadata"]["owner"]
    return None if owner == "nobody" else owner


def test_events_become_keys_of_the_old_and_the_new_state(clock: Clock) -> None:
    controller = controller_of(lambda key: None, clock)
    plain, mapped = FakeInformer(), FakeInformer()
    controller.watch(cast(Informer, plain))
    controller.watch(cast(Informer, mapped), owner_of)
    plain.tell(None, obj("a"))
    plain.tell(obj("a"), obj("a"))
    mapped.tell(obj("x", "before"), obj("x", "after"))
    mapped.tell(None, obj("y", "nobody"))
    assert [controller.queue.get(0) for _ in range(4)] == ["ns/a", "before", "after", None]


def test_workers_wait_for_the_cache_run_and_end() -> None:
    done = threading.Event()
    seen: list[str] = []

    def reconcile(key: str) -> None:
        seen.append(key)
        done.set()

    controller = Controller("test", reconcile, workers=2)
    cache = FakeInformer()
    controller.requires(cache)
    stop = threading.Event()
    controller.enqueue("a")
    controller.start(stop)
    assert seen == []
    cache.ready.set()
    assert done.wait(5)
    stop.set()
    controller.join(5)
    assert seen == ["a"]
