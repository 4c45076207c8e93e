"""One small cluster for all clients, a namespace for each test, and a pod that all may talk to."""

from __future__ import annotations

import gc
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e import harness
from e2e.harness import Kubectl
from integration.clients.controlplane import ControlPlane

from cluster.settings import BUSYBOX_IMAGE
from machinery.client import Client
from machinery.objects import Object, get_condition
from machinery.resources import ENDPOINTS, NAMESPACES, PODS, SERVICE_ACCOUNTS, SERVICES, Resource

_numbers = itertools.count(1)

# Serves a page, writes what it reads, and one line more for each that it is sent.
SCRIPT = """\
echo started
mkdir /www; echo hello > /www/index.html; httpd -p 8080 -h /www
while read line; do echo "got $line"; done
exec sleep infinity
"""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Libraries leave sockets to the garbage collector; which test it then meets is chance."""
    item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture(scope="package")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    cluster = ControlPlane(tmp_path_factory.mktemp("clients") / "state")
    yield cluster
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    cluster.stop()


@pytest.fixture(scope="package")
def kubeconfig(control_plane: ControlPlane) -> Path:
    """The administrator's."""
    return control_plane.kubeconfig


@pytest.fixture(scope="package")
def admin(kubeconfig: Path) -> Client:
    """Our own client, to prepare what a test needs and to see what it did."""
    return Client.from_kubeconfig(kubeconfig, user_agent="tests")


@pytest.fixture
def namespace(admin: Client) -> str:
    """A namespace of the test's own."""
    name = f"test-{next(_numbers)}"
    admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.fixture(scope="package")
def kubectls() -> dict[str, Path]:
    return harness.kubectls()


@pytest.fixture(params=list(harness.GENERATIONS))
def kubectl(
    request: pytest.FixtureRequest, kubectls: dict[str, Path], kubeconfig: Path, namespace: str, admin: Client
) -> Kubectl:
    """kubectl of each generation in turn, in a namespace of the test's own, where pods may be made."""
    if request.param not in kubectls:
        pytest.skip(f"NOT RUN: no kubectl of generation {request.param} on this machine")
    for event in admin.watch(SERVICE_ACCOUNTS, namespace):
        if event.object["metadata"].get("name") == "default":
            break
    return Kubectl(kubectls[request.param], kubeconfig, namespace)


@pytest.fixture(scope="package")
def shell(admin: Client) -> Object:
    """A running pod that serves HTTP on 8080 and answers each line on its standard input."""
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    pod = admin.create(PODS, pod_named("shell", SCRIPT, stdin=True, readinessProbe=probe), "default")
    return await_ready(admin, pod)


def pod_named(name: str, script: str, **container: object) -> Object:
    """A pod of busybox that runs a script."""
    main = {"name": "main", "image": BUSYBOX_IMAGE, "command": ["sh", "-c", script], **container}
    spec = {"containers": [main], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def write_log(line: str) -> list[str]:
    """The command that makes a pod say a line more in its log."""
    return ["sh", "-c", f"echo {line} > /proc/1/fd/1"]


def await_ready(admin: Client, pod: Object) -> Object:
    """The pod once it is ready."""
    meta = pod["metadata"]
    events = admin.watch(PODS, meta["namespace"], field_selector=f"metadata.name={meta['name']}", timeout=30)
    for event in events:
        if (get_condition(event.object, "Ready") or {}).get("status") == "True":
            return event.object
    raise AssertionError(f"{meta['name']} did not become ready: {admin.get(PODS, meta['name'], meta['namespace'])}")


@pytest.fixture(scope="package")
def service_account(control_plane: ControlPlane, shell: Object) -> Path:
    """What a pod finds in /var/run/secrets/kubernetes.io/serviceaccount."""
    [folder] = control_plane.state.kubelet.glob(f"pods/{shell['metadata']['uid']}/volumes/*/kube-api-access-*")
    return folder


@pytest.fixture(scope="package")
def shell_service(admin: Client, shell: Object) -> str:
    """The name of a Service that leads to the shell, once it has its endpoint."""
    port = {"port": 80, "targetPort": 8080}
    spec = {"selector": {"app": "shell"}, "ports": [port]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    admin.create(SERVICES, service, "default")
    for event in admin.watch(ENDPOINTS, "default", field_selector="metadata.name=web"):
        if any(subset.get("addresses") for subset in event.object.get("subsets") or ()):
            break
    return "web"


DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
WIDGETS = Resource("example.com", "v1", "widgets", "Widget")


@pytest.fixture(scope="package")
def widgets(admin: Client) -> Resource:
    """A kind of our own, with ``status`` and ``scale``."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"size": {"type": "string", "default": "small"}, "replicas": {"type": "integer"}},
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.n"}
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": scale},
        "additionalPrinterColumns": [{"name": "Size", "type": "string", "jsonPath": ".spec.size"}],
    }  # fmt: skip
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    metadata = {"name": "widgets.example.com"}
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata}
    admin.create(DEFINITIONS, {**definition, "spec": spec})
    for event in admin.watch(DEFINITIONS, field_selector="metadata.name=widgets.example.com", timeout=30):
        if (get_condition(event.object, "Established") or {}).get("status") == "True":
            break
    return WIDGETS
