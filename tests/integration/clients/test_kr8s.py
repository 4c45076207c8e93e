"""The library ``kr8s``, through its synchronous interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kr8s
import pytest
import requests
from integration.clients.conftest import pod_named, write_log
from kr8s.objects import ConfigMap, Event, Node, Pod, ReplicationController, Service, Table, new_class

from machinery.objects import Object

LACKS = ("chunks", "strategic merge patch", "server-side apply", "replace", "deletecollection", "attach",
         "leader election")  # fmt: skip
pytestmark = [pytest.mark.docker, pytest.mark.client("kr8s", lacks=LACKS)]
verb = pytest.mark.verb


@pytest.fixture(scope="module")
def api(kubeconfig: Path) -> Any:
    return kr8s.api(kubeconfig=str(kubeconfig))


def config_map(api: Any, namespace: str, name: str, **labels: str) -> ConfigMap:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return ConfigMap({"metadata": metadata, "data": {"a": "b"}}, api=api)


@verb("create", "get", "JSON patch", "merge patch", "delete")
def test_life_of_an_object(api: Any, namespace: str) -> None:
    made = config_map(api, namespace, "one")
    made.create()
    made.patch({"data": {"a": "c"}})
    made.patch([{"op": "add", "path": "/data/d", "value": "e"}], type="json")
    made.label({"x": "y"})
    made.annotate(said="something")
    found = ConfigMap.get("one", namespace=namespace, api=api)
    assert found.data == {"a": "c", "d": "e"}
    assert (found.labels["x"], found.annotations["said"]) == ("y", "something")
    made.delete(propagation_policy="Background")
    assert not made.exists()
    with pytest.raises(kr8s.NotFoundError):
        ConfigMap.get("one", namespace=namespace, api=api)


@verb("list", "selectors", "tables")
def test_lists(api: Any, namespace: str) -> None:
    for number in range(4):
        config_map(api, namespace, f"c{number}", n=str(number)).create()
    chosen = api.get("configmaps", namespace=namespace, label_selector="n in (1,2)")
    assert [item.name for item in chosen] == ["c1", "c2"]
    chosen = api.get("configmaps", namespace=kr8s.ALL, field_selector={"metadata.name": "c3"})
    assert namespace in {item.namespace for item in chosen}
    [table] = api.get("configmaps", namespace=namespace, label_selector="n", as_object=Table)
    assert [column["name"] for column in table.column_definitions] == ["Name", "Data", "Age"]


@verb("custom resources")
def test_custom_resources(api: Any, widgets: Any, namespace: str) -> None:
    kind = new_class(kind="Widget", version="example.com/v1", namespaced=True, scalable=True, asyncio=False)
    made = kind({"metadata": {"name": "w", "namespace": namespace}, "spec": {"replicas": 1}}, api=api)
    made.create()
    assert made.spec.size == "small"
    made.scale(2)
    made.patch({"status": {"n": 2}}, subresource="status")
    [found] = api.get("widgets.example.com", namespace=namespace)
    assert (found.replicas, found.status.n) == (2, 2)
    made.delete()


@verb("watch", "watch resumed")
def test_watch(api: Any, namespace: str) -> None:
    made = config_map(api, namespace, "w", watched="yes")
    made.create()
    since = made.metadata.resourceVersion
    made.patch({"data": {"a": "c"}})
    events = api.watch("configmaps", namespace=namespace, label_selector="watched", since=since)
    assert next(events)[0] == "MODIFIED"
    made.delete()
    assert next(events)[0] == "DELETED"
    events.close()


@verb("scale", "status")
def test_scale_and_status(api: Any, namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    spec = {"replicas": 0, "selector": {"a": "b"}, "template": template}
    controller = ReplicationController({"metadata": {"name": "rc", "namespace": namespace}, "spec": spec}, api=api)
    controller.create()
    controller.scale(1)
    assert controller.replicas == 1
    node = Node({"metadata": {"name": namespace}}, api=api)
    node.create()
    node.patch({"status": {"conditions": [{"type": "Test", "status": "True"}]}}, subresource="status")
    node.wait("condition=Test", timeout=20)
    node.delete()


@verb("wait", "events", "logs")
def test_wait(api: Any, namespace: str) -> None:
    pod = pod_named("talks", "echo one; echo two; exec sleep infinity")
    pod["metadata"]["namespace"] = namespace
    talking = Pod(pod, api=api)
    talking.create()
    talking.wait("condition=Ready", timeout=30)
    lines = talking.logs(follow=True, timeout=20)
    assert [next(lines), next(lines)] == ["one", "two"]
    lines.close()
    assert list(talking.logs(tail_lines=1)) == ["two"]
    for _, event in api.watch("events", namespace=namespace, field_selector="involvedObject.name=talks"):
        assert isinstance(event, Event)
        if event.raw.reason == "Started":
            break
    talking.delete(grace_period=0)
    talking.wait("delete", timeout=30)


@verb("logs followed", "exec")
def test_followed_logs_and_exec(api: Any, shell: Object) -> None:
    pod = Pod.get("shell", namespace="default", api=api)
    lines = pod.logs(follow=True, tail_lines=1, timeout=20)
    next(lines)
    pod.exec(write_log("for-kr8s"))
    assert next(lines) == "for-kr8s"
    lines.close()
    done = pod.exec(["sh", "-c", "echo out; echo bad >&2; exit 3"], check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"bad\n", 3)


@verb("port-forward")
@pytest.mark.parametrize("kind", [Pod, Service])
def test_port_forward(api: Any, shell: Object, shell_service: str, kind: Any) -> None:
    target = kind.get("shell" if kind is Pod else shell_service, namespace="default", api=api)
    with target.portforward(8080, local_port="auto") as port:
        for _ in range(3):
            answer = requests.get(f"http://127.0.0.1:{port}/index.html", headers={"Connection": "close"}, timeout=20)
            assert answer.text == "hello\n"


@verb("proxy")
def test_proxy(api: Any, shell_service: str) -> None:
    service = Service.get(shell_service, namespace="default", api=api)
    assert service.proxy_http_get("index.html").text == "hello\n"


@verb("discovery")
def test_discovery(api: Any) -> None:
    assert api.version()["minor"] == "32"
    assert api.whoami() == "admin"
    assert "coordination.k8s.io/v1" in list(api.api_versions())
    assert "leases" in {resource["name"] for resource in api.api_resources()}
    assert [node.name for node in api.get("no")] == [node.name for node in api.get("nodes")] != []
    Node.get("clients-node", api=api).cordon()
    Node.get("clients-node", api=api).uncordon()


@verb("errors")
def test_errors(api: Any, namespace: str) -> None:
    config_map(api, namespace, "here").create()
    for name, code in (("here", 409), ("Not_A_Name", 422)):
        with pytest.raises(kr8s.ServerError) as error:
            config_map(api, namespace, name).create()
        assert error.value.response.status_code == code


@verb("in-cluster config")
def test_in_cluster_configuration(
    service_account: Path, control_plane: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", control_plane.url.rpartition(":")[2])
    inside = kr8s.api(kubeconfig=str(tmp_path / "none"), serviceaccount=str(service_account))
    assert inside.namespace == "default"
    with pytest.raises(kr8s.ServerError, match='User "system:serviceaccount:default:default" cannot list'):
        list(inside.get("secrets"))
