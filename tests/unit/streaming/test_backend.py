"""Connections to kubelets and pods: certificates, and answers that are, or are not, streams."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apiserver.config import Config
from apiserver.streaming.backend import BackendError, Dialer, open_stream
from apiserver.streaming.targets import ProxyTarget
from cluster import pki
from cluster.settings import State
from machinery.errors import BadRequest


class TlsServer:
    """Takes one connection and answers one request."""

    def __init__(self, context: ssl.SSLContext, run: Callable[..., Any]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.target = ProxyTarget("https", "127.0.0.1", self._listener.getsockname()[1])
        self._context = context
        self._serving = run(self._serve)

    def _serve(self) -> None:
        raw, _ = self._listener.accept()
        with raw, self._context.wrap_socket(raw, server_side=True) as sock:
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def close(self) -> None:
        try:
            self._serving.result()
        except OSError:  # the client did not like the certificate
            pass
        finally:
            self._listener.close()


def test_a_pods_certificate_may_be_any(server_tls: ssl.SSLContext, run: Callable[..., Any]) -> None:
    server = TlsServer(server_tls, run)
    connection = Dialer(Config()).server(server.target)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"ok"
    connection.close()
    server.close()


def test_a_kubelets_certificate_must_be_the_clusters(
    server_tls: ssl.SSLContext, certificate: Path, run: Callable[..., Any]
) -> None:
    server = TlsServer(server_tls, run)
    with pytest.raises(BackendError, match=r"dial tcp 127\.0\.0\.1:\d+: tls: "):
        # The certificate is signed by this authority, but for another name.
        Dialer(Config(kubelet_certificate_authority=certificate)).kubelet(server.target)
    server.close()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("cluster"))
    pki.ensure(state, "n", "127.0.0.1")
    return state


@pytest.mark.parametrize(
    ("name", "user", "taken"),
    [
        ("kubelet", "system:node:n", True),
        ("kubelet", "system:node:other", False),
        ("apiserver", "system:node:n", False),  # the API server's own port, say
    ],
)
def test_a_kubelet_on_loopback_proves_whose_it_is(
    state: State, run: Callable[..., Any], name: str, user: str, taken: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(state.pki / f"{name}.crt", state.pki / f"{name}.key")
    server = TlsServer(context, run)
    dialer = Dialer(Config(kubelet_certificate_authority=state.pki / "ca.crt"))
    if taken:
        connection = dialer.kubelet(server.target._replace(user=user))
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
        connection.close()
    else:
        with pytest.raises(BadRequest, match=r"^address not allowed$"):
            dialer.kubelet(server.target._replace(user=user))
    server.close()


def test_nobody_is_told_what_listens_on_loopback(state: State) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = ProxyTarget("https", "127.0.0.1", listener.getsockname()[1], "system:node:n")
        with pytest.raises(BadRequest, match=r"^address not allowed$"):
            Dialer(Config()).kubelet(target)  # without an authority nothing can be proved, so nothing is tried
    with pytest.raises(BadRequest, match=r"^address not allowed$"):
        Dialer(Config(kubelet_certificate_authority=state.pki / "ca.crt")).kubelet(target)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(BackendError, match=f"^dial tcp 127.0.0.1:{port}: connect: connection refused$"):
        Dialer(Config()).server(ProxyTarget("http", "127.0.0.1", port))


def test_what_follows_a_101_is_kept(pair: Any) -> None:
    client, backend = pair()
    backend.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\nfirst frame")
    stream = open_stream(client, "POST", "/exec?command=ls", [("Host", "n:1"), ("Upgrade", "SPDY/3.1")])
    assert (stream.code, stream.headers["Upgrade"], stream.ahead) == (101, "SPDY/3.1", b"first frame")
    assert stream.head == b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n"
    assert backend.recv(4096) == b"POST /exec?command=ls HTTP/1.1\r\nHost: n:1\r\nUpgrade: SPDY/3.1\r\n\r\n"


def test_any_other_answer_has_an_ordinary_body(pair: Any) -> None:
    client, backend = pair()
    backend.sendall(b"HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnot ")
    stream = open_stream(client, "GET", "/", [])
    backend.sendall(b"\r\n5\r\ntoday\r\n0\r\n\r\n")
    response = stream.response("GET")
    assert (response.status, response.read()) == (500, b"not today")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n", b"\r\n\r\n", b"x" * 70_000])
def test_what_is_no_answer(pair: Any, answer: bytes) -> None:
    client, backend = pair()
    backend.sendall(answer)
    backend.shutdown(socket.SHUT_WR)
    with pytest.raises(BackendError):
        open_stream(client, "GET", "/", [])


def test_a_line_break_cannot_be_smuggled_into_the_request(pair: Any) -> None:
    client, _ = pair()
    with pytest.raises(BackendError, match="line break"):
        open_stream(client, "GET", "/", [("X", "a\r\nEvil: 1")])
