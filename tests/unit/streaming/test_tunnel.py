"""A tunnel between two connections: everything arrives, ends are passed on, who is gone is noticed."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from apiserver.streaming.tunnel import Tunnels

DATA = os.urandom(3 << 20)


@pytest.fixture(params=["plain", "tls"])
def ends(request: pytest.FixtureRequest, pair: Any, tls_pair: Any) -> tuple[Any, Any, Any, Any]:
    """client, its end in the tunnel, the backend's end in the tunnel, backend."""
    connect = pair if request.param == "plain" else tls_pair
    client, inner_client = connect()
    inner_backend, backend = connect()
    return client, inner_client, inner_backend, backend


def test_both_directions_at_once(ends: Any, run: Callable[..., Any]) -> None:
    client, inner_client, inner_backend, backend = ends
    tunnel = run(Tunnels().carry, inner_client, inner_backend, b"read ahead by the parser;", b"and behind the 101;")

    def exchange(sock: Any, expected: bytes) -> bytes:
        # One thread an end: OpenSSL forbids two on one connection.
        sock.setblocking(False)
        received, rest = bytearray(), memoryview(DATA)
        while rest or len(received) < len(expected):
            try:
                rest = rest[sock.send(rest[:65536]) :] if rest else rest
            except OSError:
                pass
            try:
                received += sock.recv(65536)
            except OSError:
                pass
        return bytes(received)

    at_client = run(exchange, client, b"and behind the 101;" + DATA)
    at_backend = run(exchange, backend, b"read ahead by the parser;" + DATA)
    assert at_client.result(60) == b"and behind the 101;" + DATA
    assert at_backend.result(60) == b"read ahead by the parser;" + DATA
    client.close()
    backend.close()
    tunnel.result()


def test_the_end_of_one_direction_is_passed_on_and_the_other_goes_on(
    pair: Any, run: Callable[..., Any], read_all: Any
) -> None:
    client, inner_client = pair()
    inner_backend, backend = pair()
    tunnel = run(Tunnels().carry, inner_client, inner_backend)
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read_all(backend) == b"question"
    backend.sendall(b"answer")
    backend.close()
    assert read_all(client) == b"answer"
    tunnel.result()


def test_a_client_that_leaves_ends_the_tunnel(ends: Any, run: Callable[..., Any], read_all: Any) -> None:
    client, inner_client, inner_backend, backend = ends
    tunnel = run(Tunnels().carry, inner_client, inner_backend)
    client.close()
    assert read_all(backend) == b""
    backend.close()
    tunnel.result()


def test_a_backend_that_leaves_ends_the_tunnel_after_its_last_words(
    ends: Any, run: Callable[..., Any], read_all: Any
) -> None:
    client, inner_client, inner_backend, backend = ends
    tunnel = run(Tunnels().carry, inner_client, inner_backend)
    backend.sendall(b"last words")
    backend.close()
    assert read_all(client) == b"last words"
    client.close()
    tunnel.result()


def test_a_client_that_leaves_while_the_backend_does_not_read_is_noticed(pair: Any, run: Callable[..., Any]) -> None:
    client, inner_client = pair()
    inner_backend, backend = pair(small=True)
    tunnel = run(Tunnels(half_closed_timeout=0.1).carry, inner_client, inner_backend)
    # More than the tunnel and the backend take, less than would keep the client's farewell from arriving.
    client.sendall(DATA[:280_000])
    assert tunnel.goes_on
    client.close()
    tunnel.result()
    backend.close()


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_what_a_client_sends_before_it_leaves_arrives_though_it_takes_nothing(
    ends: Any, run: Callable[..., Any], size: int, send_and_close: Any, tee: Any
) -> None:
    client, inner_client, inner_backend, backend = ends
    received = bytearray()
    echo, tunnel = run(tee, backend, received), run(Tunnels().carry, inner_client, inner_backend)
    writing = run(lambda: send_and_close(client, DATA[:size]))
    writing.result()
    tunnel.result()
    echo.result()
    assert received == DATA[:size]


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_what_a_backend_says_before_it_leaves_arrives_though_it_takes_nothing(
    pair: Any, run: Callable[..., Any], read_all: Any, size: int, send_and_close: Any
) -> None:
    client, inner_client = pair()
    inner_backend, backend = pair()
    client.sendall(DATA[:100_000])
    tunnel = run(Tunnels().carry, inner_client, inner_backend)
    talking = run(send_and_close, backend, DATA[:size])
    assert read_all(client) == DATA[:size]
    talking.result()
    client.close()
    tunnel.result()


def test_stop_ends_open_tunnels_and_new_ones(pair: Any, run: Callable[..., Any], read_all: Any) -> None:
    tunnels = Tunnels()
    client, inner_client = pair()
    inner_backend, backend = pair()
    begun = threading.Event()

    def relay() -> None:
        begun.set()
        tunnels.carry(inner_client, inner_backend)

    tunnel = run(relay)
    begun.wait(10)
    client.sendall(b"x")
    assert backend.recv(1) == b"x"
    tunnels.stop()
    tunnel.result()
    assert read_all(client) == b""
    _, late_client = pair()
    late_backend, _ = pair()
    run(tunnels.carry, late_client, late_backend).result()


@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("moment", [0, 1, 2])
@pytest.mark.parametrize("ender", ["client", "backend"])
def test_who_ends_its_half_still_gets_everything(
    ends: Any, run: Callable[..., Any], read_all: Any, ender: str, moment: int, size: int
) -> None:
    """The moment: before the other end has sent anything, in the middle of it, or right behind it."""
    client, inner_client, inner_backend, backend = ends
    ending, other = (client, backend) if ender == "client" else (backend, client)
    tunnel = run(Tunnels().carry, inner_client, inner_backend)
    parts = [b"", DATA[:size]] if moment == 0 else [DATA[: size // 2], DATA[size // 2 : size]]
    parts = [DATA[:size], b""] if moment == 2 else parts
    go = threading.Event()

    def talk() -> None:
        other.sendall(parts[0])
        if moment == 0:
            go.wait(10)
        other.sendall(parts[1])

    talking = run(talk)
    ending.sendall(b"the last")
    socket.socket.shutdown(ending, socket.SHUT_WR)  # without TLS's goodbye, which Python can only say by reading, too
    go.set()
    talking.result()
    received, expected = bytearray(), size
    while len(received) < expected:
        chunk = ending.recv(65536)
        assert chunk, len(received)
        received += chunk
    assert received == DATA[:size]
    assert read_all(other) == b"the last"
    other.close()
    ending.close()
    tunnel.result()
