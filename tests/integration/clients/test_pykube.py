"""The library ``pykube-ng``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykube
import pytest
from integration.clients.conftest import pod_named
from pykube.exceptions import HTTPError, ObjectDoesNotExist

from machinery.objects import Object

LACKS = ("chunks", "JSON patch", "strategic merge patch", "server-side apply", "replace", "deletecollection", "wait",
         "logs followed", "exec", "attach", "port-forward", "leader election")  # fmt: skip
pytestmark = [pytest.mark.docker, pytest.mark.client("pykube-ng", lacks=LACKS)]
verb = pytest.mark.verb


@pytest.fixture(scope="module")
def api(kubeconfig: Path) -> Iterator[pykube.HTTPClient]:
    client = pykube.HTTPClient(pykube.KubeConfig.from_file(str(kubeconfig)), timeout=20)
    yield client
    client.session.close()


def config_map(api: pykube.HTTPClient, namespace: str, name: str, **labels: str) -> pykube.ConfigMap:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return pykube.ConfigMap(api, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}})


@verb("create", "get", "merge patch", "delete")
def test_life_of_an_object(api: pykube.HTTPClient, namespace: str) -> None:
    made = config_map(api, namespace, "one")
    made.create()
    found = pykube.ConfigMap.objects(api, namespace=namespace).get_by_name("one")
    found.obj["data"] = {"a": "c"}
    found.update()
    found.labels["x"] = "y"
    found.update()
    made.reload()
    assert (made.obj["data"], made.labels) == ({"a": "c"}, {"x": "y"})
    made.delete(propagation_policy="Background")
    assert not made.exists()
    with pytest.raises(ObjectDoesNotExist):
        pykube.ConfigMap.objects(api, namespace=namespace).get_by_name("one")


@verb("list", "selectors", "tables")
def test_lists(api: pykube.HTTPClient, namespace: str) -> None:
    for number in range(4):
        config_map(api, namespace, f"c{number}", n=str(number)).create()
    everywhere = pykube.ConfigMap.objects(api).filter(namespace=pykube.all, field_selector={"metadata.name": "c1"})
    assert namespace in {item.namespace for item in everywhere}
    chosen = pykube.ConfigMap.objects(api, namespace=namespace).filter(selector={"n__in": {"1", "2"}, "n__neq": "1"})
    assert [item.name for item in chosen] == ["c2"]
    table = chosen.as_table()
    assert [column["name"] for column in table.columns] == ["Name", "Data", "Age"]
    assert table.rows[0]["cells"][:2] == ["c2", 1]


@verb("custom resources")
def test_custom_resources(api: pykube.HTTPClient, widgets: Any, namespace: str) -> None:
    kind = pykube.object_factory(api, "example.com/v1", "Widget")
    made = kind(api, {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"replicas": 1},
                      "metadata": {"name": "w", "namespace": namespace}})  # fmt: skip
    made.create()
    made.patch({"spec": {"size": "large"}})
    made.patch({"status": {"n": 1}}, subresource="status")
    [found] = kind.objects(api, namespace=namespace)
    assert (found.obj["spec"], found.obj["status"]) == ({"replicas": 1, "size": "large"}, {"n": 1})
    assert kind.objects(api, namespace=namespace).as_table().rows[0]["cells"][:2] == ["w", "large"]
    made.delete()


@verb("watch", "watch resumed")
def test_watch(api: pykube.HTTPClient, namespace: str) -> None:
    made = config_map(api, namespace, "w")
    made.create()
    since = made.metadata["resourceVersion"]
    made.patch({"data": {"a": "c"}})
    made.delete()
    ours = pykube.ConfigMap.objects(api, namespace=namespace).filter(field_selector={"metadata.name": "w"})
    watch = ours.watch(since=since, params={"timeoutSeconds": "1"})
    assert [event.type for event in watch] == ["MODIFIED", "DELETED"]


@verb("scale", "status")
def test_scale_and_status(api: pykube.HTTPClient, namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    spec = {"replicas": 0, "selector": {"a": "b"}, "template": template}
    controller = pykube.ReplicationController(
        api, {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc", "namespace": namespace},
              "spec": spec}
    )  # fmt: skip
    controller.create()
    # The object is patched with all of itself; its controller writes to it, too, until it has seen it.
    for event in controller.watch():
        if event.object.obj["status"].get("observedGeneration"):
            break
    controller.reload()
    controller.scale(1)
    assert controller.replicas == 1
    node = pykube.Node(api, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": namespace}})
    node.create()
    node.patch({"status": {"capacity": {"cpu": "3"}}}, subresource="status")
    node.reload()
    assert node.obj["status"]["capacity"] == {"cpu": "3"}
    node.delete()


@verb("logs", "proxy")
def test_a_pod(api: pykube.HTTPClient, shell: Object) -> None:
    pod = pykube.Pod.objects(api, namespace="default").get_by_name("shell")
    assert pod.ready
    assert pod.logs(limit_bytes=8) == "started\n"
    answer = api.get(version="v1", namespace="default", url="pods/shell:8080/proxy/index.html")
    assert answer.text == "hello\n"


@verb("proxy")
def test_a_service(api: pykube.HTTPClient, namespace: str, shell_service: str) -> None:
    service = pykube.Service.objects(api, namespace="default").get_by_name(shell_service)
    assert service.proxy_http_get("index.html").text == "hello\n"


@verb("discovery", "events")
def test_discovery(api: pykube.HTTPClient, namespace: str) -> None:
    assert api.version == ("1", "32")
    lease = pykube.object_factory(api, "coordination.k8s.io/v1", "Lease")
    assert lease.endpoint == "leases"
    pod = pykube.Pod(api, pod_named("p", "exit 0") | {"metadata": {"name": "p", "namespace": namespace}})
    pod.create()
    watch = pykube.Event.objects(api, namespace=namespace).watch(params={"timeoutSeconds": "20"})
    assert next(iter(watch)).object.obj["involvedObject"]["name"] == "p"
    watch.response.close()


@verb("errors")
def test_errors(api: pykube.HTTPClient, namespace: str) -> None:
    config_map(api, namespace, "here").create()
    for name, code in (("here", 409), ("Not_A_Name", 422)):
        with pytest.raises(HTTPError) as error:
            config_map(api, namespace, name).create()
        assert error.value.code == code


@verb("in-cluster config")
def test_in_cluster_configuration(
    service_account: Path, control_plane: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", control_plane.url.rpartition(":")[2])  # type: ignore[attr-defined]
    inside = pykube.HTTPClient(pykube.KubeConfig.from_service_account(str(service_account)))
    answer = inside.post(base="/apis", version="authentication.k8s.io/v1", url="selfsubjectreviews", json={})
    assert answer.json()["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    inside.session.close()
