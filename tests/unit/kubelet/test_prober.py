"""Probes: thresholds, the gate of the startup probe, and that a slow one delays nobody."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fakeruntime import FakeRuntime

from kubelet.model.runtime import ExecResult, RuntimeContainer
from kubelet.probes.handlers import Outcome, ProbeTarget, grpc, http_get, tcp
from kubelet.probes.prober import Prober, ThresholdCounter
from kubelet.sync.containerstop import is_heard
from kubelet.threads.pool import Pool
from kubelet.threads.timers import Timers


def test_thresholds() -> None:
    counter = ThresholdCounter(success_threshold=2, failure_threshold=3, verdict=False)
    answers = [True, False, True, True, False, False, True, False, False, False]
    changes = [counter.count(answer) for answer in answers]
    assert changes == [False, False, False, True, False, False, False, False, False, True]
    assert counter.verdict is False


class Bench:
    """A prober on a fake runtime, whose commands the test answers."""

    def __init__(self) -> None:
        self.runtime = FakeRuntime()
        self.timers = Timers()
        self.verdicts: queue.Queue[tuple[str, bool]] = queue.Queue()
        self.events: queue.Queue[str] = queue.Queue()
        self.prober = Prober(
            self.runtime,
            self.timers,
            Pool("test", 8),
            lambda uid, container, kind, verdict: self.verdicts.put((kind, verdict)),
            lambda pod, name, type, reason, message: self.events.put(f"{reason}: {message}"),
        )
        self.timers.start()

    def watch(self, pod: Any, **probes: Any) -> None:
        spec = {"name": "c", "image": "i", **probes}
        container = RuntimeContainer("id", "uid-p", "p", "ns", "c", state="running", started=time.time())
        self.prober.watch(pod, spec, container, "127.0.0.1")


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.prober.forget("id")
    made.timers.stop()


COMMAND = {"exec": {"command": ["ask"]}, "periodSeconds": 0.01}


def test_startup_comes_before_the_others(bench: Bench, make_pod: Any) -> None:
    answers = iter([1, 1, 0, 0])
    bench.runtime.on_execute = lambda id, command: ExecResult(next(answers, 0), "no" if command == ["ask"] else "")
    bench.watch(make_pod(), startupProbe={**COMMAND, "failureThreshold": 5}, readinessProbe=COMMAND)
    assert [bench.verdicts.get(timeout=5) for _ in range(2)] == [("startup", True), ("readiness", True)]
    assert bench.events.get(timeout=5) == "Unhealthy: Startup probe failed: no"


def test_liveness_fails_once(bench: Bench, make_pod: Any) -> None:
    bench.runtime.on_execute = lambda id, command: ExecResult(1, "down")
    bench.watch(make_pod(), livenessProbe={**COMMAND, "failureThreshold": 2})
    assert bench.verdicts.get(timeout=5) == ("liveness", False)
    with pytest.raises(queue.Empty):
        bench.verdicts.get(timeout=0.05)


def test_a_slow_probe_delays_nobody(bench: Bench, make_pod: Any) -> None:
    slow = threading.Event()

    def answer(container: str, command: list[str]) -> ExecResult:
        if command == ["slow"]:
            slow.wait(5)
        return ExecResult(0, "")

    bench.runtime.on_execute = answer
    bench.watch(make_pod(), livenessProbe={"exec": {"command": ["slow"]}}, readinessProbe=COMMAND)
    assert bench.verdicts.get(timeout=2) == ("readiness", True)
    slow.set()


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self._answer(302, "http://elsewhere.invalid/")
        elif self.path == "/here":
            self._answer(302, "/ok")
        else:
            good = self.path == "/ok" and self.headers["X-Test"] == "yes" and "kube-probe" in self.headers["User-Agent"]
            self._answer(200 if good else 500)

    def _answer(self, status: int, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int, path: str) -> Outcome:
    target = ProbeTarget("id", "127.0.0.1", {"name": "c", "ports": [{"name": "web", "containerPort": port}]})
    request = {"port": "web", "path": path, "httpHeaders": [{"name": "X-Test", "value": "yes"}]}
    return http_get(target, request, 5)


def test_http(port: int) -> None:
    assert ask(port, "/ok").success
    assert ask(port, "/bad").message == "HTTP probe failed with statuscode: 500"


def test_http_redirects(port: int) -> None:
    assert ask(port, "/here").success
    away = ask(port, "/away")
    assert away.success
    assert away.warning.startswith("Probe terminated redirects")


def test_http_unknown_port(port: int) -> None:
    target = ProbeTarget("id", "127.0.0.1", {"name": "c"})
    assert http_get(target, {"port": "web"}, 1).message == 'couldn\'t find port: "web" in container c'


def test_tcp(port: int) -> None:
    assert tcp("127.0.0.1", port, 5).success
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    refused = tcp("127.0.0.1", closed, 5)
    assert refused.message == f"dial tcp 127.0.0.1:{closed}: connect: connection refused"


def test_timers_call_in_order() -> None:
    timers, called = Timers(), queue.Queue[int]()
    timers.after(0.02, lambda: called.put(2))
    timers.start()
    timers.after(0.0, lambda: called.put(1))
    assert [called.get(timeout=5), called.get(timeout=5)] == [1, 2]
    timers.stop()


def test_pool_runs_as_many_as_it_may() -> None:
    pool, both, done = Pool("test", 2), threading.Barrier(2), queue.Queue[bool]()

    def work() -> None:
        both.wait(5)  # needs a second thread at the same time
        done.put(True)

    for _ in range(4):
        pool.submit(work)
    assert [done.get(timeout=5) for _ in range(4)] == [True] * 4


def test_signals_that_are_heard() -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    assert is_heard(os.getpid(), "SIGUSR1")
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert not is_heard(os.getpid(), str(signal.SIGUSR1.value))
    signal.signal(signal.SIGUSR1, before)
    assert is_heard(2**30, "SIGTERM")  # no such process
    assert is_heard(os.getpid(), "SIGNONSENSE")


def test_what_runc_would_hear_the_program_would_not() -> None:
    """A container's first process is runc, until that becomes the program; its handlers are gone then."""
    own_name = Path("/proc/self/comm")
    before = own_name.read_text(), signal.signal(signal.SIGUSR1, lambda number, frame: None)
    own_name.write_text("runc:[2:INIT]")
    assert not is_heard(os.getpid(), "SIGUSR1")
    own_name.write_text(before[0])
    assert is_heard(os.getpid(), "SIGUSR1")
    signal.signal(signal.SIGUSR1, before[1])


@pytest.fixture
def health() -> Iterator[tuple[int, list[bytes]]]:
    """A gRPC health service on a free port; it answers with what is put into the list, and notes what it was asked."""
    library = pytest.importorskip("grpc")
    from concurrent.futures import ThreadPoolExecutor

    talk: list[bytes] = []

    def check(request: bytes, context: Any) -> bytes:
        answer = talk.pop()
        talk.append(request)
        return answer

    handlers = {"Check": library.unary_unary_rpc_method_handler(check)}
    server = library.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((library.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, talk
    server.stop(0).wait()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(b"\x08\x01", Outcome(True)), (b"\x08\x02", Outcome(False, 'service unhealthy (responded with "NOT_SERVING")'))],
)
def test_grpc(health: tuple[int, list[bytes]], answer: bytes, outcome: Outcome) -> None:
    port, talk = health
    talk.append(answer)
    target = ProbeTarget("id", "127.0.0.1", {"name": "c"})
    assert grpc(target, {"port": port, "service": "db"}, 10) == outcome
    assert talk == [b"\x0a\x02db"]


def test_grpc_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    refused = grpc(ProbeTarget("id", "127.0.0.1", {"name": "c"}), {"port": closed}, 5)
    assert not refused.success
    assert refused.message
