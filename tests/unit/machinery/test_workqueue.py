"""The invariants of the work queue's docstring, with a clock that only moves when told to."""

from __future__ import annotations

import threading

import pytest

from machinery.metrics import METRICS
from machinery.workqueue import WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock=clock)


def test_duplicates_coalesce(queue: WorkQueue) -> None:
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [queue.get(0), queue.get(0), queue.get(0)] == ["a", "b", None]


def test_a_held_key_is_given_to_nobody_else_and_runs_again_after_done(queue: WorkQueue) -> None:
    queue.add("a")
    assert queue.get(0) == "a"
    queue.add("a")
    queue.add("a")
    assert queue.get(0) is None
    queue.done("a")
    assert queue.get(0) == "a"
    queue.done("a")
    assert queue.get(0) is None


def test_delays(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after("late", 10)
    queue.add_after("soon", 1)
    queue.add_after("late", 5)  # the shorter delay counts
    queue.add_after("soon", 7)
    assert queue.get(0) is None
    clock.now += 1
    assert queue.get(0) == "soon"
    clock.now += 4
    assert queue.get(0) == "late"
    queue.done("late")
    clock.now += 100
    assert queue.get(0) is None


def test_a_delay_of_a_held_key_waits_for_done(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a")
    queue.get(0)
    queue.add_after("a", 1)
    clock.now += 2
    assert queue.get(0) is None
    queue.done("a")
    assert queue.get(0) == "a"


def test_backoff_doubles_up_to_its_maximum_and_starts_anew_when_forgotten(clock: Clock) -> None:
    queue = WorkQueue(base_delay=1, max_delay=3, clock=clock)
    for delay in (1, 2, 3, 3):
        queue.add_rate_limited("a")
        clock.now += delay - 0.1
        assert queue.get(0) is None
        clock.now += 0.2
        assert queue.get(0) == "a"
        queue.done("a")
    assert queue.failures("a") == 4
    queue.forget("a")
    queue.add_rate_limited("a")
    clock.now += 1
    assert queue.get(0) == "a"


def test_shutdown_wakes_all_who_wait_and_ignores_what_comes_later() -> None:
    queue = WorkQueue()
    got: list[str | None] = []
    threads = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.shut_down()
    for thread in threads:
        thread.join(5)
    assert got == [None, None, None]
    queue.add("a")
    queue.add_after("a", 0)
    assert queue.get() is None


def test_a_waiting_worker_wakes_for_a_shorter_delay() -> None:
    queue = WorkQueue()
    queue.add_after("slow", 3600)
    got: list[str | None] = []
    thread = threading.Thread(target=lambda: got.append(queue.get(5)))
    thread.start()
    queue.add_after("quick", 0.01)
    thread.join(5)
    assert got == ["quick"]


def test_many_workers_never_hold_the_same_key_and_lose_none() -> None:
    queue = WorkQueue()
    held: set[str] = set()
    lock = threading.Lock()
    overlaps: list[str] = []
    handled: dict[str, int] = {}
    added: dict[str, int] = {}

    def work() -> None:
        while (key := queue.get()) is not None:
            with lock:
                if key in held:
                    overlaps.append(key)
                held.add(key)
                handled[key] = added[key]  # what an add before this moment must still lead to
            with lock:
                held.discard(key)
            queue.done(key)
            idle.set()

    idle = threading.Event()
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for number in range(2000):
        key = f"k{number % 7}"
        with lock:
            added[key] = number
        queue.add(key)
    while handled != added:
        idle.clear()
        if handled == added:
            break
        assert idle.wait(5)
    queue.shut_down()
    for worker in workers:
        worker.join(5)
    assert not overlaps


def test_metrics(clock: Clock) -> None:
    queue = WorkQueue("measured", clock=clock)

    def value(name: str) -> float:
        lines = METRICS.exposition("workqueue").decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f'{name}{{name="measured"}}'))

    for key in ("a", "b", "a"):
        queue.add(key)
    assert (value("workqueue_adds_total"), value("workqueue_depth")) == (2, 2)
    clock.now += 3
    assert queue.get() == "a"
    clock.now += 2
    assert (value("workqueue_depth"), value("workqueue_queue_duration_seconds_sum")) == (1, 3)
    assert value("workqueue_unfinished_work_seconds") == 2
    assert value("workqueue_longest_running_processor_seconds") == 2
    queue.add("a")  # while it is held
    queue.done("a")
    assert (value("workqueue_work_duration_seconds_sum"), value("workqueue_work_duration_seconds_count")) == (2, 1)
    assert (value("workqueue_adds_total"), value("workqueue_unfinished_work_seconds")) == (3, 0)
    queue.add_rate_limited("c")
    assert value("workqueue_retries_total") == 1
