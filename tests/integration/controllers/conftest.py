"""A control plane for the controllers' tests: real etcd and API server as processes, our controllers in this one.

There is no container: ``FakeKubelet`` does what the controllers can see of a kubelet.
"""

from __future__ import annotations

import datetime
import logging
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from controllers.manager.identities import Identities
from controllers.manager.manager import Manager
from controllers.manager.rows import descriptors
from controllers.shared.options import ControllerOptions
from machinery.client import Client
from machinery.errors import ApiError, NotFound
from machinery.informer import Informer
from machinery.kubeconfig import ClientConfig
from machinery.objects import Object, key, now
from machinery.resources import NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS

ADMIN, MANAGER, SCHEDULER = "admin", "system:kube-controller-manager", "system:kube-scheduler"
NODE = "node-1"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class ControlPlane:
    """etcd and an API server that a test may kill and start again on the same data and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.token_file = folder / "tokens.csv"
        # Each is its own token.
        self.token_file.write_text(
            f"{ADMIN},{ADMIN},1,system:masters\n{MANAGER},{MANAGER},2\n{SCHEDULER},{SCHEDULER},3\n"
        )
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_text("-----BEGIN CERTIFICATE-----\n")
        self.key_file = folder / "sa.key"
        key = ec.generate_private_key(ec.SECP256R1())
        self.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.signing_cert, self.signing_key = folder / "signing.crt", folder / "signing.key"
        self.signing_key.write_bytes(self.key_file.read_bytes())
        self.signing_cert.write_bytes(authority(key).public_bytes(Encoding.PEM))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, command: list[str], cwd: Path) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)

    def start_etcd(self) -> None:
        binary = shutil.which("etcd")
        assert binary, "these tests need the etcd binary: apt-get install etcd-server"
        flags = [
            "--data-dir=data",
            "--listen-client-urls=unix://etcd.sock:0",
            "--advertise-client-urls=unix://etcd.sock:0",
            "--listen-peer-urls=unix://peer.sock:0",
            "--initial-advertise-peer-urls=http://localhost:2380",
            "--initial-cluster=default=http://localhost:2380",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self.spawn("etcd", [binary, *flags], self.folder)

    def start_apiserver(self) -> None:
        flags = [
            f"--etcd-servers=unix:{self.folder}/etcd.sock:0",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--token-auth-file={self.token_file}",
            f"--service-account-key-file={self.key_file}",
            f"--service-account-signing-key-file={self.key_file}",
            "--workers=1",
        ]
        self.spawn("apiserver", [sys.executable, "-m", "apiserver", *flags], Path(__file__).parents[3])

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        if name == "apiserver":
            # the workers notice by themselves that their master is gone; the port must be free first.
            wait_for(lambda: not listens(self.port), "the old API server's workers to end")

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(20)

    def access(self, user: str = ADMIN, port: int = 0) -> ClientConfig:
        return ClientConfig(f"http://127.0.0.1:{port or self.port}", token=user)

    def client(self) -> Client:
        return Client(self.access(), user_agent="tests")

    def manager(self, options: ControllerOptions, port: int = 0) -> Manager:
        """All controllers with the rights that they have in a cluster, not started."""
        access = self.access(MANAGER, port)
        client = Client(access, user_agent="controllers")
        identities = Identities(access, client, self.access(SCHEDULER, port), with_accounts=True)
        return Manager(client, descriptors(), options, identities.client_of)

    def wait_ready(self) -> None:
        client = self.client()

        def ready() -> bool:
            try:
                client.get(NAMESPACES, "default")
            except ApiError:
                return False
            return True

        wait_for(ready, "the API server")


def authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """One that signs certificate requests."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signing")])
    start = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(1))
    return builder.sign(key, hashes.SHA256())


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], Any], what: str, timeout: float = 20.0) -> Any:
    """Asks until the answer is true; the state of other processes has no event to wait for."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        threading.Event().wait(0.005)
    return result


class FakeKubelet:
    """Reports one node, sets its pods running and ready, and ends those that are being deleted."""

    def __init__(self, client: Client, name: str = NODE, **allocatable: str) -> None:
        self.client = client
        self.name = name
        self.allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}
        self.stop = threading.Event()
        self.running: set[str] = set()
        self.lock = threading.Lock()
        self.addresses: dict[str, str] = {}
        self.pods = Informer(client, PODS, field_selector=f"spec.nodeName={name}")
        self.pods.add_handler(self.changed)

    def start(self) -> None:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now(), "lastTransitionTime": now()}
        meta = {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": meta}
        made = self.client.create(NODES, node)
        made["status"] = {"conditions": [ready], "allocatable": self.allocatable, "capacity": self.allocatable}
        self.client.update(NODES, made, subresource="status")
        self.pods.start(self.stop)

    def changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            threading.Thread(target=self.retried, args=(new,), daemon=True).start()

    def retried(self, pod: Object) -> None:
        while not self.stop.is_set():
            try:
                self.serve(pod)
                return
            except NotFound:
                return
            except ApiError:
                self.stop.wait(0.05)

    def address_of(self, uid: str) -> str:
        with self.lock:
            number = len(self.addresses) + 2
            return self.addresses.setdefault(uid, f"172.17.{number // 250}.{number % 250}")

    def serve(self, pod: Object) -> None:
        meta = pod["metadata"]
        if meta.get("deletionTimestamp"):
            self.client.delete(PODS, meta["name"], meta["namespace"], grace_period=0, uid=meta["uid"])
        elif meta["uid"] not in self.running:
            address = self.address_of(meta["uid"])
            status = {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now()}],
            }
            patch = {"metadata": {"uid": meta["uid"]}, "status": status}
            self.client.patch(PODS, meta["name"], meta["namespace"], patch, type="strategic", subresource="status")
            self.running.add(meta["uid"])


class Cluster:
    """What a test works with: a client, its own namespace, and everything around it running."""

    def __init__(self, plane: ControlPlane, client: Client, kubelet: FakeKubelet, namespace: str) -> None:
        self.plane = plane
        self.client = client
        self.kubelet = kubelet
        self.namespace = namespace

    def pods(self, selector: str = "") -> list[Object]:
        pods: list[Object] = self.client.list(PODS, self.namespace, label_selector=selector)["items"]
        return pods

    def names(self) -> set[str]:
        return {key(pod) for pod in self.pods()}


@contextmanager
def control_plane() -> Iterator[ControlPlane]:
    # Not pytest's own directory: a unix socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="controllers-") as folder:
        made = ControlPlane(Path(folder))
        made.start_etcd()
        made.start_apiserver()
        try:
            made.wait_ready()
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with control_plane() as made:
        yield made


@pytest.fixture
def own_plane() -> Iterator[ControlPlane]:
    """One that a test may break, with a node and without controllers."""
    with control_plane() as made:
        kubelet = FakeKubelet(made.client())
        kubelet.start()
        yield made
        kubelet.stop.set()


@pytest.fixture
def wait() -> Callable[..., Any]:
    return wait_for


class Refusals(logging.Handler):
    """Notes what was refused for want of rights."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.getMessage()} {record.exc_info[1] if record.exc_info else ''}"
        if "in API group" in text:
            self.found.add(text)


@pytest.fixture(scope="session")
def refusals() -> Iterator[Refusals]:
    """Whatever happens in these tests, no controller may lack a right."""
    handler, loggers = Refusals(), [logging.getLogger(name) for name in ("controllers", "machinery")]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)
    assert not handler.found


@pytest.fixture(scope="session")
def manager(plane: ControlPlane, refusals: Refusals) -> Iterator[Manager]:
    """All controllers, running."""
    stop = threading.Event()
    options = ControllerOptions(
        root_ca_file=str(plane.ca_file),
        cluster_signing_cert_file=str(plane.signing_cert),
        cluster_signing_key_file=str(plane.signing_key),
        legacy_service_account_tokens=True,
        node_monitor_grace_period=3600,
    )
    made = plane.manager(options)
    made.start(stop)
    yield made
    stop.set()
    made.close()


@pytest.fixture(scope="session")
def kubelet(plane: ControlPlane, manager: Manager) -> Iterator[FakeKubelet]:
    made = FakeKubelet(plane.client())
    made.start()
    yield made
    made.stop.set()


@pytest.fixture
def cluster(plane: ControlPlane, kubelet: FakeKubelet) -> Iterator[Cluster]:
    client = plane.client()
    made = client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "test-"}})
    cluster = Cluster(plane, client, kubelet, made["metadata"]["name"])
    wait_for(lambda: has_account(client, cluster.namespace), "the default service account")
    yield cluster


def has_account(client: Client, namespace: str) -> bool:
    try:
        client.get(SERVICE_ACCOUNTS, "default", namespace)
    except NotFound:
        return False
    return True
