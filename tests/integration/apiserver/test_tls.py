"""Connections whose client stops in the middle."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from integration.served import Pki

from apiserver.serving import sockets, tls

pytestmark = pytest.mark.etcd


@pytest.fixture
def pair(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """A server's and a client's end of one TLS connection; the server gives up after 0.1 seconds."""
    monkeypatch.setattr(sockets, "STALL_TIMEOUT", 0.1)
    context = tls.ServerTLS(pki.folder / "server.crt", pki.folder / "server.key", pki.ca).context()
    ours, theirs = socket.socketpair()
    server = context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
    client = pki.client_context().wrap_socket(theirs, server_hostname="127.0.0.1", do_handshake_on_connect=False)
    yield server, client
    server.close()
    client.close()


def test_half_a_handshake(pair: tuple[ssl.SSLSocket, ssl.SSLSocket]) -> None:
    server, _ = pair
    server.setblocking(True)
    with pytest.raises(ConnectionResetError):
        server.do_handshake()


def test_half_a_request_and_an_answer_that_nobody_takes(pair: tuple[ssl.SSLSocket, ssl.SSLSocket]) -> None:
    server, client = pair
    shaking = threading.Thread(target=client.do_handshake)
    shaking.start()
    server.setblocking(True)
    server.do_handshake()
    shaking.join(10)
    client.sendall(b"GET ")
    assert server.recv(100) == b"GET "
    with pytest.raises(ConnectionResetError):
        server.recv(100)
    with pytest.raises(ConnectionResetError):
        server.sendall(b"x" * (8 << 20))


def test_without_blocking_nothing_changes(pair: tuple[ssl.SSLSocket, ssl.SSLSocket]) -> None:
    server, _ = pair
    server.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()


def test_a_time_for_the_whole_is_not_prolonged_by_single_bytes() -> None:
    plain, sender = socket.socketpair()
    server = sockets.PlainSocket.of(plain)
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.02):
            sender.send(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    with server.deadline(0.2), pytest.raises(ConnectionResetError):
        while True:
            assert server.recv(100)
    assert server.recv(100), "it may go on when it is no longer expected to end"
    stop.set()
    dripping.join()
    server.close()
    sender.close()
