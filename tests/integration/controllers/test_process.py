"""``python -m controllers`` as the supervisor sees it."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from machinery import kubeconfig
from machinery.client import Client
from machinery.errors import NotFound
from machinery.resources import CONFIG_MAPS, PODS, REPLICATION_CONTROLLERS

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]


class Process:
    """The controllers, with a kubeconfig of their own."""

    def __init__(self, plane: Any, folder: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.health = f"127.0.0.1:{listener.getsockname()[1]}"
        for user in ("controller-manager", "scheduler"):
            access = plane.access(f"system:kube-{user}")
            kubeconfig.save(folder / user, kubeconfig.build("test", {"server": access.server}, {"token": access.token}))
        self.log = folder / "log"
        flags = [
            f"--kubeconfig={folder}/controller-manager",
            f"--scheduler-kubeconfig={folder}/scheduler",
            "--use-service-account-credentials",
            f"--healthz-bind-address={self.health}",
            f"--root-ca-file={plane.ca_file}",
        ]
        self.process = start(flags, self.log)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.health}/healthz", timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except urllib.error.URLError:
            return False


def start(flags: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        command = [sys.executable, "-m", "controllers", *flags]
        return subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=output, stderr=output)


@pytest.fixture
def process(own_plane: Any, tmp_path: Path) -> Iterator[Process]:
    made = Process(own_plane, tmp_path)
    yield made
    made.process.kill()
    made.process.wait()
    assert "in API group" not in made.log.read_text(), "a right is missing"


def test_starts_works_and_stops(own_plane: Any, process: Process, wait: Wait) -> None:
    def published() -> bool:
        try:
            own_plane.client().get(CONFIG_MAPS, "kube-root-ca.crt", "default")
        except NotFound:
            return False
        return True

    wait(process.healthy, "the health endpoint")
    wait(published, "work to be done")
    process.process.terminate()
    assert process.process.wait(3) == 0
    assert "Traceback" not in process.log.read_text()


def test_stops_promptly_while_the_api_server_is_away(own_plane: Any, process: Process, wait: Wait) -> None:
    wait(process.healthy, "the health endpoint")
    own_plane.kill("apiserver")
    process.process.terminate()
    assert process.process.wait(3) == 0


def test_a_successor_finishes_what_a_killed_process_began(
    own_plane: Any, process: Process, tmp_path: Path, wait: Wait
) -> None:
    client = own_plane.client()
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 30, "selector": {"app": "x"}, "template": template}
    rc = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"}, "spec": spec}

    def pods() -> int:
        return len(client.list(PODS, "default")["items"])

    wait(process.healthy, "the health endpoint")
    client.create(REPLICATION_CONTROLLERS, rc, "default")
    wait(lambda: pods() > 3, "the first pods")
    process.process.kill()
    process.process.wait()
    assert pods() < 30, "there must be something left to do"
    (tmp_path / "successor").mkdir()
    successor = Process(own_plane, tmp_path / "successor")
    try:
        wait(lambda: ready(client) == 30, "the rest")
        assert pods() == 30
    finally:
        successor.process.terminate()
        assert successor.process.wait(5) == 0


def ready(client: Client) -> int:
    status = client.get(REPLICATION_CONTROLLERS, "rc", "default").get("status", {})
    return int(status.get("readyReplicas", 0))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--kubeconfig=/nowhere"], "--kubeconfig /nowhere"),
        (["--kubeconfig=x", "--controllers=cronjob"], "no controller is called cronjob"),
        (["--kubeconfig=x", "--root-ca-file=/nowhere"], "there is no file /nowhere"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, flags: list[str], expected: str) -> None:
    log = tmp_path / "log"
    assert start(flags, log).wait(20) == 1
    assert expected in log.read_text()
    assert "Traceback" not in log.read_text()
