"""Metrics: the text form as Prometheus' own parser reads it, and sums over processes that come and go."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from machinery.metrics import Metrics, Sample
from machinery.processmetrics import add_process_metrics

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(metrics: Metrics) -> Values:
    """(sample, labels) → value, read by the library that Prometheus' users have."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def in_child(act: Callable[[], None]) -> None:
    """Runs something in a process of its own, which then ends without a word."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_counters_and_gauges() -> None:
    metrics = Metrics()
    requests = metrics.counter("requests_total", "What was asked.", ("code", "path"))
    depth = metrics.gauge("depth", "How many wait.")
    requests.add(("200", "/a"))
    requests.add(("200", "/a"), 2)
    requests.add(("404", 'quote " slash \\ line \n'))
    depth.add(amount=3)
    depth.add(amount=-1)
    assert parsed(metrics) == {
        ("requests_total", (("code", "200"), ("path", "/a"))): 3,
        ("requests_total", (("code", "404"), ("path", 'quote " slash \\ line \n'))): 1,
        ("depth", ()): 2,
    }
    depth.set(0.25)
    assert parsed(metrics)["depth", ()] == 0.25


def test_the_text_itself() -> None:
    metrics = Metrics()
    metrics.counter("unused_total", "Nothing yet.", ("a",))
    seconds = metrics.histogram("seconds", "How long\nit took.", ("verb",), (0.5, 1, 1000000))
    for value in (0.1, 0.5, 0.75, 2e6):
        seconds.observe(value, ("GET",))
    assert metrics.exposition().decode().splitlines() == [
        r"# HELP seconds How long\nit took.",
        "# TYPE seconds histogram",
        'seconds_bucket{verb="GET",le="0.5"} 2',
        'seconds_bucket{verb="GET",le="1"} 3',
        'seconds_bucket{verb="GET",le="1e+06"} 3',
        'seconds_bucket{verb="GET",le="+Inf"} 4',
        'seconds_sum{verb="GET"} 2000001.35',
        'seconds_count{verb="GET"} 4',
    ]


def test_one_observation_shown_in_three_ways() -> None:
    metrics = Metrics()
    seconds = metrics.histogram("seconds", "Each.", ("verb", "code"), (1, 2, 3), without=("code",))
    seconds.counted_as("asked_total", "How many.")
    seconds.shown_as("sli_seconds", "All.", ("verb", "code"), (2,))
    for value, labels in ((0.5, ("GET", "200")), (2.5, ("GET", "404")), (9, ("PUT", "200"))):
        seconds.observe(value, labels)
    found = parsed(metrics)
    assert found["asked_total", (("code", "404"), ("verb", "GET"))] == 1
    assert found["seconds_bucket", (("le", "3"), ("verb", "GET"))] == 2
    assert found["seconds_count", (("verb", "PUT"),)] == 1
    sli = {labels: value for (name, labels), value in found.items() if name == "sli_seconds_bucket"}
    assert sli == {(("le", "2"),): 1, (("le", "+Inf"),): 3}


def test_processes_are_added_up_also_when_they_have_ended() -> None:
    metrics = Metrics(blocks=3)
    asked = metrics.counter("asked_total", "All of them.", ("who",))
    took = metrics.histogram("took", "So long.", bounds=(1,))
    open_now = metrics.gauge("open", "Now.")
    slowest = metrics.gauge("slowest", "How far the slowest is.", merge="min")
    slowest.shown_as("fastest", "How far the fastest is.", "max")

    def serve(block: int, requests: int) -> Callable[[], None]:
        def act() -> None:
            metrics.use_block(block)
            open_now.add()
            slowest.set(10 * block)
            for _ in range(requests):
                asked.add(("all",))
                took.observe(0.5)
            asked.add((f"block {block}",))

        return act

    in_child(serve(1, 5))
    in_child(serve(2, 7))
    found = parsed(metrics)
    assert (found["asked_total", (("who", "all"),)], found["took_count", ()], found["open", ()]) == (12, 12, 2)
    assert (found["slowest", ()], found["fastest", ()]) == (10, 20)
    metrics.forget_gauges(1)  # as its parent does when the process has been killed
    found = parsed(metrics)
    assert (found["open", ()], found["slowest", ()], found["asked_total", (("who", "all"),)]) == (1, 20, 12)
    in_child(serve(1, 100))  # its successor counts on
    found = parsed(metrics)
    assert (found["asked_total", (("who", "all"),)], found["asked_total", (("who", "block 1"),)]) == (112, 2)
    assert (found["open", ()], found["slowest", ()]) == (2, 10)


def test_no_count_is_lost_among_threads() -> None:
    metrics = Metrics()
    took = metrics.histogram("took", "So long.", ("n",), (1,))
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for number in range(2000):
            took.observe(1, (str(number % 50),))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: values for (n,), values in metrics.numbers()["took"]} == {str(n): [320, 0, 320] for n in range(50)}


def test_a_flood_of_labels_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    seen = metrics.counter("seen_total", "Each.", ("name",))
    wide = metrics.histogram("wide", "Each.", ("name",), range(60))
    for number in range(5000):
        seen.add((f"{number}-" + "x" * 100,))
    seen.add(("0-" + "x" * 100,))
    wide.observe(3, ("y" * 200,))
    found = parsed(metrics)
    assert found["seen_total", (("name", "0-" + "x" * 100),)] == 2
    assert 1000 < len(found) < 5000
    assert "no room for more series" in caplog.text
    assert not any(name.startswith("wide") for name, _ in found)


def test_what_is_read_when_asked() -> None:
    metrics = Metrics()
    metrics.read("objects", "gauge", "How many there are.", ("kind",), lambda: [Sample(("pods",), 3)])
    add_process_metrics(metrics)
    found = parsed(metrics)
    assert found["objects", (("kind", "pods"),)] == 3
    assert 1e6 < found["process_resident_memory_bytes", ()] < 1e10
    assert found["process_cpu_seconds_total", ()] > 0
    assert found["process_open_fds", ()] < found["process_max_fds", ()]


def test_processes_of_a_family_are_one() -> None:
    metrics, alone = Metrics(), Metrics()
    ready, end = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(ready[1], b"x")
        os.read(end[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    add_process_metrics(metrics, os.getpid())
    add_process_metrics(alone)
    both, one = parsed(metrics), parsed(alone)
    assert both["process_open_fds", ()] > one["process_open_fds", ()] + 3
    os.write(end[1], b"x")
    os.waitpid(pid, 0)
    for descriptor in (*ready, *end):
        os.close(descriptor)
