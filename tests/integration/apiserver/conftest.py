"""A real etcd of our own in a temporary directory, on a unix socket, for the API server's tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver.store.etcd import EtcdStore
from apiserver.store.protocol import Unavailable


class Etcd:
    """An etcd process that a test may kill and start again on the same data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = f"unix:{folder}/etcd.sock:0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("etcd")
        assert binary, "these tests need the etcd binary: apt-get install etcd-server"
        with (self.folder / "etcd.log").open("ab") as log:
            arguments = [
                "--data-dir=data",
                "--listen-client-urls=unix://etcd.sock:0",
                "--advertise-client-urls=unix://etcd.sock:0",
                "--listen-peer-urls=unix://peer.sock:0",
                "--initial-advertise-peer-urls=http://localhost:2380",
                "--initial-cluster=default=http://localhost:2380",
                "--logger=zap",
                "--log-level=warn",
            ]
            self._process = subprocess.Popen([binary, *arguments], cwd=self.folder, stdout=log, stderr=log)
        store = EtcdStore(self.server)
        deadline = time.monotonic() + 30
        while True:
            try:
                store.revision()
            except Unavailable:
                assert time.monotonic() < deadline, (self.folder / "etcd.log").read_text()
            else:
                break
        store.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for name in ("etcd.sock:0", "peer.sock:0"):
                (self.folder / name).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    # Not pytest's own directory: a unix socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="etcd-") as folder:
        server = Etcd(Path(folder))
        server.start()
        yield server
        server.kill()
