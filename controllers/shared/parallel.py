"""Make independent calls at the same time, in threads that end with the calls.

A ThreadPoolExecutor would keep its threads, which costs memory; and when the process ends, it would wait for a thread
whose call hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_parallel(calls: Sequence[Callable[[], T]], most: int) -> list[T]:
    """Make the calls, at most ``most`` at a time, and return their results in the order of the calls.

    The calls must not raise.
    """
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
