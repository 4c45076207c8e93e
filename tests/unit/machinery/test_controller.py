"""The reconcile loop: retries, later looks, and events that become keys."""

import threading

import pytest

from machinery import errors
from machinery.controller import UNREACHABLE_RETRY, Controller
from machinery.workqueue import WorkQueue


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def controller_of(reconcile, clock: Clock):
    return Controller("test", reconcile, queue=WorkQueue(clock=clock))


@pytest.mark.parametrize("error", [errors.conflict("pods", "a"), errors.NotFound("x"), ValueError("bug")])
def test_an_error_is_tried_again_later(clock: Clock, error) -> None:
    outcomes = [error, None]

    def reconcile(key):
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
    def unreachable(key):
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
        self.handlers = []
        self.ready = threading.Event()

    def add_handler(self, handler):
        self.handlers.append(handler)

    def wait_synced(self, timeout=None):
        return self.ready.wait(timeout)

    def tell(self, old, new):
        for handler in self.handlers:
            handler(old, new)


def obj(name, owner="o"):
    return {"metadata": {"namespace": "ns", "name": name, "owner": owner}}


def test_events_become_keys_of_the_old_and_the_new_state(clock: Clock) -> None:
    controller = controller_of(lambda key: None, clock)
    plain, mapped = FakeInformer(), FakeInformer()
    controller.watch(plain)
    controller.watch(mapped, lambda o: None if o["metadata"]["owner"] == "nobody" else o["metadata"]["owner"])
    plain.tell(None, obj("a"))
    plain.tell(obj("a"), obj("a"))
    mapped.tell(obj("x", "before"), obj("x", "after"))
    mapped.tell(None, obj("y", "nobody"))
    assert [controller.queue.get(0) for _ in range(4)] == ["ns/a", "before", "after", None]


def test_workers_wait_for_the_cache_run_and_end() -> None:
    done = threading.Event()
    seen = []

    def reconcile(key):
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
