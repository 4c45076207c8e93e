"""The images as Docker runs them: sise answers under plain ``docker run``, all are small and stop at once."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from cluster import images
from cluster.docker import Engine
from cluster.settings import BUSYBOX_IMAGE, SANDBOX_IMAGE, SISE_IMAGE

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    images.ensure(Engine())
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def sise(client: docker.DockerClient) -> Iterator[Container]:
    container = client.containers.run(SISE_IMAGE, detach=True, environment={"VERSION": "0.9"})
    yield container
    container.remove(force=True)


def get(container: Container, path: str) -> dict[str, object]:
    container.reload()
    address = container.attrs["NetworkSettings"]["IPAddress"]
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}:9876{path}", timeout=5) as answer:
                document: dict[str, object] = json.loads(answer.read())
                return document
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_sise_answers_and_stops_as_process_one(sise: Container) -> None:
    document = get(sise, "/endpoint0")
    assert document["version"] == "0.9"
    assert document["result"] == "all is well"
    began = time.monotonic()
    sise.stop(timeout=10)
    assert time.monotonic() - began < 3
    sise.reload()
    assert sise.attrs["State"]["ExitCode"] == 0


def test_sise_refuses_a_wrong_setting_with_a_clear_line(client: docker.DockerClient) -> None:
    container = client.containers.run(SISE_IMAGE, detach=True, environment={"PORT0": "http"})
    try:
        assert container.wait(timeout=10)["StatusCode"] == 1
        assert container.logs() == b"sise: PORT0 must be a whole number from 1 to 65535, not 'http'\n"
    finally:
        container.remove(force=True)


def test_sise_runs_without_root_and_has_a_shell_to_look_around(sise: Container) -> None:
    get(sise, "/health")
    code, output = sise.exec_run(["sh", "-c", "id -u; wget -q -O - localhost:9876/health"])
    assert (code, output) == (0, b'65534\n{"healthy": true}')


def test_images_are_small_and_known_again(client: docker.DockerClient) -> None:
    # An unstripped interpreter of one's own is larger than Debian's; both are far below any base image.
    assert client.images.get(SISE_IMAGE).attrs["Size"] < 40_000_000
    assert client.images.get(BUSYBOX_IMAGE).attrs["Size"] < 4_000_000
    assert not images.ensure(Engine())


def test_the_sandbox_sleeps_reaps_and_dies_at_once(client: docker.DockerClient) -> None:
    sandbox = client.containers.run(SANDBOX_IMAGE, detach=True)
    try:
        shared = f"container:{sandbox.id}"
        orphan = ["sh", "-c", "(sh -c 'sleep 0.1 & exec true'); sleep 0.4; ps -o stat,args"]
        processes = client.containers.run(BUSYBOX_IMAGE, orphan, pid_mode=shared, remove=True)
        assert not [line for line in processes.decode().splitlines() if line.startswith("Z")]
        began = time.monotonic()
        sandbox.stop(timeout=10)
        assert time.monotonic() - began < 3
    finally:
        sandbox.remove(force=True)
