"""What is counted of a request, and what the log says about it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from everykind import REGISTRY
from flask import Response

from apiserver.api import requestlog
from apiserver.api.requestlog import RequestLog, set_verbosity
from apiserver.model import metrics
from apiserver.model.exchange import EXCHANGE
from apiserver.model.requestinfo import parse_request
from apiserver.model.trace import spent
from apiserver.model.user import User
from machinery.metrics import METRICS, Labels

ADMIN = User("admin")


@pytest.fixture(autouse=True)
def fresh(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is counted yet."""
    METRICS.share(1)
    caplog.set_level(logging.INFO)
    yield
    set_verbosity(0)


def begin(method: str, uri: str, **environ: Any) -> RequestLog:
    """A request that may be done and is about to."""
    path, _, query = uri.partition("?")
    made = RequestLog(
        {"REQUEST_METHOD": method, "PATH_INFO": path, "RAW_URI": uri, "QUERY_STRING": query, **environ}, REGISTRY.get
    )
    made.info = info = parse_request(method, path, watch="watch=1" in query)
    made.user = ADMIN
    if info.is_resource:
        made.kind = REGISTRY.find(info.group, info.version, info.resource)
    made.authorized()
    return made


def answer(made: RequestLog, response: Response | None = None) -> None:
    response = Response(b"12345", 200) if response is None else response
    made.answered(response)
    response.close()


def requests() -> dict[Labels, float]:
    return {labels: sum(values[:-1]) for labels, values in METRICS.numbers()[metrics.REQUESTS.name]}


def open_now() -> float:
    numbers = METRICS.numbers()
    return sum(values[0] for family in (metrics.IN_FLIGHT, metrics.LONG_RUNNING) for _, values in numbers[family.name])


@pytest.mark.parametrize(
    ("method", "uri", "environ", "labels"),
    [
        ("GET", "/api/v1/pods", {}, ("LIST", "", "", "v1", "pods", "", "cluster")),
        ("GET", "/api/v1/namespaces/a/pods", {}, ("LIST", "", "", "v1", "pods", "", "namespace")),
        ("GET", "/api/v1/namespaces/a/pods?watch=1", {}, ("WATCH", "", "", "v1", "pods", "", "namespace")),
        ("GET", "/api/v1/namespaces/a/pods/p", {}, ("GET", "", "", "v1", "pods", "", "resource")),
        ("GET", "/api/v1/namespaces/a/pods/p/log", {}, ("GET", "", "", "v1", "pods", "log", "resource")),
        ("GET", "/api/v1/namespaces/a/pods/p/made-up", {}, ("GET", "", "", "v1", "pods", "", "resource")),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", {}, ("CONNECT", "", "", "v1", "pods", "exec", "resource")),
        ("POST", "/api/v1/namespaces/a/pods?dryRun=All", {}, ("POST", "All", "", "v1", "pods", "", "resource")),
        (
            "PATCH", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l",
            {"CONTENT_TYPE": "application/apply-patch+yaml"},
            ("APPLY", "", "coordination.k8s.io", "v1", "leases", "", "resource"),
        ),
        ("DELETE", "/api/v1/namespaces/a/pods", {}, ("DELETECOLLECTION", "", "", "v1", "pods", "", "namespace")),
        ("GET", "/readyz/etcd", {}, ("GET", "", "", "", "", "/readyz", "")),
        ("BREW", "/coffee", {}, ("other", "", "", "", "", "", "")),
    ],
)  # fmt: skip
def test_labels_are_upstreams(method: str, uri: str, environ: dict[str, str], labels: Labels) -> None:
    made = begin(method, uri, **environ)
    assert open_now() == 1
    answer(made)
    assert requests() == {(*labels, "apiserver" if labels[4] else "", "200"): 1}
    assert open_now() == 0


def test_a_request_that_is_refused_early_is_counted_too() -> None:
    for uri in ("/api/v1/secrets", "/api/v1/nothing", "/nowhere"):
        made = RequestLog({"REQUEST_METHOD": "GET", "PATH_INFO": uri, "QUERY_STRING": ""}, REGISTRY.get)
        made.info = parse_request("GET", uri)
        answer(made, Response(b"", 403))
    log = RequestLog({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}, REGISTRY.get)
    answer(log, Response(b"", 400))
    assert set(requests()) == {
        ("LIST", "", "", "v1", "secrets", "", "cluster", "apiserver", "403"),
        ("LIST", "", "", "", "", "", "", "apiserver", "403"),
        ("GET", "", "", "", "", "", "", "", "403"),
        ("other", "", "", "", "", "", "", "", "400"),
    }
    assert open_now() == 0


def test_a_stream_lasts_until_it_is_closed_and_counts_once() -> None:
    made = begin("GET", "/api/v1/pods?watch=1")
    response = Response(iter([b"a"]), 200)
    made.answered(response)
    assert (requests(), open_now()) == ({}, 1)
    response.close()
    response.close()
    assert (sum(requests().values()), open_now()) == (1, 0)


def test_a_taken_over_socket() -> None:
    exchange = SimpleNamespace(taken_over=True, bytes_sent=0)
    upgrade = {"HTTP_UPGRADE": "SPDY/3.1", EXCHANGE: exchange}
    made = begin("GET", "/api/v1/namespaces/a/pods/p/exec", **upgrade)
    made.answered(Response())
    assert [labels[-1] for labels in requests()] == ["101"]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0, []),
        (2, ["GET /api/v1/pods?watch=1 begins, for admin with kubectl/v1.32.0",
             "GET /api/v1/pods?watch=1 200, 0 B", "POST /api/v1/namespaces/a/pods 200, 5 B"]),
        (3, ["GET /api/v1/pods?watch=1 begins, for admin with kubectl/v1.32.0",
             "GET /api/v1/pods?watch=1 200, 0 B", "POST /api/v1/namespaces/a/pods 200, 5 B", "GET /version 200, 5 B"]),
    ],
)  # fmt: skip
def test_how_much_is_told(level: int, expected: list[str], caplog: pytest.LogCaptureFixture) -> None:
    set_verbosity(level)
    agent = {"HTTP_USER_AGENT": "kubectl/v1.32.0 (linux/amd64) kubernetes/70d3cc9"}
    answer(begin("GET", "/api/v1/pods?watch=1", **agent), Response(iter([b"a"]), 200))
    answer(begin("POST", "/api/v1/namespaces/a/pods", **agent))
    answer(begin("GET", "/version", **agent))
    assert [_without_time(entry.getMessage()) for entry in caplog.records] == expected


def _without_time(line: str) -> str:
    """The duration and, for brevity, whom it was for, taken out of a line about an end."""
    head, _, rest = line.partition(" ms, ")
    return f"{head.rpartition(', ')[0]}, {rest.partition(',')[0]}" if rest else line


def test_a_command_and_a_long_query_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    set_verbosity(3)
    answer(begin("POST", "/api/v1/namespaces/a/pods/p/exec?command=login&command=secret"))
    answer(begin("GET", f"/api/v1/pods?labelSelector={'x' * 5000}"))
    assert "secret" not in caplog.text
    assert max(len(entry.getMessage()) for entry in caplog.records) < 600


def test_a_slow_request_tells_what_it_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requestlog, "SLOW", 0.0)
    made = begin("PUT", "/api/v1/namespaces/a/pods/p")
    now = time.perf_counter()
    spent("etcd", now - 2)
    spent("etcd", now - 0.5)
    answer(made)
    [line] = [entry.getMessage() for entry in caplog.records]
    assert line.startswith("slow: PUT /api/v1/namespaces/a/pods/p 200, ")
    assert "for admin: access " in line
    assert "etcd 2.50 s in 2 calls, computing " in line
    assert ", sending " in line
    spent("etcd", now)  # beside any request: for nobody


def test_a_quick_one_and_a_watch_do_not(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(begin("GET", "/version"))
    monkeypatch.setattr(requestlog, "SLOW", 0.0)
    answer(begin("GET", "/api/v1/pods?watch=1"), Response(iter([b""]), 200))
    assert caplog.records == []


def test_sizes_are_those_of_reads() -> None:
    answer(begin("GET", "/version"))
    answer(begin("POST", "/api/v1/namespaces/a/pods"))
    sizes: Any = METRICS.numbers()[metrics.RESPONSE_SIZES.name]
    assert {labels[0]: values[-1] for labels, values in sizes} == {"GET": 5}
