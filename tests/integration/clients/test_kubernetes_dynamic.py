"""The library ``kubernetes``' dynamic client: kinds by discovery, objects as plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import config, watch
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, ResourceNotFoundError, UnprocessibleEntityError

from machinery.objects import Object

# What it has no call for is done with the typed client beside it.
LACKS = ("logs", "logs followed", "exec", "attach", "port-forward", "proxy", "wait", "leader election",
         "in-cluster config", "tables")  # fmt: skip
pytestmark = [pytest.mark.docker, pytest.mark.client("kubernetes dynamic", lacks=LACKS)]
verb = pytest.mark.verb


@pytest.fixture(scope="module")
def dynamic(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamicClient]:
    cache = tmp_path_factory.mktemp("dynamic") / "discovery.json"
    with config.new_client_from_config(str(kubeconfig)) as client:
        yield DynamicClient(client, cache_file=str(cache))


@pytest.fixture(scope="module")
def config_maps(dynamic: DynamicClient) -> Any:
    return dynamic.resources.get(api_version="v1", kind="ConfigMap")


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels or {}}, "data": data}


@verb("create", "get", "replace", "delete")
def test_life_of_an_object(config_maps: Any, namespace: str) -> None:
    made = config_maps.create(config_map("one", a="b"), namespace=namespace)
    changed = made.to_dict() | {"data": {"a": "c"}}
    assert config_maps.replace(changed, namespace=namespace).metadata.resourceVersion != made.metadata.resourceVersion
    assert config_maps.get(name="one", namespace=namespace).data.a == "c"
    assert config_maps.delete(name="one", namespace=namespace).status == "Success"
    with pytest.raises(NotFoundError):
        config_maps.get(name="one", namespace=namespace)


@verb("list", "selectors", "chunks", "deletecollection")
def test_lists(config_maps: Any, namespace: str) -> None:
    for number in range(5):
        config_maps.create(config_map(f"c{number}", {"app": "x", "n": str(number)}), namespace=namespace)
    chosen = config_maps.get(namespace=namespace, label_selector="n in (1,3),app", field_selector="metadata.name!=c1")
    assert [item.metadata.name for item in chosen.items] == ["c3"]
    first = config_maps.get(namespace=namespace, label_selector="app", limit=3)
    rest = config_maps.get(namespace=namespace, label_selector="app", limit=3, _continue=first.metadata["continue"])
    assert [item.metadata.name for item in first.items + rest.items] == [f"c{number}" for number in range(5)]
    config_maps.delete(namespace=namespace, label_selector="app=x")
    assert config_maps.get(namespace=namespace, label_selector="app").items == []


@verb("JSON patch", "merge patch", "strategic merge patch")
def test_patches(config_maps: Any, namespace: str) -> None:
    config_maps.create(config_map("p", a="b"), namespace=namespace)
    for type_, patch in (
        ("json-patch", [{"op": "add", "path": "/data/j", "value": "1"}]),
        ("merge-patch", {"data": {"m": "2"}}),
        ("strategic-merge-patch", {"data": {"s": "3"}}),
    ):
        config_maps.patch(patch, name="p", namespace=namespace, content_type=f"application/{type_}+json")
    assert config_maps.get(name="p", namespace=namespace).data.to_dict() == {"a": "b", "j": "1", "m": "2", "s": "3"}


@verb("server-side apply")
def test_server_side_apply(config_maps: Any, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    config_maps.server_side_apply(body=body, namespace=namespace, field_manager="one")
    with pytest.raises(ConflictError):
        config_maps.server_side_apply(body=body | {"data": {"a": "2"}}, namespace=namespace, field_manager="two")
    applied = config_maps.server_side_apply(
        body=body | {"data": {"a": "2"}}, namespace=namespace, field_manager="two", force_conflicts=True
    )
    assert applied.data.a == "2"


@verb("custom resources")
def test_custom_resources(dynamic: DynamicClient, widgets: Any, namespace: str) -> None:
    kind = dynamic.resources.get(api_version="example.com/v1", kind="Widget")
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"replicas": 1}}
    made = kind.create(body, namespace=namespace)
    assert made.spec.size == "small"
    kind.subresources["scale"].patch(
        {"spec": {"replicas": 2}}, name="w", namespace=namespace, content_type="application/merge-patch+json"
    )
    assert kind.get(name="w", namespace=namespace).spec.replicas == 2
    kind.delete(name="w", namespace=namespace)


@verb("watch", "watch resumed")
def test_watch(config_maps: Any, namespace: str) -> None:
    made = config_maps.create(config_map("w"), namespace=namespace)
    config_maps.patch({"data": {"a": "b"}}, name="w", namespace=namespace)
    config_maps.delete(name="w", namespace=namespace)
    events = config_maps.watch(namespace=namespace, name="w", resource_version=made.metadata.resourceVersion, timeout=1)
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]


@verb("watch")
def test_a_watch_that_begins_with_what_there_is(config_maps: Any, namespace: str) -> None:
    """The streaming list of newer clients: initial events, and a bookmark where they end."""
    config_maps.create(config_map("w"), namespace=namespace)
    watcher = watch.Watch()
    events = config_maps.watch(
        namespace=namespace, name="w", timeout=5, watcher=watcher,
        send_initial_events=True, resource_version_match="NotOlderThan", allow_watch_bookmarks=True,
    )  # fmt: skip
    assert next(events)["type"] == "ADDED"
    bookmark = next(events)
    watcher.stop()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"].metadata.annotations["k8s.io/initial-events-end"] == "true"


@verb("status", "scale")
def test_subresources(dynamic: DynamicClient, namespace: str) -> None:
    controllers = dynamic.resources.get(api_version="v1", kind="ReplicationController")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    body = {"metadata": {"name": "rc"}, "spec": {"replicas": 0, "selector": {"a": "b"}, "template": template}}
    controllers.create(body, namespace=namespace)
    scale = controllers.subresources["scale"]
    scale.patch({"spec": {"replicas": 1}}, name="rc", namespace=namespace)
    assert scale.get(name="rc", namespace=namespace).spec.replicas == 1
    nodes = dynamic.resources.get(api_version="v1", kind="Node")
    nodes.create({"metadata": {"name": namespace}})
    status = nodes.status.get(name=namespace).to_dict() | {"status": {"capacity": {"cpu": "3"}}}
    assert nodes.status.replace(status, name=namespace).status.capacity.cpu == "3"
    nodes.delete(name=namespace)


@verb("errors")
def test_errors(config_maps: Any, dynamic: DynamicClient, namespace: str) -> None:
    config_maps.create(config_map("here"), namespace=namespace)
    with pytest.raises(ConflictError):
        config_maps.create(config_map("here"), namespace=namespace)
    with pytest.raises(UnprocessibleEntityError) as invalid:
        config_maps.create(config_map("Not_A_Name"), namespace=namespace)
    assert 'metadata.name: Invalid value: "Not_A_Name"' in invalid.value.summary()
    with pytest.raises(ResourceNotFoundError):
        dynamic.resources.get(api_version="v1", kind="Nothing")


@verb("discovery")
def test_discovery_is_kept(kubeconfig: Path, tmp_path: Path) -> None:
    with config.new_client_from_config(str(kubeconfig)) as client:
        first = DynamicClient(client, cache_file=str(tmp_path / "cache"))
        assert first.resources.get(api_version="coordination.k8s.io/v1", kind="Lease").namespaced
        again = DynamicClient(client, cache_file=str(tmp_path / "cache"))
        assert {resource.kind for resource in again.resources.search(api_version="v1")} >= {"Pod", "Service", "Node"}
        assert again.version["kubernetes"]["minor"] == "32"


@verb("events")
def test_events(dynamic: DynamicClient, namespace: str) -> None:
    pods = dynamic.resources.get(api_version="v1", kind="Pod")
    spec = {"nodeSelector": {"no": "node"}, "containers": [{"name": "c", "image": "none"}]}
    pods.create({"metadata": {"name": "p"}, "spec": spec}, namespace=namespace)
    events = dynamic.resources.get(api_version="v1", kind="Event")
    watcher = watch.Watch()
    for event in events.watch(namespace=namespace, field_selector="involvedObject.name=p", timeout=20, watcher=watcher):
        assert event["object"].reason == "FailedScheduling"
        watcher.stop()
