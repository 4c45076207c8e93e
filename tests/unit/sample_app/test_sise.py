"""sise: its documents, its settings and its manners."""

from __future__ import annotations

import importlib.util
import json
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "sample-app" / "sise.py"


@pytest.fixture(scope="module")
def sise() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sise", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sise"] = module
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    """Looked for as sise will take it: on IPv4 and IPv6, and shared with nobody.

    It is none of those that the kernel gives to whoever connects, for one of these may be gone again in a moment.
    """
    for port in random.sample(range(20000, 30000), 100):
        try:
            with socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True):
                return port
        except OSError:
            continue
    raise AssertionError("all ports are taken")


TRIES = 5


class Running:
    def __init__(self, **environment: str) -> None:
        for _ in range(TRIES):
            self._start(environment)
            if self.greeting:
                return
            self.process.communicate()  # another program may have taken the port a moment before

    def _start(self, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(PROGRAM)],
            env={"PORT0": str(self.port), **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture
def running() -> Iterator[Running]:
    server = Running()
    yield server
    server.process.kill()
    server.process.communicate()


def test_endpoint0_is_the_articles_document(running: Running) -> None:
    host = f"127.0.0.1:{running.port}"
    assert running.get("/endpoint0") == f'{{"host": "{host}", "version": "0.4.0", "result": "all is well"}}'
    assert running.greeting == f"This is a simple service in version v0.4.0 listening on port {running.port}\n"


def test_info_and_health(running: Running) -> None:
    assert json.loads(running.get("/info?x=1")) == {
        "host": f"127.0.0.1:{running.port}",
        "version": "0.4.0",
        "from": "127.0.0.1",
    }
    assert json.loads(running.get("/health")) == {"healthy": True}


def test_logs_a_line_a_request(running: Running) -> None:
    running.get("/endpoint0")
    assert running.process.stdout is not None
    line = running.process.stdout.readline()
    assert "200 GET /endpoint0 (127.0.0.1)" in line


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /info HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET /info HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET /info HTTP/1.1\r\nHost: a\x1b[2Jb\r\n\r\n", b"400"),
        (b"GET /info HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_refuses_what_it_does_not_serve(running: Running, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(sent)
        assert connection.recv(65536).split()[1] == status


def test_two_requests_on_one_connection(running: Running) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(request + request)
        received = b""
        while received.count(b'{"healthy": true}') < 2:
            received += connection.recv(65536)


def test_stops_promptly_on_sigterm_with_an_idle_connection_open(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port)):
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(2) == 0


def test_a_request_under_way_is_answered_before_it_stops() -> None:
    server = Running(HEALTH_MIN="300", HEALTH_MAX="300")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        with pytest.raises(urllib.error.HTTPError):
            server.get("/nothing")  # once this is answered, the first is certainly under way
        server.process.send_signal(signal.SIGTERM)
        assert b'{"healthy": true}' in connection.recv(65536)
    assert server.process.wait(5) == 0
    server.process.communicate()


def test_settings_come_from_the_environment(sise: ModuleType) -> None:
    assert sise.read_settings({}) == (9876, "0.4.0", 0, 0)
    environment = {"PORT0": "80", "VERSION": "0.9", "HEALTH_MIN": "5", "HEALTH_MAX": "7"}
    assert sise.read_settings(environment) == (80, "0.9", 5, 7)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PORT0": "http"}, "PORT0 must be a whole number from 1 to 65535, not 'http'"),
        ({"PORT0": "0"}, "PORT0 must be"),
        ({"PORT0": "65536"}, "PORT0 must be"),
        ({"HEALTH_MIN": "-1"}, "HEALTH_MIN must be"),
        ({"HEALTH_MIN": "9", "HEALTH_MAX": "3"}, "HEALTH_MIN \\(9\\) must not be above HEALTH_MAX \\(3\\)"),
    ],
)
def test_wrong_settings_are_named(sise: ModuleType, environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sise.read_settings(environment)
