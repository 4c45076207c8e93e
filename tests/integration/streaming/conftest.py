"""The kubelet's server on real Docker containers, behind a real API server: what kubectl logs, exec and the rest meet.

The node agent is a stand-in (``Host``): it knows which container is which pod's, and no more. The API server keeps its
objects in memory. Nothing here needs etcd, a network namespace of its own or a running cluster.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from docker.types import LogConfig
from e2e import harness

from cluster import pki
from cluster.settings import REPOSITORY, State
from kubelet.runtime.docker import DockerRuntime
from kubelet.server.access import DelegatedGate, Gate
from kubelet.server.handler import KubeletApi
from kubelet.server.server import KubeletServer, server_context
from machinery.client import Client
from machinery.errors import NotFound, Unauthorized
from machinery.kubeconfig import ClientConfig
from machinery.objects import Object, now

IMAGE = "mini-minishift-test/streaming:1"
NODE = "streaming-node"
LABEL = "mini-minishift.test"


@pytest.fixture(scope="session")
def engine() -> docker.APIClient:
    client = docker.APIClient(version="auto", timeout=60)
    client.ping()
    return client


@pytest.fixture(scope="session")
def image(engine: docker.APIClient) -> str:
    """busybox with all its names, made from the machine's own."""
    if not engine.images(IMAGE):
        busybox = shutil.which("busybox")
        assert busybox, "these tests need a static busybox: apt-get install busybox-static"
        names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for folder in ("bin", "tmp", "root", "etc"):
                info = tarfile.TarInfo(folder)
                info.type, info.mode = tarfile.DIRTYPE, 0o777
                tar.addfile(info)
            tar.add(os.path.realpath(busybox), "bin/busybox")
            for name in set(names) - {"busybox"}:
                info = tarfile.TarInfo(f"bin/{name}")
                info.type, info.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(info)
        engine.import_image_from_data(buffer.getvalue(), repository=IMAGE)
    return IMAGE


class Host:
    """A PodHost over containers that tests start."""

    node_name = NODE

    def __init__(self, engine: docker.APIClient, image: str) -> None:
        self.docker = engine
        self._image = image
        self._pods: dict[tuple[str, str], Object] = {}
        self._containers: dict[tuple[str, str, str], list[str]] = {}

    def start(
        self,
        name: str,
        command: list[str],
        *,
        container: str = "main",
        tty: bool = False,
        stdin: bool = False,
        log: dict[str, str] | None = None,
    ) -> Object:
        """A pod whose container runs the command; called again, the next attempt of it, or another container."""
        key = ("default", name)
        attempts = self._containers.setdefault((*key, container), [])
        other = self._any_id(name) if not attempts else ""
        network = {"NetworkMode": f"container:{other}"} if other else {}
        log_config = LogConfig(type="json-file", config=log or {})
        created = self.docker.create_container(
            self._image, command, tty=tty, stdin_open=stdin, labels={LABEL: "streaming"}, stop_signal="SIGKILL",
            environment={"PATH": "/bin"},
            host_config=self.docker.create_host_config(log_config=log_config) | network,
        )  # fmt: skip
        self.docker.start(created["Id"])
        previous = attempts[-1] if attempts else None
        attempts.append(created["Id"])
        pod = self._pods.setdefault(key, _pod(name))
        entries = pod["spec"]["containers"]
        if container not in [entry["name"] for entry in entries]:
            entries.append({"name": container, "image": self._image, "stdin": stdin, "tty": tty})
        statuses = [entry for entry in pod["status"]["containerStatuses"] if entry["name"] != container]
        status: Object = {"name": container, "containerID": f"docker://{created['Id']}", "lastState": {}}
        status["state"] = {"running": {"startedAt": now()}}
        if previous:
            status["lastState"] = {"terminated": {"containerID": f"docker://{previous}"}}
        pod["status"]["containerStatuses"] = [*statuses, status]
        network = self.docker.inspect_container(created["Id"])["NetworkSettings"]
        pod["status"]["podIP"] = network["IPAddress"] or pod["status"].get("podIP", "")
        return pod

    def wait(self, name: str, container: str = "main") -> None:
        self.docker.wait(self._containers["default", name, container][-1], timeout=30)

    def _any_id(self, name: str) -> str:
        for (_, pod, _), attempts in self._containers.items():
            if pod == name and attempts:
                return attempts[0]
        return ""

    def set_waiting(self, name: str, reason: str) -> Object:
        pod = self._pods.setdefault(("default", name), _pod(name))
        pod["spec"]["containers"] = [{"name": "main", "image": self._image}]
        pod["status"]["containerStatuses"] = [{"name": "main", "state": {"waiting": {"reason": reason}}}]
        return pod

    def remove(self, name: str) -> None:
        for key in [key for key in self._containers if key[1] == name]:
            for container in self._containers.pop(key):
                with suppress(docker.errors.APIError):  # the others are to be removed all the same
                    self.docker.remove_container(container, force=True)
        self._pods.pop(("default", name), None)

    def remove_all(self) -> None:
        for name in {name for _, name, _ in self._containers}:
            self.remove(name)

    # --- PodHost

    def pods(self) -> list[Object]:
        return list(self._pods.values())

    def pod(self, namespace: str, name: str) -> Object | None:
        return self._pods.get((namespace, name))

    def container_id(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
        attempts = self._containers.get((namespace, pod, container)) or []
        if len(attempts) < 1 + previous:
            raise NotFound(f'container "{container}" not found in pod "{pod}"')
        return attempts[-1 - previous]

    def container_pid(self, namespace: str, pod: str, container: str) -> int:
        return int(self.docker.inspect_container(self.container_id(namespace, pod, container))["State"]["Pid"])

    def sandbox_pid(self, namespace: str, pod: str) -> int:
        return int(self.docker.inspect_container(self._any_id(pod))["State"]["Pid"])

    def healthy(self) -> str:
        return ""


def _pod(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": str(uuid.uuid4())},
        "spec": {"nodeName": NODE, "containers": [], "terminationGracePeriodSeconds": 0},
        "status": {"phase": "Running", "startTime": now(), "containerStatuses": []},
    }


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("cluster"))
    pki.ensure(state, NODE, "127.0.0.1")
    return state


@pytest.fixture(scope="session")
def host(engine: docker.APIClient, image: str) -> Iterator[Host]:
    host = Host(engine, image)
    yield host
    host.remove_all()


@pytest.fixture(scope="session")
def runtime() -> Iterator[DockerRuntime]:
    runtime = DockerRuntime("streaming")
    yield runtime
    runtime.close()


@pytest.fixture(scope="session")
def kubelet(state: State, host: Host, runtime: DockerRuntime) -> Iterator[KubeletServer]:
    context = server_context(state.pki / "kubelet.crt", state.pki / "kubelet.key", state.pki / "ca.crt")
    server = KubeletServer(KubeletApi(host, runtime, Closed()), context, [("127.0.0.1", 0)])
    server.start()
    yield server
    server.stop()


# The fixture wait_until: called with a condition, and with the seconds after which the test fails.
WaitUntil = Callable[..., None]


class Closed:
    """The kubelet's gate until there is an API server to ask."""

    def check(self, certificate: Mapping[str, Any], authorization: str, method: str, path: str) -> None:
        raise Unauthorized("there is no API server yet")


class Api:
    """The API server's process, and a few requests as administrator."""

    def __init__(self, state: State, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self.port = port
        self.context = ssl.create_default_context(cafile=state.pki / "ca.crt")
        self.context.load_cert_chain(state.pki / "admin.crt", state.pki / "admin.key")

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def add_pod(self, pod: Object) -> None:
        """Creates the pod and then writes its status, as the kubelet would."""
        code, text = self.request("POST", "/api/v1/namespaces/default/pods", pod)
        assert code in (201, 409), text
        path = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}"
        patch = {"metadata": {"name": pod["metadata"]["name"]}, "spec": pod["spec"], "status": pod["status"]}
        code, text = self.request("GET", path)
        stored = json.loads(text)
        code, text = self.request("PUT", f"{path}/status", stored | {"status": patch["status"]})
        assert code == 200, text


@pytest.fixture(scope="session")
def api(state: State, kubelet: KubeletServer) -> Iterator[Api]:
    with run_api(state, kubelet) as (api, _):
        yield api


@pytest.fixture
def own_api(state: State, kubelet: KubeletServer) -> Iterator[tuple[Api, subprocess.Popen[bytes]]]:
    """An API server that the test may end."""
    with run_api(state, kubelet) as started:
        yield started


@contextmanager
def run_api(state: State, kubelet: KubeletServer) -> Iterator[tuple[Api, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    certificates = state.pki
    arguments = [
        "--etcd-servers=memory", "--workers=1", f"--secure-port={port}", "--bind-address=127.0.0.1",
        f"--tls-cert-file={certificates}/apiserver.crt", f"--tls-private-key-file={certificates}/apiserver.key",
        f"--client-ca-file={certificates}/ca.crt",
        f"--service-account-key-file={certificates}/sa.pub",
        f"--service-account-signing-key-file={certificates}/sa.key",
        f"--kubelet-client-certificate={certificates}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={certificates}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={certificates}/ca.crt",
    ]  # fmt: skip
    log = state.root / "apiserver.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "apiserver", *arguments], cwd=REPOSITORY, stdout=output, stderr=output
        )
    api = Api(state, port)
    try:
        _wait_until(lambda: _is_ready(api, process, log))
        code, text = api.request(
            "POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}}
        )
        assert code in (201, 409), text
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "status": _node_status(kubelet)}
        code, text = api.request("POST", "/api/v1/nodes", node)
        assert code == 201, text
        code, text = api.request("PUT", f"/api/v1/nodes/{NODE}/status", json.loads(text) | {"status": node["status"]})
        assert code == 200, text
        before, kubelet.api.gate = kubelet.api.gate, _gate(state, api)
        yield api, process
        kubelet.api.gate = before
    finally:
        process.terminate()
        process.wait(15)
        sys.stderr.write(log.read_text())


def _gate(state: State, api: Api) -> Gate:
    """Asks the API server with the kubelet's own rights."""

    def pem(name: str) -> bytes:
        return (state.pki / name).read_bytes()

    access = ClientConfig(api.url, pem("ca.crt"), pem("kubelet-client.crt"), pem("kubelet-client.key"))
    return DelegatedGate(Client(access, user_agent="kubelet"), NODE)


def _node_status(kubelet: KubeletServer) -> Object:
    address, port = kubelet.addresses[0]
    return {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "allocatable": {"cpu": "2", "memory": "4Gi"},
        "capacity": {"cpu": "2", "memory": "4Gi"},
    }


def _is_ready(api: Api, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return api.request("GET", "/readyz")[0] == 200
    except OSError:
        return False


def _wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.05)


@pytest.fixture
def wait_until() -> WaitUntil:
    return _wait_until


@pytest.fixture
def pod(host: Host, api: Api) -> Callable[..., str]:
    """Starts a pod with a command and registers it; returns its name."""

    def start(*command: str, name: str = "", **options: Any) -> str:
        name = name or f"p-{uuid.uuid4().hex[:8]}"
        api.add_pod(host.start(name, list(command), **options))
        return name

    return start


class Kubectl:
    """One version of kubectl with a kubeconfig of its own."""

    def __init__(self, binary: str, generation: str, state: State, api: Api) -> None:
        self.generation = generation
        pki_folder, folder = state.pki, state.root / "kubectl"
        folder.mkdir(exist_ok=True)
        self.base = [
            binary, f"--server={api.url}", f"--certificate-authority={pki_folder}/ca.crt",
            f"--client-certificate={pki_folder}/admin.crt", f"--client-key={pki_folder}/admin.key",
            f"--cache-dir={folder}",
        ]  # fmt: skip
        self.environment = {**os.environ, "HOME": str(folder), "KUBECONFIG": "/dev/null"}

    def run(self, *arguments: str, stdin: bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        command = [*self.base, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, env=self.environment, timeout=timeout)

    def start(
        self,
        *arguments: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        start_new_session: bool = False,
        preexec_fn: Callable[[], object] | None = None,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.base, *arguments], env=self.environment, stdin=stdin, stdout=stdout, stderr=stderr,
            start_new_session=start_new_session, preexec_fn=preexec_fn,
        )  # fmt: skip


@pytest.fixture(scope="session")
def kubectls() -> dict[str, Path]:
    return harness.kubectls()


@pytest.fixture(scope="session", params=list(harness.GENERATIONS))
def kubectl(request: pytest.FixtureRequest, kubectls: dict[str, Path], state: State, api: Api) -> Kubectl:
    if request.param not in kubectls:
        pytest.skip(f"NOT RUN: no kubectl of generation {request.param} on this machine")
    return Kubectl(str(kubectls[request.param]), request.param, state, api)
