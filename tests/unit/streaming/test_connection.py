"""A client's connection: TLS within a time limit, lines, and an end that loses nothing."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest

from kubelet.server.connection import Connection


def test_the_handshake_of_a_mute_client_times_out(pair: Any, server_tls: ssl.SSLContext) -> None:
    _, server = pair()
    connection = Connection(server, server_tls)
    with pytest.raises(TimeoutError):
        connection.handshake(0.05)
    connection.close()


def test_lines_and_what_follows_them(pair: Any) -> None:
    client, server = pair()
    connection = Connection(server)
    client.sendall(b"GET / HTTP/1.1\r\n\r\nbody")
    assert [connection.readline(), connection.readline()] == [b"GET / HTTP/1.1\r\n", b"\r\n"]
    assert connection.pending()
    assert connection.read() == b"body"
    assert not connection.pending()
    assert connection.receive() is None
    client.sendall(b"abcdef\n")
    assert [connection.readline(3), connection.readline(100)] == [b"abc", b"def\n"]
    client.close()
    assert [connection.readline(), connection.receive()] == [b"", b""]


def test_reading_gives_up_at_the_deadline(pair: Any) -> None:
    client, server = pair()
    connection = Connection(server)
    connection.deadline = time.monotonic() + 0.05
    client.sendall(b"no end of line")
    with pytest.raises(TimeoutError):
        connection.readline()


def test_everything_arrives_over_tls(
    pair: Any, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, run: Callable[..., Any], read_all: Any
) -> None:
    client, server = pair()
    connection, data = Connection(server, server_tls), os.urandom(2 << 20)

    def serve() -> bytes:
        connection.handshake(10)
        question = connection.readline()
        connection.send(data)
        connection.close(linger=10)
        return question

    serving = run(serve)
    secure = client_tls.wrap_socket(client)
    secure.sendall(b"question\n" + b"never read by the server" * 1000)
    assert read_all(secure) == data
    secure.close()
    assert serving.result() == b"question\n"


def test_abort_wakes_a_reader(pair: Any, run: Callable[..., Any]) -> None:
    _, server = pair()
    connection = Connection(server)
    reading = run(connection.read)
    connection.abort()
    assert reading.result() == b""
