"""The proxy subresources and kubectl proxy before a server of the test's own, which can misbehave as it likes."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from integration.streaming.conftest import Api, Kubectl

pytestmark = pytest.mark.docker
POD = "/api/v1/namespaces/default/pods/backend"
CHUNK = b"x" * 65536


class Backend(BaseHTTPRequestHandler):
    """What it does stands in the path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self.path.partition("?")[0].split("/")[1]:
            case "redirect":
                self.answer(302, b"", Location=f"http://{self.headers['Host']}/there/")
            case "cors":
                self.answer(200, b"", **{"Access-Control-Allow-Origin": "*", "Connection": "X-Hop", "X-Hop": "1"})
            case "page":
                page = gzip.compress(b'<a href="/link">') if "gzip" in self.headers.get("Accept-Encoding", "") else b""
                self.answer(200, page, **{"Content-Type": "text/html", "Content-Encoding": "gzip"})
            case "dribble":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for word in (b"one", b"two"):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(word), word))
                    self.server.gate.acquire(timeout=20)  # type: ignore[attr-defined]
                self.wfile.write(b"0\r\n\r\n")
            case "much":
                self.send_response(200)
                self.send_header("Content-Length", str(320 * len(CHUNK)))
                self.end_headers()
                for _ in range(320):
                    self.wfile.write(CHUNK)
            case "nothing":
                self.close_connection = True
            case "nonsense":
                self.wfile.write(b"this is no HTTP\r\n\r\n")
                self.close_connection = True
            case "mute":
                self.server.muted.release()  # type: ignore[attr-defined]
                assert self.connection.recv(1) == b""
                self.server.left.release()  # type: ignore[attr-defined]
                self.close_connection = True
            case "two":
                self.answer(200, b"5\r\nhello\r\n0\r\n\r\n", **{"Transfer-Encoding": "chunked", "Content-Length": "3"})
            case "unwilling":
                self.answer(200, b"no upgrade here")
            case "refusing":
                self.answer(403, b"not you")
            case _:
                headers = {name: value for name, value in self.headers.items() if name.startswith("X-")}
                self.answer(200, json.dumps({"path": self.path, "method": self.command, **headers}).encode())

    def do_POST(self) -> None:
        count = 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                count += len(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            count = len(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        kind = self.headers.get("Content-Type", "")
        self.answer(200, json.dumps([count, kind, self.headers.get("Transfer-Encoding", "")]).encode())

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "12345")
        self.end_headers()

    def do_OPTIONS(self) -> None:
        self.do_GET()

    def answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), Backend)
        self.gate = threading.Semaphore(0)
        self.muted, self.left = threading.Semaphore(0), threading.Semaphore(0)

    def handle_error(self, *_: Any) -> None:
        """Whoever proxies may hang up."""


@pytest.fixture(scope="session")  # pytest goes through the modules once for each kubectl
def backend(engine: Any, api: Api) -> Iterator[Server]:
    """A server on the bridge's own address, which a Pod object claims for itself."""
    address = engine.inspect_network("bridge")["IPAM"]["Config"][0].get("Gateway", "172.17.0.1")
    server = Server(address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "backend"},
        "spec": {"nodeName": "streaming-node", "containers": [
            {"name": "main", "image": "none", "ports": [{"containerPort": server.server_address[1]}]}
        ]},
        "status": {"phase": "Running", "podIP": address},
    }  # fmt: skip
    api.add_pod(pod)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(api: Api, backend: Server) -> Iterator[Callable[..., http.client.HTTPResponse]]:
    connections: list[http.client.HTTPSConnection] = []

    def request(method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connections.append(http.client.HTTPSConnection("127.0.0.1", api.port, context=api.context, timeout=30))
        connections[-1].request(method, f"{POD}/proxy/{path}", body, headers)
        return connections[-1].getresponse()

    yield request
    for connection in connections:
        connection.close()


def test_an_absolute_redirect_to_itself_stays_below_the_proxy(
    api: Api, ask: Callable[..., http.client.HTTPResponse]
) -> None:
    answer = ask("GET", "redirect")
    assert (answer.status, answer.headers["Location"]) == (302, f"http://127.0.0.1:{api.port}{POD}/proxy/there/")


def test_headers_that_are_not_the_pods_to_set(ask: Callable[..., http.client.HTTPResponse]) -> None:
    answer = ask("GET", "cors")
    assert answer.status == 200
    assert not {"Access-Control-Allow-Origin", "X-Hop"} & set(answer.headers)


def test_a_compressed_page(ask: Callable[..., http.client.HTTPResponse]) -> None:
    answer = ask("GET", "page", **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.read()) == f'<a href="{POD}/proxy/link">'.encode()


def test_an_answer_arrives_as_it_is_written(backend: Server, ask: Callable[..., http.client.HTTPResponse]) -> None:
    answer = ask("GET", "dribble")
    assert answer.read1() == b"one"
    backend.gate.release()
    assert answer.read1() == b"two"
    backend.gate.release()
    assert answer.read() == b""


def test_much_both_ways(ask: Callable[..., http.client.HTTPResponse]) -> None:
    assert len(ask("GET", "much").read()) == 320 * len(CHUNK)
    answer = ask("POST", "sink", (CHUNK for _ in range(320)), **{"Content-Type": "x/y"})
    assert json.loads(answer.read()) == [320 * len(CHUNK), "x/y", "chunked"]


def test_head_and_options(ask: Callable[..., http.client.HTTPResponse]) -> None:
    answer = ask("HEAD", "x")
    assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "12345", b"")
    assert json.loads(ask("OPTIONS", "x").read())["method"] == "OPTIONS"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("", "/"),
        ("a//b", "/a//b"),
        ("a%2Fb%20c/?d=%2F&e", "/a%2Fb%20c/?d=%2F&e"),
        ("../..", "/../.."),
        ("proxy/proxy/", "/proxy/proxy/"),
    ],
)
def test_paths_go_on_as_they_came(ask: Callable[..., http.client.HTTPResponse], path: str, seen: str) -> None:
    said = json.loads(ask("GET", path).read())
    assert said["path"] == seen
    assert said["X-Forwarded-Uri"] == f"{POD}/proxy{seen.partition('?')[0]}"


@pytest.mark.parametrize(
    ("path", "words"), [("nothing", "EOF"), ("nonsense", 'malformed HTTP response "this is no HTTP"')]
)
def test_a_server_that_does_not_answer(ask: Callable[..., http.client.HTTPResponse], path: str, words: str) -> None:
    answer = ask("GET", path)
    status = json.loads(answer.read())
    assert (answer.status, status["reason"]) == (503, "ServiceUnavailable")
    assert status["message"] == f"error trying to reach service: {words}"


def test_a_client_that_hangs_up_frees_what_it_held(own_api: Any, backend: Server) -> None:
    """Sixty clients ask a server that never answers."""
    api, process = own_api
    pod = {"metadata": {"name": "mute"}, "spec": {"nodeName": "streaming-node", "containers": [
        {"name": "main", "image": "none", "ports": [{"containerPort": backend.server_address[1]}]}
    ]}, "status": {"phase": "Running", "podIP": backend.server_address[0]}}  # fmt: skip
    api.add_pod(pod)
    clients = []
    for _ in range(60):
        clients.append(http.client.HTTPSConnection("127.0.0.1", api.port, context=api.context, timeout=30))
        clients[-1].request("GET", "/api/v1/namespaces/default/pods/mute/proxy/mute")
    for _ in clients:
        assert backend.muted.acquire(timeout=30)
    assert threads(process.pid) > 60
    since = time.monotonic()
    for client in clients:
        client.close()
    for _ in clients:
        assert backend.left.acquire(timeout=5)
    assert time.monotonic() - since < 5
    wait_for(lambda: threads(process.pid) < 40)  # those of the pool end after being idle for a while


def threads(pid: int) -> int:
    """The threads of an API server's only worker."""
    worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
    return len(list(Path(f"/proc/{worker}/task").iterdir()))


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.05)


def test_a_body_whose_length_is_told_twice_arrives_whole(ask: Callable[..., http.client.HTTPResponse]) -> None:
    answer = ask("GET", "two")
    assert (answer.headers["Content-Length"], answer.read()) == (None, b"hello")


def test_an_upgrade_that_is_none(ask: Callable[..., http.client.HTTPResponse]) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = ask("GET", "unwilling", **upgrade)
    assert (answer.status, json.loads(answer.read())["message"]) == (500, "invalid upgrade response: status code 200")
    answer = ask("GET", "refusing", **upgrade)
    assert (answer.status, answer.read()) == (403, b"not you")


def test_a_name_that_is_none(api: Api, backend: Server) -> None:
    code, text = api.request("GET", "/api/v1/namespaces/default/pods/a:b:c:d/proxy/")
    assert (code, json.loads(text)["message"]) == (400, 'invalid pod request "a:b:c:d"')
    code, text = api.request("GET", "/api/v1/namespaces/default/services/none:80/proxy/")
    assert (code, json.loads(text)["message"]) == (404, 'services "none" not found')


# --- kubectl proxy ---------------------------------------------------------------------------------------------------


@pytest.mark.client("kubectl")
@pytest.mark.verb("proxy")
def test_a_browser_behind_kubectl_proxy(kubectl: Kubectl, backend: Server) -> None:
    proxy = kubectl.start("proxy", "--port=0")
    assert proxy.stdout
    found = re.search(r"127\.0\.0\.1:(\d+)", proxy.stdout.readline().decode())
    assert found
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
    connection.request("GET", f"{POD}/proxy/redirect")
    answer = connection.getresponse()
    assert answer.headers["Location"].endswith(f"{POD}/proxy/there/")
    answer.read()
    connection.request("GET", "/api/v1/namespaces/default/pods/backend/exec?command=ls")
    assert connection.getresponse().status == 403, "kubectl's own filter"
    connection.close()
    proxy.terminate()
    proxy.communicate(timeout=15)


@pytest.mark.client("kubectl")
@pytest.mark.verb("proxy")
def test_kubectl_proxy_on_a_socket_and_a_websocket_through_it(kubectl: Kubectl, api: Api, tmp_path: Path) -> None:
    """A watch as a browser would ask for it."""
    path = tmp_path / "proxy.sock"
    proxy = kubectl.start("proxy", f"--unix-socket={path}", "--disable-filter=true", stderr=subprocess.STDOUT)
    assert proxy.stdout
    while b"Starting to serve" not in (line := proxy.stdout.readline()):
        assert line
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        lines = [
            "GET /api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Ddefault HTTP/1.1", "Host: localhost",
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: http://localhost", "", "",
        ]  # fmt: skip
        sock.sendall("\r\n".join(lines).encode())
        received = b""
        while b"}\n" not in received:
            data = sock.recv(65536)
            assert data, received
            received += data
    head, _, frame = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert frame[0] == 0x81, "a whole text message"
    assert json.loads(frame[4:])["type"] == "ADDED"
    proxy.terminate()
    proxy.communicate(timeout=15)
