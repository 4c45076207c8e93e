"""Counters, gauges and histograms in Prometheus' text format, with upstream's names (k8s.io/component-base/metrics).

    REQUESTS = METRICS.counter("rest_client_requests_total", "Requests, by the answer's code.", ("code", "method"))
    REQUESTS.add(("200", "GET"))

A *family* has one name and the names of its labels; a *series* is a family with values for the labels, and has one
number, or for a histogram one for each bucket and the sum. A *view* shows a family in a scrape, perhaps without some
labels and under another name: of a histogram by code, the count by code, and the buckets for all codes together.

The numbers are in memory that a component's processes share, a block for each process. Whichever process answers a
scrape sums up all blocks; a process that replaces a dead one continues in its block. Raising a number takes 0.4 µs.
prometheus_client would use a file for each process: 9 µs for the numbers of one request, and 12 MB for each process.

A block has the length of its list of series, the list (a JSON line for each), and at _NAMES the numbers, in the order
of the list. A series is never removed.
"""

from __future__ import annotations

import logging
import math
import mmap
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import orjson

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Upstream's buckets of most durations (prometheus.DefBuckets).
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Sizes in bytes. Pages of a block that are never written take no memory.
_BLOCK = 1 << 20
_NAMES = 1 << 18
_WORD = 8
# The first numbers of a block are written by series for which there was no room. No family may have more than these.
_SINK = 64

Labels = tuple[str, ...]
Merge = Literal["sum", "min", "max"]
_MERGES: Mapping[Merge, Callable[[float, float], float]] = {"sum": float.__add__, "min": min, "max": max}


class Sample(NamedTuple):
    """One number that is computed when a scrape asks; ``at`` is its time in seconds since 1970, None for now."""

    labels: Labels
    value: float
    at: float | None = None


class View(NamedTuple):
    """One metric in a scrape: the numbers of ``family``, or the samples that ``read`` returns."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...]
    family: Family | None = None
    bounds: tuple[float, ...] = ()
    merge: Merge = "sum"  # how the numbers of several processes, and of labels that are not shown, become one
    read: Callable[[], Iterable[Sample]] | None = None


class Family:
    """All series of one name, each with ``width`` numbers, which stand side by side."""

    def __init__(self, metrics: Metrics, name: str, labels: tuple[str, ...], width: int = 1) -> None:
        assert width <= _SINK
        self.name, self.labels, self.width = name, labels, width
        self.places: dict[Labels, int] = {}  # series in this process's block → index of its first number
        self._metrics = metrics

    def place(self, labels: Labels) -> int:
        """Return the index in ``Metrics.values`` of the series' first number; it stays the same in this process."""
        place = self.places.get(labels)
        return self._metrics.make_room(self, labels) if place is None else place


class Counter(Family):
    """A number that only grows."""

    def add(self, labels: Labels = (), amount: float = 1.0) -> None:
        place = self.place(labels)
        with self._metrics.lock:
            self._metrics.values[place] += amount


class Gauge(Family):
    """A number that goes up and down. It is not shown any more when its process has ended."""

    def add(self, labels: Labels = (), amount: float = 1.0) -> None:
        place = self.place(labels)
        with self._metrics.lock:
            value = self._metrics.values[place]
            self._metrics.values[place] = amount if math.isnan(value) else value + amount

    def set(self, value: float, labels: Labels = ()) -> None:
        self._metrics.values[self.place(labels)] = value

    def shown_as(self, name: str, help: str, merge: Merge) -> None:
        """Show the sum, the minimum or the maximum of the processes' values."""
        self._metrics.show(View(name, "gauge", help, self.labels, self, merge=merge))


class Histogram(Family):
    """Counts values by size: a number for each bound, one for larger values, and the sum of all values."""

    def __init__(self, metrics: Metrics, name: str, labels: tuple[str, ...], bounds: Sequence[float]) -> None:
        super().__init__(metrics, name, labels, len(bounds) + 2)
        self.bounds = tuple(bounds)

    def observe(self, value: float, labels: Labels = ()) -> None:
        place = self.place(labels)
        values = self._metrics.values
        with self._metrics.lock:
            values[place + bisect_left(self.bounds, value)] += 1
            values[place + self.width - 1] += value

    def shown_as(self, name: str, help: str, without: Iterable[str], bounds: Sequence[float] = ()) -> None:
        """Show it as ``name``, summed over the labels ``without``. ``bounds``: only these of its own; empty for all."""
        labels = tuple(label for label in self.labels if label not in without)
        self._metrics.show(View(name, "histogram", help, labels, self, tuple(bounds) or self.bounds))

    def counted_as(self, name: str, help: str) -> None:
        """Show the number of observed values as a counter."""
        self._metrics.show(View(name, "counter", help, self.labels, self))


class Metrics:
    """All families of a component, and the memory of their numbers; see the file's docstring."""

    def __init__(self, blocks: int = 1) -> None:
        self.lock = threading.Lock()
        self._families: dict[str, Family] = {}
        self._views: dict[str, View] = {}
        self._room = threading.Lock()
        self.share(blocks)

    # Families

    def counter(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Counter:
        counter = Counter(self, name, labels)
        self._families[name] = counter
        self.show(View(name, "counter", help, labels, counter))
        return counter

    def gauge(self, name: str, help: str, labels: tuple[str, ...] = (), merge: Merge = "sum") -> Gauge:
        gauge = Gauge(self, name, labels)
        self._families[name] = gauge
        gauge.shown_as(name, help, merge)
        return gauge

    def histogram(
        self,
        name: str,
        help: str,
        labels: tuple[str, ...] = (),
        bounds: Sequence[float] = DURATIONS,
        without: tuple[str, ...] = (),
    ) -> Histogram:
        """Add a histogram, which is shown without the labels ``without``; other views may show these."""
        histogram = Histogram(self, name, labels, bounds)
        self._families[name] = histogram
        histogram.shown_as(name, help, without)
        return histogram

    def read(
        self, name: str, type: str, help: str, labels: tuple[str, ...], read: Callable[[], Iterable[Sample]]
    ) -> None:
        """Add a metric without numbers: the process that answers a scrape calls ``read``."""
        self.show(View(name, type, help, labels, read=read))

    def show(self, view: View) -> None:
        self._views[view.name] = view

    # Memory

    def share(self, blocks: int) -> None:
        """Allocate a block for each of so many processes, which are forked afterwards. All numbers are reset."""
        self._memory = mmap.mmap(-1, blocks * _BLOCK)
        self._words = memoryview(self._memory).cast("Q")
        self.values = memoryview(self._memory).cast("d")
        self._blocks = blocks
        self.use_block(0)

    def use_block(self, number: int) -> None:
        """Continue in this block, from the counters and histograms of the process that had it before."""
        self._block = number
        self._full = False
        for family in self._families.values():
            family.places.clear()
        self.forget_gauges(number)
        place = self._first(number)
        for family, labels in self._series(number):
            family.places[labels] = place
            place += family.width
        self._next = place

    def forget_gauges(self, block: int) -> None:
        """Unset the gauges of a block whose process has ended."""
        place = self._first(block)
        for family, _ in self._series(block):
            if isinstance(family, Gauge):
                self.values[place] = math.nan
            place += family.width

    def make_room(self, family: Family, labels: Labels) -> int:
        """Return the place of a new series in this process's block; if it is full, a place that no scrape reads."""
        line = orjson.dumps([family.name, *labels]) + b"\n"
        with self._room:
            place = family.places.get(labels)
            if place is not None:
                return place
            start = self._block * _BLOCK
            used = self._words[start // _WORD]
            if used + len(line) > _NAMES - _WORD or (self._next + family.width) * _WORD > start + _BLOCK:
                if not self._full:
                    log.warning("no room for more series: %s%r and later ones are not counted", family.name, labels)
                self._full = True
                return self._first(self._block) - _SINK
            place, self._next = self._next, self._next + family.width
            if isinstance(family, Gauge):
                self.values[place] = math.nan
            begin = start + _WORD + used
            self._memory[begin : begin + len(line)] = line
            self._words[start // _WORD] = used + len(line)  # From now on scrapes see the series.
            family.places[labels] = place
            return place

    def _first(self, block: int) -> int:
        return (block * _BLOCK + _NAMES) // _WORD + _SINK

    def _series(self, block: int) -> Iterator[tuple[Family, Labels]]:
        start = block * _BLOCK
        names = bytes(self._memory[start + _WORD : start + _WORD + self._words[start // _WORD]])
        for line in names.splitlines():
            name, *labels = orjson.loads(line)
            yield self._families[name], tuple(labels)

    # Scrapes

    def numbers(self) -> dict[str, list[tuple[Labels, list[float]]]]:
        """Return for each family the labels and numbers of the series of all processes."""
        found: dict[str, list[tuple[Labels, list[float]]]] = {name: [] for name in self._families}
        for block in range(self._blocks):
            place = self._first(block)
            for family, labels in self._series(block):
                numbers = [float(number) for number in self.values[place : place + family.width]]
                place += family.width
                if not math.isnan(numbers[0]):
                    found[family.name].append((labels, numbers))
        return found

    def exposition(self, prefix: str = "") -> bytes:
        """Return all views in Prometheus' text format 0.0.4, or those whose names begin with ``prefix``."""
        numbers = self.numbers()
        lines: list[str] = []
        for name, view in sorted(self._views.items()):
            if name.startswith(prefix):
                lines += _with_head(view.name, view.type, view.help, _samples(view, numbers))
        return "\n".join([*lines, ""]).encode()


def lines_of(name: str, type: str, help: str, labels: tuple[str, ...], samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of one metric in Prometheus' text format; none if there are no samples."""
    yield from _with_head(name, type, help, (_line(name, labels, sample) for sample in samples))


def _with_head(name: str, type: str, help: str, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if not number:
            yield f"# HELP {name} {_escaped(help)}"
            yield f"# TYPE {name} {type}"
        yield line


def _line(name: str, labels: tuple[str, ...], sample: Sample) -> str:
    at = "" if sample.at is None else f" {round(sample.at * 1000)}"
    return f"{name}{_label_text(labels, sample.labels)} {_number(sample.value)}{at}"


def _samples(view: View, numbers: Mapping[str, list[tuple[Labels, list[float]]]]) -> Iterator[str]:
    if view.read is not None:
        for sample in view.read():
            yield _line(view.name, view.labels, sample)
    family = view.family
    if family is None:
        return
    kept = [index for index, label in enumerate(family.labels) if label in view.labels]
    merge = _MERGES[view.merge]
    merged: dict[Labels, list[float]] = {}
    for labels, values in numbers[family.name]:
        shown = tuple(labels[index] for index in kept)
        before = merged.get(shown)
        merged[shown] = values if before is None else [merge(a, b) for a, b in zip(before, values, strict=True)]
    for labels, values in sorted(merged.items()):
        if view.type == "histogram" and isinstance(family, Histogram):
            yield from _buckets(view, family, labels, values)
        else:
            value = sum(values[:-1]) if isinstance(family, Histogram) else values[0]
            yield f"{view.name}{_label_text(view.labels, labels)} {_number(value)}"


def _buckets(view: View, family: Histogram, labels: Labels, values: list[float]) -> Iterator[str]:
    count = 0.0
    for bound, value in zip((*family.bounds, math.inf), values, strict=False):
        count += value
        if bound in view.bounds or bound == math.inf:
            le = "+Inf" if bound == math.inf else f"{bound:g}"
            yield f"{view.name}_bucket{_label_text((*view.labels, 'le'), (*labels, le))} {_number(count)}"
    text = _label_text(view.labels, labels)
    yield f"{view.name}_sum{text} {_number(values[-1])}"
    yield f"{view.name}_count{text} {_number(count)}"


def _label_text(names: Iterable[str], values: Iterable[str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)


METRICS = Metrics()
