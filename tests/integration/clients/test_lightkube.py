"""The library ``lightkube``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.clients.conftest import pod_named, write_log
from lightkube import ApiError, Client, KubeConfig
from lightkube.core.exceptions import ConditionError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.operators import exists, in_, not_equal
from lightkube.resources.authentication_v1 import SelfSubjectReview
from lightkube.resources.core_v1 import (
    ConfigMap,
    Event,
    Node,
    NodeStatus,
    Pod,
    ReplicationController,
    ReplicationControllerScale,
    Service,
)
from lightkube.types import CascadeType, PatchType

from machinery.objects import Object

LACKS = ("attach", "port-forward", "proxy", "tables", "discovery", "leader election")
pytestmark = [pytest.mark.docker, pytest.mark.client("lightkube", lacks=LACKS)]
verb = pytest.mark.verb


@pytest.fixture(scope="module")
def client(kubeconfig: Path) -> Iterator[Client]:
    with Client(config=KubeConfig.from_file(kubeconfig), field_manager="lightkube") as made:
        yield made


def config_map(name: str, namespace: str, labels: dict[str, str] | None = None, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels), data=data)


@verb("create", "get", "replace", "delete")
def test_life_of_an_object(client: Client, namespace: str) -> None:
    made = client.create(config_map("one", namespace, a="b"))
    made.data = {"a": "c"}
    client.replace(made)
    assert client.get(ConfigMap, "one", namespace=namespace).data == {"a": "c"}
    assert client.create(config_map("dry", namespace), dry_run=True).metadata.uid
    client.delete(ConfigMap, "one", namespace=namespace, cascade=CascadeType.BACKGROUND)
    for name in ("one", "dry"):
        with pytest.raises(ApiError) as gone:
            client.get(ConfigMap, name, namespace=namespace)
        assert (gone.value.status.code, gone.value.status.reason) == (404, "NotFound")


@verb("list", "selectors", "chunks", "deletecollection")
def test_lists(client: Client, namespace: str) -> None:
    for number in range(7):
        client.create(config_map(f"c{number}", namespace, {"app": "x", "n": str(number)}))
    chosen = client.list(ConfigMap, namespace=namespace, labels={"n": in_(["1", "3"]), "app": exists()})
    assert [item.metadata.name for item in chosen] == ["c1", "c3"]
    by_field = client.list(
        ConfigMap, namespace=namespace, labels={"app": "x"}, fields={"metadata.name": not_equal("c0")}
    )
    assert len(list(by_field)) == 6
    in_chunks = client.list(ConfigMap, namespace="*", labels={"app": "x", "n": exists()}, chunk_size=2)
    assert len([item for item in in_chunks if item.metadata.namespace == namespace]) == 7
    assert in_chunks.resourceVersion
    client.deletecollection(ConfigMap, namespace=namespace)
    assert list(client.list(ConfigMap, namespace=namespace, labels={"app": "x"})) == []


@verb("JSON patch", "merge patch", "strategic merge patch")
def test_patches(client: Client, namespace: str) -> None:
    ports = [ServicePort(port=80, name="a"), ServicePort(port=81, name="b")]
    service = Service(metadata=ObjectMeta(name="s", namespace=namespace), spec=ServiceSpec(ports=ports))
    client.create(service)
    client.patch(Service, "s", {"spec": {"ports": [{"port": 81, "targetPort": 99}]}}, namespace=namespace)
    patch = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": "http"}]
    client.patch(Service, "s", patch, namespace=namespace, patch_type=PatchType.JSON)
    merge = {"spec": {"selector": {"a": "b"}}}
    client.patch(Service, "s", merge, namespace=namespace, patch_type=PatchType.MERGE)
    client.set(Service, "s", namespace=namespace, labels={"l": "m"})
    found = client.get(Service, "s", namespace=namespace)
    assert [port.targetPort for port in found.spec.ports] == ["http", 99]
    assert (found.spec.selector, found.metadata.labels) == ({"a": "b"}, {"l": "m"})


@verb("server-side apply")
def test_server_side_apply(client: Client, namespace: str) -> None:
    client.apply(config_map("applied", namespace, a="1"), field_manager="one")
    with pytest.raises(ApiError) as conflict:
        client.apply(config_map("applied", namespace, a="2"), field_manager="two")
    assert conflict.value.status.code == 409
    applied = client.apply(config_map("applied", namespace, a="2"), field_manager="two", force=True)
    assert applied.data == {"a": "2"}
    assert [entry.manager for entry in applied.metadata.managedFields] == ["two"]


@verb("custom resources")
def test_custom_resources(client: Client, widgets: Any, namespace: str) -> None:
    kind = create_namespaced_resource("example.com", "v1", "Widget", "widgets")
    client.create(kind(metadata=ObjectMeta(name="w", namespace=namespace), spec={"replicas": 1}))
    client.patch(kind, "w", {"spec": {"size": "large"}}, namespace=namespace, patch_type=PatchType.MERGE)
    client.patch(kind.Scale, "w", {"spec": {"replicas": 2}}, namespace=namespace, patch_type=PatchType.MERGE)
    client.patch(kind.Status, "w", {"status": {"n": 2}}, namespace=namespace, patch_type=PatchType.MERGE)
    [found] = client.list(kind, namespace=namespace)
    assert (found.spec, found.status) == ({"replicas": 2, "size": "large"}, {"n": 2})
    client.delete(kind, "w", namespace=namespace)


@verb("watch", "watch resumed")
def test_watch(client: Client, namespace: str) -> None:
    made = client.create(config_map("w", namespace, a="0"))
    client.patch(ConfigMap, "w", {"data": {"a": "1"}}, namespace=namespace)
    client.delete(ConfigMap, "w", namespace=namespace)
    client.create(config_map("w", namespace, a="2"))
    events = client.watch(
        ConfigMap, namespace=namespace, fields={"metadata.name": "w"}, server_timeout=1,
        resource_version=made.metadata.resourceVersion,
    )  # fmt: skip
    seen = [(type_, item.data["a"]) for type_, item in (next(events) for _ in range(3))]
    assert seen == [("MODIFIED", "1"), ("DELETED", "1"), ("ADDED", "2")]
    # The server ended the watch; the library goes on where it was.
    client.patch(ConfigMap, "w", {"data": {"a": "3"}}, namespace=namespace)
    assert next(events)[1].data == {"a": "3"}
    events.close()


@verb("status")
def test_status(client: Client, namespace: str) -> None:
    client.create(Node(metadata=ObjectMeta(name=namespace)))
    client.patch(NodeStatus, namespace, {"status": {"capacity": {"cpu": "3"}}})
    assert client.get(NodeStatus, namespace).status.capacity == {"cpu": "3"}
    client.delete(Node, namespace)


@verb("scale")
def test_scale(client: Client, namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    spec = {"replicas": 0, "selector": {"a": "b"}, "template": template}
    client.create(ReplicationController.from_dict({"metadata": {"name": "rc", "namespace": namespace}, "spec": spec}))
    client.patch(ReplicationControllerScale, "rc", {"spec": {"replicas": 1}}, namespace=namespace)
    assert client.get(ReplicationControllerScale, "rc", namespace=namespace).spec.replicas == 1
    assert client.get(ReplicationController, "rc", namespace=namespace).spec.replicas == 1


@verb("wait", "logs", "events")
def test_wait_and_logs(client: Client, namespace: str) -> None:
    pod = pod_named("talks", "echo one; echo two; exec sleep infinity")
    client.create(Pod.from_dict(pod), namespace=namespace)
    ready = client.wait(Pod, "talks", for_conditions=["Ready"], namespace=namespace)
    assert ready.status.podIP
    lines = client.log("talks", namespace=namespace, follow=True)
    assert [next(lines), next(lines)] == ["one\n", "two\n"]
    lines.close()
    assert list(client.log("talks", namespace=namespace, tail_lines=1)) == ["two\n"]
    with pytest.raises(ConditionError):
        client.wait(Pod, "talks", for_conditions=["Never"], raise_for_conditions=["Ready"], namespace=namespace)
    events = client.watch(Event, namespace=namespace, fields={"involvedObject.name": "talks", "reason": "Started"})
    assert "main" in next(events)[1].message
    events.close()


@verb("logs followed", "exec")
def test_followed_logs_and_exec(client: Client, shell: Object) -> None:
    lines = client.log("shell", namespace="default", follow=True, tail_lines=1)
    next(lines)
    client.exec("shell", namespace="default", command=write_log("for-lightkube"), stdout=True)
    assert next(lines) == "for-lightkube\n"
    lines.close()
    script = ["sh", "-c", "read word; echo got $word; echo bad >&2; exit 3"]
    done = client.exec("shell", namespace="default", command=script, stdin="hello\n", stdout=True, stderr=True)
    assert (done.stdout, done.stderr, done.exit_code) == ("got hello\n", "bad\n", 3)


@verb("errors")
def test_errors(client: Client, namespace: str) -> None:
    client.create(config_map("here", namespace))
    for code, obj in ((409, config_map("here", namespace)), (422, config_map("Not_A_Name", namespace))):
        with pytest.raises(ApiError) as error:
            client.create(obj)
        assert error.value.status.code == code
    with pytest.raises(ApiError) as error:
        client.create(config_map("c", "no-such-namespace"))
    assert error.value.status.message == 'namespaces "no-such-namespace" not found'


@verb("in-cluster config")
def test_in_cluster_configuration(
    service_account: Path, control_plane: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", control_plane.url.rpartition(":")[2])  # type: ignore[attr-defined]
    with Client(config=KubeConfig.from_service_account(service_account)) as inside:
        assert inside.namespace == "default"
        review = inside.create(SelfSubjectReview())
        assert review.status.userInfo.username == "system:serviceaccount:default:default"
