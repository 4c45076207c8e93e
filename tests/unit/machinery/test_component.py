"""What every component's main stands on: health, signals, stop callbacks."""

from __future__ import annotations

import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer

import pytest

from machinery import component
from machinery.stopping import call_on
from machinery.workqueue import WorkQueue


def fetch(server: ThreadingHTTPServer, path: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{server.server_port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health() -> None:
    problem = ""
    queue = WorkQueue("test-health")
    server = component.serve_health("127.0.0.1:0", lambda: problem)
    assert server is not None
    assert fetch(server, "/healthz") == (200, "ok")
    problem = "rules are 40 s old"
    assert fetch(server, "/readyz?verbose") == (503, "rules are 40 s old")
    assert fetch(server, "/secret")[0] == 404
    code, text = fetch(server, "/metrics")
    assert code == 200
    assert "\nprocess_cpu_seconds_total " in text
    assert "# TYPE workqueue_depth gauge" in text
    server.server_close()
    assert len(queue) == 0
    assert component.serve_health("", lambda: "") is None


def test_silent_clients_of_the_health_port_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component, "MOST_HEALTH_CLIENTS", 5)
    server = component.serve_health("127.0.0.1:0", lambda: "")
    assert server is not None
    before = threading.active_count()
    silent = [socket.create_connection(("127.0.0.1", server.server_port), 5) for _ in range(30)]
    assert fetch(server, "/healthz") == (200, "ok")
    assert all(sock.recv(1) == b"" for sock in silent[:25])
    assert threading.active_count() <= before + 10
    for sock in silent:
        sock.close()
    server.server_close()


def test_a_busy_health_port_ends_the_component_with_a_clear_line(caplog: pytest.LogCaptureFixture) -> None:
    server = component.serve_health("127.0.0.1:0", lambda: "")
    assert server is not None
    with pytest.raises(SystemExit):
        component.serve_health(f"127.0.0.1:{server.server_port}", lambda: "")
    assert "Choose another --healthz-bind-address" in caplog.text
    server.server_close()


def test_signals() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = component.stop_on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_callbacks_on_stop() -> None:
    stop, called = threading.Event(), threading.Event()
    cancelled: list[int] = []

    def fail() -> None:
        raise RuntimeError("on purpose")

    call_on(stop, lambda: cancelled.append(1))()
    call_on(stop, fail)
    call_on(stop, called.set)
    stop.set()
    assert called.wait(5)
    late: list[int] = []
    call_on(stop, lambda: late.append(1))
    assert (late, cancelled) == ([1], [])
