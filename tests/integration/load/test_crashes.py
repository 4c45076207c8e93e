"""Crashes under load: what was acknowledged is there, and nobody who watches misses anything or sees it twice."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import pytest
from integration.load.traffic import Seen, Target, Watcher, Writer, truth
from integration.served import TOKENS, Etcd, Pki, Served

from apiserver.storage.etcd import EtcdStore

pytestmark = [
    pytest.mark.etcd,
    # When a server is killed between a client's connect and the TLS handshake, Python 3.11's ssl module raises
    # ConnectionResetError and forgets to close the socket that it has made (SSLSocket._create), which nobody else can.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

WRITERS, WATCHERS, SHARED, TURNS = 20, 50, 8, 60
LAST = "the-last-one"


class Scene:
    """etcd, an API server of two workers, and those who use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etcd = Etcd(folder)
        self.etcd.start()
        (folder / "pki").mkdir()
        self.pki = Pki(folder / "pki")
        self.tokens = folder / "tokens.csv"
        self.tokens.write_text(TOKENS)
        self.served = Served(self.etcd.server, self.pki, self.tokens, folder / "apiserver.log")
        self.namespace = "load"
        self.served("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self.target = Target(self.served, self.namespace)
        for number in range(SHARED):
            self.served("POST", self.target.path, {"metadata": {"name": f"shared-{number}"}})
        self.acknowledged = threading.Semaphore(0)
        self.writers = [Writer(self.target, n, SHARED, TURNS, self.acknowledged) for n in range(WRITERS)]
        self.watchers = [Watcher(self.target, n) for n in range(WATCHERS)]

    def crash_apiserver(self) -> None:
        """As a crash and a supervisor's new start, on the same port."""
        port = self.served.port
        self.served.kill()
        self.served = Served(self.etcd.server, self.pki, self.tokens, self.folder / "apiserver.log", port=port)
        self.target.replace(self.served)

    def crash_etcd(self) -> None:
        self.target.store_up.clear()
        self.etcd.kill()
        self.etcd.start()
        self.target.store_up.set()

    def run(self, crash: Callable[[], None], every: int, times: int) -> None:
        """Lets everybody work, and crashes something each time that so many writes have been acknowledged."""
        for watcher in self.watchers:
            watcher.start()
        for watcher in self.watchers:
            assert watcher.listed.wait(30), watcher.problem
        for writer in self.writers:
            writer.start()
        for _ in range(times):
            for _ in range(every):
                assert self.acknowledged.acquire(timeout=30), "nothing is written any more"
            crash()
        for writer in self.writers:
            writer.join(60)
            assert not writer.is_alive(), f"{writer.name} hangs"
        for watcher in self.watchers:
            watcher.stop_at(LAST)
        assert self.served("POST", self.target.path, {"metadata": {"name": LAST}}).code == 201
        for watcher in self.watchers:
            assert watcher.reached.wait(30), f"{watcher.name} has not seen the last event"

    def history(self, after: int) -> list[Seen]:
        """Everything that happened to the objects, as etcd tells it."""
        store, stop = EtcdStore(self.etcd.server), threading.Event()
        batches = store.watch(f"/registry/configmaps/{self.namespace}/", after + 1, stop)
        events = (event for batch in batches for event in batch.events)
        found = truth(takewhile(lambda event: not event.key.endswith(LAST), events))
        stop.set()
        store.close()
        return found

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
        for watcher in self.watchers:
            watcher.close()
        self.served.stop()
        self.etcd.kill()


@pytest.fixture
def scene() -> Iterator[Scene]:
    # Not pytest's own directory: a unix socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="load-") as folder, contextlib.closing(Scene(Path(folder))) as made:
        yield made


def check(scene: Scene) -> None:
    """That every promise was kept."""
    for writer in scene.writers:
        for name in list(writer.promised):
            writer.look(name)
    assert [problem for writer in scene.writers for problem in writer.problems] == []
    assert all(writer.acknowledged >= TURNS * 4 / 5 for writer in scene.writers)
    there = {item["metadata"]["name"] for item in scene.served("GET", scene.target.path).json["items"]}
    for writer in scene.writers:
        for name, exists in writer.exists.items():
            assert exists is None or exists == (name in there), name
    start = min(watcher.start_revision for watcher in scene.watchers)
    history = scene.history(start)
    assert len(history) > WRITERS * TURNS / 2
    for watcher in scene.watchers:
        assert watcher.problem == ""
        expected = [seen for seen in history if seen.revision > watcher.start_revision]
        assert [seen for seen in watcher.events() if seen.name != LAST] == expected


def test_the_api_server_is_killed_three_times(scene: Scene) -> None:
    scene.run(scene.crash_apiserver, every=200, times=3)
    check(scene)
    assert all(watcher.breaks >= 3 for watcher in scene.watchers)
    assert any(writer.unanswered for writer in scene.writers), "the crashes hit nobody"


def test_etcd_is_killed(scene: Scene) -> None:
    scene.run(scene.crash_etcd, every=400, times=1)
    check(scene)
