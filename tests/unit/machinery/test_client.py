"""The client against a small HTTP server in this process: paths, bodies, errors, watches, broken connections, TLS."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from machinery import errors
from machinery.client import Client
from machinery.kubeconfig import ClientConfig
from machinery.metrics import METRICS
from machinery.resources import LEASES, PODS


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        assert isinstance(self.server, Server)
        server = self.server
        server.requests.append((self.command, self.path, dict(self.headers), json.loads(body) if body else None))
        server.peers.append(self.client_address)
        server.answer(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def reply(self, code: Any, value: Any, **headers: Any) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.requests: list[Any] = []
        self.peers: list[Any] = []
        self.answer: Callable[[Handler], Any] = lambda handler: handler.reply(200, {"ok": True})


@pytest.fixture
def server() -> Iterator[Any]:
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(server: Any) -> Iterator[Any]:
    client = Client(ClientConfig(f"http://127.0.0.1:{server.server_port}", token="secret"), user_agent="test")
    yield client
    client.close()


def test_verbs(server: Any, client: Any) -> None:
    pod = {"metadata": {"namespace": "ns", "name": "p"}}
    client.create(PODS, pod)
    client.update(PODS, pod, subresource="status")
    client.patch(PODS, "p", "ns", {"a": 1}, type="strategic")
    client.patch(PODS, "p", "ns", [{"op": "remove", "path": "/a"}], type="json")
    client.delete(PODS, "p", "ns", grace_period=0, propagation="Orphan", uid="u")
    client.delete(PODS, "p", "ns")
    client.create_subresource(PODS, "p", "ns", "binding", {"target": {"name": "n"}})
    client.delete_collection(LEASES, "ns", propagation="Background")
    client.list(LEASES, "ns", label_selector="a=b,c")
    calls = [(method, path, body) for method, path, _, body in server.requests]
    options = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Orphan",
        "preconditions": {"uid": "u"},
    }
    leases = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
    assert calls == [
        ("POST", "/api/v1/namespaces/ns/pods", pod),
        ("PUT", "/api/v1/namespaces/ns/pods/p/status", pod),
        ("PATCH", "/api/v1/namespaces/ns/pods/p", {"a": 1}),
        ("PATCH", "/api/v1/namespaces/ns/pods/p", [{"op": "remove", "path": "/a"}]),
        ("DELETE", "/api/v1/namespaces/ns/pods/p", options),
        ("DELETE", "/api/v1/namespaces/ns/pods/p", None),
        ("POST", "/api/v1/namespaces/ns/pods/p/binding", {"target": {"name": "n"}}),
        ("DELETE", leases, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}),
        ("GET", f"{leases}?labelSelector=a%3Db%2Cc", None),
    ]
    headers = server.requests[2][2]
    assert headers["Content-Type"] == "application/strategic-merge-patch+json"
    assert headers["Authorization"] == "Bearer secret"
    assert headers["User-Agent"] == "test"
    assert len(set(server.peers)) == 1  # one connection for all


def test_list_gives_items_their_kind(server: Any, client: Any) -> None:
    server.answer = lambda handler: handler.reply(200, {"metadata": {"resourceVersion": "5"}, "items": [{}]})
    result = client.list(PODS, field_selector="spec.nodeName=n", limit=5)
    assert result["items"] == [{"kind": "Pod", "apiVersion": "v1"}]
    assert server.requests[0][1] == "/api/v1/pods?fieldSelector=spec.nodeName%3Dn&limit=5"


def test_errors_come_back_as_what_they_were(server: Any, client: Any) -> None:
    server.answer = lambda handler: handler.reply(404, errors.not_found("pods", "p").status())
    with pytest.raises(errors.NotFound, match='pods "p" not found'):
        client.get(PODS, "p", "ns")
    server.answer = lambda handler: handler.reply(429, errors.ApiError("slow", code=429).status(), Retry_After="3")
    with pytest.raises(errors.TooManyRequests) as caught:
        client.get(PODS, "p", "ns")
    assert caught.value.retry_after == 3
    server.answer = lambda handler: handler.reply(502, b"<html>bad gateway")
    with pytest.raises(errors.ApiError, match="bad gateway") as other:
        client.get(PODS, "p", "ns")
    assert other.value.code == 502


def drop_first(server: Any) -> None:
    """The first request's connection is cut without an answer."""

    def answer(handler: Any) -> None:
        if len(server.requests) == 1:
            handler.close_connection = True
        else:
            handler.reply(200, {"ok": True})

    server.answer = answer


def test_a_read_is_repeated_when_the_connection_breaks(server: Any, client: Any) -> None:
    drop_first(server)
    assert client.get(PODS, "p", "ns") == {"ok": True}
    assert len(server.requests) == 2


def test_a_write_is_not(server: Any, client: Any) -> None:
    drop_first(server)
    with pytest.raises(errors.ServiceUnavailable):
        client.create(PODS, {"metadata": {}}, "ns")
    assert len(server.requests) == 1


def test_nobody_listens() -> None:
    with pytest.raises(
        errors.ServiceUnavailable, match=r"cannot reach the API server at http://127.0.0.1:1: .*refused"
    ):
        Client(ClientConfig("http://127.0.0.1:1")).get(PODS, "p", "ns")


def event(name: Any) -> Any:
    return json.dumps({"type": "ADDED", "object": {"metadata": {"name": name}}}).encode() + b"\n"


def test_watch_yields_each_event_when_it_comes_however_it_is_cut(server: Any, client: Any) -> None:
    more = threading.Event()

    def answer(handler: Any) -> None:
        handler.begin_stream()
        first = event("a") + event("b")
        handler.chunk(first[:10])
        handler.chunk(first[10:])
        assert more.wait(5)
        handler.chunk(event("c"))
        handler.chunk(b"")

    server.answer = answer
    events = client.watch(PODS, "ns", resource_version="7", timeout=60)
    assert [next(events).object["metadata"]["name"] for _ in range(2)] == ["a", "b"]
    more.set()
    assert [e.object["metadata"]["name"] for e in events] == ["c"]
    assert server.requests[0][1] == (
        "/api/v1/namespaces/ns/pods?watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=60"
    )


def test_watch_raises_an_error_event(server: Any, client: Any) -> None:
    def answer(handler: Any) -> None:
        handler.begin_stream()
        handler.chunk(json.dumps({"type": "ERROR", "object": errors.Gone("too old").status()}).encode() + b"\n")
        handler.chunk(b"")

    server.answer = answer
    with pytest.raises(errors.Gone, match="too old"):
        list(client.watch(PODS, resource_version="1"))


def test_a_watch_that_breaks_raises(server: Any, client: Any) -> None:
    def answer(handler: Any) -> None:
        handler.begin_stream()
        handler.chunk(event("a"))
        handler.close_connection = True

    server.answer = answer
    events = client.watch(PODS)
    assert next(events).object["metadata"]["name"] == "a"
    with pytest.raises(errors.ServiceUnavailable):
        next(events)


@pytest.mark.parametrize("tls", [False, True])
def test_stop_ends_a_silent_watch_at_once(server: Any, client: Any, tls: Any, authority: Any) -> None:
    hold = threading.Event()

    def answer(handler: Any) -> None:
        handler.begin_stream()
        handler.chunk(event("a"))
        hold.wait(10)
        handler.close_connection = True

    if tls:
        client = authority.secure(server)
    server.answer = answer
    stop, ended, first = threading.Event(), [], threading.Event()

    def watch() -> None:
        for _ in client.watch(PODS, stop=stop):
            first.set()
        ended.append(time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    assert first.wait(5)
    began = time.monotonic()
    stop.set()
    thread.join(5)
    hold.set()
    assert ended
    assert ended[0] - began < 1


class Authority:
    """A throw-away certificate authority with a certificate for 127.0.0.1 and one for a client."""

    def __init__(self, folder: Any) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        def make(name: Any, issuer: Any = None, issuer_key: Any = None, san: Any = None) -> Any:
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
            now = datetime.now(UTC)
            builder = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(issuer or subject)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(hours=1))
                .not_valid_after(now + timedelta(hours=1))
                .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            )
            if san:
                builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(san)]), critical=False)
            certificate = builder.sign(issuer_key or key, hashes.SHA256())
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            return certificate.public_bytes(serialization.Encoding.PEM), pem, subject, key

        self.ca, _, subject, key = make("test-ca")
        self.server_pair = make("server", subject, key, ip_address("127.0.0.1"))[:2]
        self.client_pair = make("client", subject, key)[:2]
        self.folder = folder

    def secure(self, server: Any, **changes: Any) -> Any:
        """Puts TLS with required client certificates on the server, and gives a client for it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = self.folder / "pair.pem"
        pair.write_bytes(b"".join(self.server_pair))
        context.load_cert_chain(pair)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.ca.decode())
        server.socket = context.wrap_socket(server.socket, server_side=True)
        given = {
            "certificate_authority": self.ca,
            "client_certificate": self.client_pair[0],
            "client_key": self.client_pair[1],
            **changes,
        }
        return Client(ClientConfig(f"https://127.0.0.1:{server.server_port}", **given))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: Any) -> Any:
    return Authority(tmp_path_factory.mktemp("pki"))


def test_client_certificate_and_authority(server: Any, authority: Any) -> None:
    client = authority.secure(server)
    assert [client.get(PODS, "p", "ns") for _ in range(3)] == [{"ok": True}] * 3
    assert len(set(server.peers)) == 1  # one connection, one handshake


def test_a_server_of_another_authority_is_refused(server: Any, authority: Any, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    with pytest.raises(errors.ServiceUnavailable, match="certificate verify failed"):
        authority.secure(server, certificate_authority=other.ca).get(PODS, "p", "ns")


def test_a_certificate_for_another_name_is_refused(server: Any, authority: Any) -> None:
    with pytest.raises(errors.ServiceUnavailable, match=r"certificate is not valid for|mismatch"):
        authority.secure(server, tls_server_name="kubernetes").get(PODS, "p", "ns")


def test_requests_are_counted(server: Any, client: Any) -> None:
    host = client.server.removeprefix("http://")

    def counted(code: Any, method: Any) -> Any:
        text = METRICS.exposition("rest_client_requests_total").decode()
        line = f'rest_client_requests_total{{code="{code}",method="{method}",host="{host}"}} '
        return next((int(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line)), 0)

    client.get(PODS, "a", "b")
    server.answer = lambda handler: handler.reply(409, {"kind": "Status", "reason": "Conflict", "code": 409})
    with pytest.raises(errors.Conflict):
        client.delete(PODS, "a", "b")
    server.answer = lambda handler: setattr(handler, "close_connection", True)
    with pytest.raises(errors.ServiceUnavailable):
        client.get(PODS, "a", "b")
    assert (counted(200, "GET"), counted(409, "DELETE"), counted("<error>", "GET")) == (1, 1, 2)
    assert f'rest_client_request_duration_seconds_count{{verb="GET",host="{host}"}} 3' in METRICS.exposition().decode()
