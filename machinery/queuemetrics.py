"""The metrics of work queues, with upstream's names (component-base/metrics/prometheus/workqueue)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from weakref import WeakSet

from machinery.metrics import METRICS, Sample

_BOUNDS = [10.0**power for power in range(-8, 2)]
_NAME = ("name",)

ADDS = METRICS.counter("workqueue_adds_total", "[ALPHA] Keys that were added.", _NAME)
RETRIES = METRICS.counter("workqueue_retries_total", "[ALPHA] Keys that were put back after a failure.", _NAME)
WAITED = METRICS.histogram(
    "workqueue_queue_duration_seconds", "[ALPHA] How long keys waited for a worker.", _NAME, _BOUNDS
)
WORKED = METRICS.histogram("workqueue_work_duration_seconds", "[ALPHA] How long workers took.", _NAME, _BOUNDS)


class QueueMetrics:
    """Measures how long the keys of one queue wait and are processed. Callers hold the queue's lock."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._labels = (name,)
        self._clock = clock
        self._waiting: dict[str, float] = {}
        self._processing: dict[str, float] = {}
        _queues.add(self)

    def added(self, key: str) -> None:
        ADDS.add(self._labels)
        self._waiting[key] = self._clock()

    def taken(self, key: str) -> None:
        now = self._clock()
        WAITED.observe(now - self._waiting.pop(key, now), self._labels)
        self._processing[key] = now

    def done(self, key: str) -> None:
        now = self._clock()
        WORKED.observe(now - self._processing.pop(key, now), self._labels)

    def retried(self) -> None:
        RETRIES.add(self._labels)

    def depth(self) -> Sample:
        return Sample(self._labels, len(self._waiting))

    def unfinished(self) -> Sample:
        """Return the seconds that the keys in processing have taken so far, summed up."""
        now = self._clock()
        return Sample(self._labels, sum(now - since for since in list(self._processing.values())))

    def longest(self) -> Sample:
        now = self._clock()
        return Sample(self._labels, max((now - since for since in list(self._processing.values())), default=0))


_queues: WeakSet[QueueMetrics] = WeakSet()


def _each(look: Callable[[QueueMetrics], Sample]) -> Callable[[], Iterator[Sample]]:
    """Return a function that gives one sample for each name; queues of the same name, as in tests, are summed up."""

    def samples() -> Iterator[Sample]:
        sums: dict[tuple[str, ...], float] = {}
        for queue in list(_queues):
            sample = look(queue)
            sums[sample.labels] = sums.get(sample.labels, 0) + sample.value
        return (Sample(labels, value) for labels, value in sorted(sums.items()))

    return samples


METRICS.read("workqueue_depth", "gauge", "[ALPHA] Keys that wait.", _NAME, _each(QueueMetrics.depth))
METRICS.read(
    "workqueue_unfinished_work_seconds",
    "gauge",
    "[ALPHA] How long the keys that are being worked on have taken so far.",
    _NAME,
    _each(QueueMetrics.unfinished),
)
METRICS.read(
    "workqueue_longest_running_processor_seconds",
    "gauge",
    "[ALPHA] How long the one of them that has taken longest has.",
    _NAME,
    _each(QueueMetrics.longest),
)
