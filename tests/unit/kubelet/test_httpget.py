"""HTTP probes: one deadline for the whole exchange, every header, and URLs as Go sends them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kubelet.probes.handlers import Outcome, ProbeTarget, http_get
from kubelet.probes.httpget import request_headers, request_target

Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    """Serve one connection on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def ask(port: int, timeout: float = 5, **request: Any) -> Outcome:
    return http_get(ProbeTarget("id", "127.0.0.1", {"name": "c"}), {"port": port, **request}, timeout)


def dripping(connection: socket.socket) -> None:
    """Answer a byte at a time, so that no single read ever takes long, until the client has gone."""
    connection.recv(4096)
    try:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000:
            connection.send(bytes([byte]))
            time.sleep(0.02)
    except OSError:
        return


def test_the_deadline_is_for_the_whole_exchange() -> None:
    with server(dripping) as port:
        began = time.monotonic()
        outcome = ask(port, timeout=0.3)
        took = time.monotonic() - began
    assert not outcome.success
    assert "context deadline exceeded" in outcome.message
    assert took < 3


def silent(connection: socket.socket) -> None:
    """Read what comes and never answer, until the client has gone."""
    while connection.recv(4096):
        pass


def test_a_tls_server_that_never_greets_is_left_in_time() -> None:
    with server(silent) as port:
        assert "context deadline exceeded" in ask(port, timeout=0.2, scheme="HTTPS").message


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100_000, b""])
def test_nonsense_is_a_failure_in_one_line(answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with server(serve) as port:
        outcome = ask(port)
    assert not outcome.success
    assert outcome.message.startswith(f'Get "http://127.0.0.1:{port}/": ')
    assert "\n" not in outcome.message


def test_every_header_is_sent() -> None:
    received: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        received.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    headers = [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}, {"name": "Host", "value": "web.local"}]
    with server(serve) as port:
        assert ask(port, path="/a b?c=d", httpHeaders=headers).success
    head, *lines = received[0].decode().split("\r\n")
    assert head == "GET /a%20b?c=d HTTP/1.1"
    sent = [tuple(line.split(": ", 1)) for line in lines if line]
    assert [value for name, value in sent if name.lower() == "x-a"] == ["1", "2"]
    assert [value for name, value in sent if name.lower() == "host"] == ["web.local"]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\x00b"])
def test_a_header_that_cannot_be_sent_fails_the_probe(value: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outcome = ask(listener.getsockname()[1], httpHeaders=[{"name": "X-A", "value": value}])
    assert not outcome.success
    assert "\n" not in outcome.message


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/", "/"),
        ("", "/"),
        ("healthz", "/healthz"),
        ("/a b", "/a%20b"),
        ("/ä", "/%C3%A4"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%2Fb c", "/a/b%20c"),  # Go escapes the whole path anew when it was not valid as it stood
        ("/100%", "/100%25"),
        ("/%zz?x", "/%25zz%3Fx"),  # unparseable, and so taken literally
        ("/a\nb", "/a%0Ab"),
        ("/x?a=1&b=%20", "/x?a=1&b=%20"),
        ("/x?a b", "/x?a%20b"),
        ("/x#fragment", "/x"),
        ("//host/x", "/x"),
        ("http://elsewhere/x", "/x"),
    ],
)
def test_request_targets(path: str, target: str) -> None:
    assert request_target(path) == target


def test_empty_defaults_are_left_out() -> None:
    given = [{"name": "Accept", "value": ""}, {"name": "user-agent"}]
    assert [name for name, _ in request_headers("h", given)] == ["Host", "Connection"]
