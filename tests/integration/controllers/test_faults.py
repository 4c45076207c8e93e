"""The API server breaks; the controllers carry on, and nothing is made twice."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controllers.manager.manager import Manager
from controllers.shared.options import ControllerOptions
from machinery.client import Client
from machinery.errors import ApiError
from machinery.informer import Informer
from machinery.objects import Object
from machinery.resources import ENDPOINT_SLICES, PODS, REPLICATION_CONTROLLERS, SERVICES

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]


class BrokenWire:
    """Passes bytes on to the API server, and now and then cuts a connection instead of bringing back the answer.

    What the request did is done, and the client cannot know: the worst case for whoever must not do it twice.
    """

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.cut_every = 0
        self.writes = 0
        self.cuts = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            to_cut = threading.Event()
            threading.Thread(target=self.requests, args=(client, server, to_cut), daemon=True).start()
            threading.Thread(target=self.answers, args=(server, client, to_cut), daemon=True).start()

    def requests(self, client: socket.socket, server: socket.socket, to_cut: threading.Event) -> None:
        while data := self.read(client):
            if data.startswith((b"POST", b"DELETE")) and b"/pods" in data[:200]:
                self.writes += 1
                if self.cut_every and self.writes % self.cut_every == 0:
                    self.cuts += 1
                    to_cut.set()
            self.send(server, data)
        self.end(client, server)

    def answers(self, server: socket.socket, client: socket.socket, to_cut: threading.Event) -> None:
        while (data := self.read(server)) and not to_cut.is_set():
            self.send(client, data)
        self.end(client, server)

    @staticmethod
    def read(source: socket.socket) -> bytes:
        try:
            return source.recv(65536)
        except OSError:
            return b""

    @staticmethod
    def send(sink: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):
            sink.sendall(data)

    @staticmethod
    def end(*sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes whoever reads from it
            each.close()


class Ledger:
    """Every pod that ever was, as an undisturbed watch shows it."""

    def __init__(self, client: Client, stop: threading.Event) -> None:
        self.created: set[str] = set()
        self.deleted: set[str] = set()
        informer = Informer(client, PODS)
        informer.add_handler(self.note)
        informer.start(stop)

    def note(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        (self.created if new is not None else self.deleted).add(pod["metadata"]["uid"])

    def counts(self) -> tuple[int, int]:
        return len(self.created), len(self.deleted)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture
def wire(own_plane: Any) -> Iterator[BrokenWire]:
    made = BrokenWire(own_plane.port)
    yield made
    made.listener.close()


@pytest.fixture
def manager(own_plane: Any, wire: BrokenWire, stop: threading.Event) -> Manager:
    """All controllers, at the other end of the wire."""
    made: Manager = own_plane.manager(ControllerOptions(node_monitor_grace_period=3600), wire.port)
    made.start(stop)
    return made


def make_service_and_rc(client: Client, replicas: int) -> None:
    service = {"metadata": {"name": "svc"}, "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}
    client.create(SERVICES, {"apiVersion": "v1", "kind": "Service", **service}, "default")
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"app": "x"}, "template": template}
    rc = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"}, "spec": spec}
    client.create(REPLICATION_CONTROLLERS, rc, "default")


def scale(client: Client, replicas: int) -> None:
    client.patch(REPLICATION_CONTROLLERS, "rc", "default", {"spec": {"replicas": replicas}})


def ready_endpoints(client: Client) -> int:
    try:
        slices = client.list(ENDPOINT_SLICES, "default", label_selector="kubernetes.io/service-name=svc")["items"]
    except ApiError:
        return -1
    return sum(each["conditions"]["ready"] for one in slices for each in one.get("endpoints") or ())


def test_lost_answers_make_no_second_pod(
    own_plane: Any, wire: BrokenWire, manager: Manager, stop: threading.Event, wait: Wait
) -> None:
    client = own_plane.client()
    ledger = Ledger(client, stop)
    wire.cut_every = 3
    make_service_and_rc(client, 12)
    wait(lambda: ready_endpoints(client) == 12, "twelve endpoints")
    assert ledger.counts() == (12, 0)
    scale(client, 4)
    wait(lambda: ready_endpoints(client) == 4, "four endpoints")
    wait(lambda: ledger.counts() == (12, 8), "eight deletions")
    scale(client, 9)
    wait(lambda: ready_endpoints(client) == 9, "nine endpoints")
    assert ledger.counts() == (17, 8)
    assert wire.cuts >= 10, "the test must have something to test"


def test_the_api_server_is_killed_while_pods_are_made(
    own_plane: Any, manager: Manager, stop: threading.Event, wait: Wait
) -> None:
    client = own_plane.client()
    ledger = Ledger(client, stop)
    make_service_and_rc(client, 40)
    for _ in range(2):
        before = len(ledger.created)
        wait(lambda before=before: len(ledger.created) > before, "some pods")
        own_plane.kill("apiserver")
        own_plane.start_apiserver()
        own_plane.wait_ready()
    wait(lambda: ready_endpoints(client) == 40, "forty endpoints")
    wait(lambda: ledger.counts()[0] >= 40, "the ledger's own watch")
    assert ledger.counts() == (40, 0)
    slices = client.list(ENDPOINT_SLICES, "default", label_selector="kubernetes.io/service-name=svc")["items"]
    assert len(slices) == 1

    own_plane.kill("apiserver")
    own_plane.start_apiserver()
    own_plane.wait_ready()
    scale(client, 1)
    wait(lambda: ready_endpoints(client) == 1, "one endpoint")
    wait(lambda: ledger.counts() == (40, 39), "the deletions")
