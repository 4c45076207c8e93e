"""Pairs of connected sockets, plain and TLS, and threads that must end."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from machinery.sockets import untaken

Pair = Callable[..., tuple[socket.socket, socket.socket]]


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Closed after the test."""
    opened: list[socket.socket] = []
    yield opened
    for sock in opened:
        sock.close()


@pytest.fixture
def pair(sockets: list[socket.socket]) -> Pair:
    """Makes two ends of a TCP connection; the first is the client's. ``small`` ones take little that is not read."""

    def connect(*, small: bool = False) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        for sock in (client, server):
            sock.settimeout(10)
            if small:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sockets.extend((client, server))
        return client, server

    return connect


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # as serving/tls.py and kubelet/server/server.py
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def client_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # as apiserver/streaming/backend.py
    return context


@pytest.fixture
def tls_pair(pair: Pair, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, sockets: list[socket.socket]) -> Pair:
    """The same over TLS."""

    def connect() -> tuple[socket.socket, socket.socket]:
        client, server = pair()
        wrapped: list[ssl.SSLSocket] = []
        accepting = threading.Thread(target=lambda: wrapped.append(server_tls.wrap_socket(server, server_side=True)))
        accepting.start()
        secure = client_tls.wrap_socket(client)
        accepting.join(10)
        sockets.extend((secure, wrapped[0]))
        return secure, wrapped[0]

    return connect


class Running:
    """A call in a thread of its own, with its result."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._outcome: list[Any] = []
        self._error: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(function, *arguments), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            self._outcome.append(function(*arguments))
        except BaseException as error:
            self._error.append(error)

    @property
    def goes_on(self) -> bool:
        return self._thread.is_alive()

    def result(self, seconds: float = 10) -> Any:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "it hangs"
        if self._error:
            raise self._error[0]
        return self._outcome[0]


@pytest.fixture
def run() -> Callable[..., Running]:
    return Running


def _receive(sock: socket.socket) -> bytes:
    """A peer that closes with unread session tickets in its buffer resets the connection: that is an end as well."""
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""


def read_all(sock: socket.socket) -> bytes:
    """Until the end of the stream."""
    data = bytearray()
    while chunk := _receive(sock):
        data += chunk
    return bytes(data)


@pytest.fixture(name="read_all")
def read_all_fixture() -> Callable[[socket.socket], bytes]:
    return read_all


def tee(sock: socket.socket, received: bytearray) -> None:
    """Read until the end or a reset, and write a little for each time, whether somebody takes it or not."""
    with suppress(OSError):
        while chunk := sock.recv(65536):
            received += chunk
            with suppress(OSError):
                sock.sendall(b"took some")
    sock.close()


@pytest.fixture(name="tee")
def tee_fixture() -> Callable[[socket.socket, bytearray], None]:
    return tee


@pytest.fixture(name="send_and_close")
def send_and_close_fixture() -> Callable[..., None]:
    return send_and_close


def send_and_close(sock: socket.socket, data: bytes = b"") -> None:
    """Send, and close as soon as everything has left: a kernel discards the rest of a connection that it resets."""
    sock.sendall(data)
    while untaken(sock):
        os.sched_yield()
    sock.close()
