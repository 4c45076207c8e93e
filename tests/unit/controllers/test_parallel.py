from __future__ import annotations

import threading

import pytest

from controllers.shared.parallel import in_parallel


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_order(count: int) -> None:
    assert in_parallel([lambda number=number: number for number in range(count)], 3) == list(range(count))  # type: ignore[misc]


def test_so_many_run_at_a_time_and_no_more() -> None:
    together = threading.Barrier(3, timeout=5)
    lock = threading.Lock()
    running = highest = 0

    def call() -> None:
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        together.wait()
        with lock:
            running -= 1

    in_parallel([call] * 6, 3)
    assert highest == 3
