"""Component statuses: worked out by asking."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from apiserver.storage.memory import MemoryStore
from apiserver.storage.protocol import Unavailable
from apiserver.streaming.componentstatuses import ComponentStatusSource
from machinery.errors import NotFound

Answering = Callable[[int, bytes], str]


class Broken(MemoryStore):
    def revision(self, *, wait_for_ready: bool = False) -> int:
        raise Unavailable("etcd does not answer")


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Starts a health endpoint that answers so, and tells its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(code: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/healthz"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_all_is_well(answering: Answering) -> None:
    found = ComponentStatusSource(answering(200, b"ok"), MemoryStore()).list("")
    assert [obj["metadata"]["name"] for obj in found] == ["controller-manager", "etcd-0", "scheduler"]
    assert all(obj["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}] for obj in found)


def test_what_is_wrong_is_told(answering: Answering) -> None:
    statuses = ComponentStatusSource(answering(500, b"waiting for pods"), Broken())
    [condition] = statuses.get("", "scheduler")["conditions"]
    assert condition == {
        "type": "Healthy",
        "status": "False",
        "message": "HTTP probe failed with statuscode: 500: waiting for pods",
    }
    assert statuses.get("", "etcd-0")["conditions"][0]["message"] == "etcd does not answer"


def test_nobody_there() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        url = f"http://127.0.0.1:{server.server_port}/healthz"
    [condition] = ComponentStatusSource(url, MemoryStore()).get("", "controller-manager")["conditions"]
    assert condition["status"] == "False"
    assert condition["message"].startswith(f'Get "{url}": ')


def test_an_unknown_component() -> None:
    with pytest.raises(NotFound, match='componentstatuses "kubelet" not found'):
        ComponentStatusSource("http://127.0.0.1:1", MemoryStore()).get("", "kubelet")
