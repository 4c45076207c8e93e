"""Connections to kubelets and pods: certificates, and answers that are, or are not, streams."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from apiserver.config import Config
from apiserver.streaming.backend import BackendError, BackendSocket, ClientLeft, Dialer, open_stream
from apiserver.streaming.targets import ProxyTarget
from apiserver.streaming.upgrade import proxied, upgrade
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


def get(backend: BackendSocket) -> bytes:
    connection = http.client.HTTPConnection("backend")
    connection.sock = backend
    connection.request("GET", "/")
    with connection.getresponse() as response:
        return response.read()


def test_a_pods_certificate_may_be_any(server_tls: ssl.SSLContext, run: Callable[..., Any]) -> None:
    server = TlsServer(server_tls, run)
    connection = Dialer(Config()).server(server.target)
    assert get(connection) == b"ok"
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
        assert get(connection) == b"ok"
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
    stream = open_stream(BackendSocket(client), "POST", "/exec?command=ls", [("Host", "n:1"), ("Upgrade", "SPDY/3.1")])
    assert (stream.code, stream.headers["Upgrade"], stream.ahead) == (101, "SPDY/3.1", b"first frame")
    assert stream.head == b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n"
    assert backend.recv(4096) == b"POST /exec?command=ls HTTP/1.1\r\nHost: n:1\r\nUpgrade: SPDY/3.1\r\n\r\n"


def test_any_other_answer_has_an_ordinary_body(pair: Any) -> None:
    client, backend = pair()
    backend.sendall(b"HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnot ")
    stream = open_stream(BackendSocket(client), "GET", "/", [])
    backend.sendall(b"\r\n5\r\ntoday\r\n0\r\n\r\n")
    response = stream.response("GET")
    assert (response.status, response.read()) == (500, b"not today")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n", b"\r\n\r\n", b"x" * 70_000])
def test_what_is_no_answer(pair: Any, answer: bytes) -> None:
    client, backend = pair()
    backend.sendall(answer)
    backend.shutdown(socket.SHUT_WR)
    with pytest.raises(BackendError):
        open_stream(BackendSocket(client), "GET", "/", [])


def test_a_line_break_cannot_be_smuggled_into_the_request(pair: Any) -> None:
    client, _ = pair()
    with pytest.raises(BackendError, match="line break"):
        open_stream(BackendSocket(client), "GET", "/", [("X", "a\r\nEvil: 1")])


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"])
def test_whoever_waits_for_a_backend_notices_that_the_client_leaves(
    pair: Any, run: Callable[..., Any], begun: bytes
) -> None:
    """Before the head of the response, and in the middle of its body."""
    ours, backend = pair()
    browser, client = pair()
    backend.sendall(begun)
    waiting = run(get, BackendSocket(ours, client))
    assert backend.recv(4096).startswith(b"GET / HTTP/1.1\r\n")
    browser.close()
    with pytest.raises(ClientLeft):
        waiting.result()
    assert backend.recv(1) == b"", "and the backend's connection goes with it"


def test_a_backend_that_takes_nothing_holds_nobody_whose_client_has_left(pair: Any, run: Callable[..., Any]) -> None:
    ours, _backend = pair(small=True)
    browser, client = pair()
    sending = run(BackendSocket(ours, client).sendall, bytes(10_000_000))
    browser.close()
    with pytest.raises(ClientLeft):
        sending.result()


def test_a_backend_has_a_time_for_all_of_its_answer(pair: Any, run: Callable[..., Any]) -> None:
    ours, backend = pair()
    waiting = BackendSocket(ours)
    waiting.expire_after(0.3)
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.05):
            with suppress(OSError):
                backend.sendall(b"x")

    dripping = run(drip)
    with pytest.raises(TimeoutError):
        while waiting.recv(10):
            continue
    over.set()
    dripping.result()


class Answer:
    """A response as http.client reads it from a backend's bytes."""

    def __new__(cls, data: bytes, method: str = "GET") -> http.client.HTTPResponse:  # type: ignore[misc]
        ours, backend = socket.socketpair()
        with backend:
            backend.sendall(data)
        response = http.client.HTTPResponse(BackendSocket(ours), method=method)  # type: ignore[arg-type]
        response.begin()
        return response


@pytest.mark.parametrize(
    ("head", "headers", "body"),
    [
        (b"Content-Length: 4", {"Content-Length": "4"}, b"body"),
        (b"Content-Length: 4\r\nContent-Length: 4", {"Content-Length": "4"}, b"body"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n", {}, b"body"),
        (b"X: 1", {"X": "1"}, b"body"),
        (b"X: a\r\n b\r\n\tc", {"X": "a b c"}, b"body"),
        (b"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTrailer: y", {}, b"body"),
        (b"Connection: a\r\nConnection: b\r\nA: 1\r\nB: 2", {}, b"body"),
    ],
)
def test_the_framing_of_a_response_is_ours(head: bytes, headers: dict[str, str], body: bytes) -> None:
    answer = proxied(Answer(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + (b"" if b"\r\n\r\n" in head else b"body")))
    assert dict(answer.headers) == headers
    assert b"".join(answer.response) == body  # type: ignore[arg-type]
    answer.close()


def test_the_length_of_a_head_request_is_the_backends() -> None:
    answer = proxied(Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", "HEAD"))
    assert (answer.headers["Content-Length"], b"".join(answer.response)) == ("12345", b"")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "head",
    [
        b"200 OK\r\nContent-Length: 4\r\nContent-Length: 5",
        b"200 OK\r\nContent-Length: 4, 4",
        b"200 OK\r\nContent-Length: +4",
        b"200 OK\r\nContent-Length: 4_0",
        b"200 OK\r\nContent-Length: \xb2",
        b"200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"200 OK\r\nTransfer-Encoding: xchunked",
        b"200 OK\r\nX: a\x00b",
        b"200 OK\r\nX: a\x0bb",
        b"200 OK\r\nX@Y: a",
        b"101 Switching Protocols\r\nUpgrade: x",
        b"103 Early Hints\r\nX: y",
    ],
)
def test_a_response_that_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(BackendError):
        proxied(Answer(b"HTTP/1.1 " + head + b"\r\n\r\nbody"))


@pytest.mark.parametrize("framing", [{"CONTENT_LENGTH": "5"}, {"HTTP_TRANSFER_ENCODING": "chunked"}])
def test_an_upgrade_with_a_body_is_refused(pair: Any, framing: dict[str, str]) -> None:
    ours, backend = pair()
    with pytest.raises(BadRequest, match="must not have a body"):
        upgrade({"REQUEST_METHOD": "GET", **framing}, BackendSocket(ours), "/", [])
    assert backend.recv(1) == b""
