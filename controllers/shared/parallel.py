"""Makes independent calls at the same time, in threads that live no longer than the calls.

A ThreadPoolExecutor would keep its threads (memory) and wait for them when the process ends, even for one that
hangs in a call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_parallel(calls: Sequence[Callable[[], T]], most: int) -> list[T]:
    """The results in the order of the calls, of which at most so many run at a time; they must not raise."""
    if len(calls) <= 1:
        return [call() for call in calls]
    results: dict[int, T] = {}
    waiting = iter(enumerate(calls))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number, call = next(waiting, (-1, None))
            if call is None:
                return
            results[number] = call()

    # The caller is one of the workers.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(most, len(calls)) - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(calls))]
