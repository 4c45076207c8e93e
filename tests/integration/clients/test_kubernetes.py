"""The library ``kubernetes``: its typed client, watch, stream, leader election and in-cluster configuration."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.clients.conftest import pod_named, write_log
from kubernetes import client, config, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import portforward, stream

from machinery.objects import Object

pytestmark = [pytest.mark.docker, pytest.mark.client("kubernetes", lacks=("tables",))]
verb = pytest.mark.verb


@pytest.fixture(scope="module")
def api_client(kubeconfig: Path) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(kubeconfig)) as made:
        yield made


@pytest.fixture(scope="module")
def core(api_client: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api_client)


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


@verb("create", "get", "replace", "delete")
def test_life_of_an_object(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("one", a="b"))
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo is not None
    made.data = {"a": "c"}
    replaced = core.replace_namespaced_config_map("one", namespace, made)
    assert replaced.metadata.resource_version != made.metadata.resource_version
    assert core.read_namespaced_config_map("one", namespace).data == {"a": "c"}
    status = core.delete_namespaced_config_map("one", namespace)
    assert (status["status"], status["details"]["uid"]) == ("Success", made.metadata.uid)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("one", namespace)
    assert gone.value.status == 404


@verb("create")
def test_create_from_yaml(api_client: client.ApiClient, core: client.CoreV1Api, namespace: str) -> None:
    documents = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "word"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}},
    ]
    utils.create_from_yaml(api_client, yaml_objects=documents, namespace=namespace)
    assert core.read_namespaced_secret("s", namespace).data == {"key": "d29yZA=="}
    assert core.read_namespaced_service("s", namespace).spec.cluster_ip.startswith("172.30.")


@verb("list", "selectors", "chunks", "deletecollection")
def test_lists(core: client.CoreV1Api, namespace: str) -> None:
    for number in range(5):
        core.create_namespaced_config_map(namespace, config_map(f"c{number}", {"n": str(number), "app": "x"}))
    listed = core.list_namespaced_config_map(namespace, label_selector="app=x,n notin (0,1)")
    assert [item.metadata.name for item in listed.items] == ["c2", "c3", "c4"]
    listed = core.list_config_map_for_all_namespaces(field_selector=f"metadata.name=c1,metadata.namespace={namespace}")
    assert [item.metadata.name for item in listed.items] == ["c1"]
    names, token = [], None
    while token != "":
        page = core.list_namespaced_config_map(namespace, limit=2, label_selector="app", _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
        assert len(page.items) <= 2
    assert names == [f"c{number}" for number in range(5)]
    core.delete_collection_namespaced_config_map(namespace, label_selector="n in (1,2)")
    assert len(core.list_namespaced_config_map(namespace, label_selector="app").items) == 3


@verb("JSON patch", "merge patch", "strategic merge patch")
@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        ("application/json-patch+json", [{"op": "replace", "path": "/data/a", "value": "c"}]),
        ("application/merge-patch+json", {"data": {"a": "c"}}),
        ("application/strategic-merge-patch+json", {"data": {"a": "c"}}),
        (None, {"data": {"a": "c"}}),  # what the library chooses by itself
    ],
)
def test_patches(core: client.CoreV1Api, namespace: str, content_type: str | None, patch: Any) -> None:
    core.create_namespaced_config_map(namespace, config_map("p", a="b", other="stays"))
    patched = core.patch_namespaced_config_map(
        "p", namespace, patch, **{"_content_type": content_type} if content_type else {}
    )
    assert patched.data == {"a": "c", "other": "stays"}


APPLY = "application/apply-patch+yaml"


@verb("server-side apply")
def test_server_side_apply(core: client.CoreV1Api, namespace: str) -> None:
    def apply(manager: str, **data: str) -> Any:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data}
        return core.patch_namespaced_config_map(
            "applied", namespace, body, field_manager=manager, force=manager == "bully", _content_type=APPLY
        )

    apply("one", a="1", b="1")
    assert apply("one", a="2").data == {"a": "2"}
    with pytest.raises(ApiException) as conflict:
        apply("two", a="3")
    assert conflict.value.status == 409 and 'conflict with \\"one\\"' in conflict.value.body
    apply("bully", a="4", c="4")
    fields = core.read_namespaced_config_map("applied", namespace).metadata.managed_fields
    assert [(entry.manager, entry.operation) for entry in fields] == [("bully", "Apply")]


@verb("custom resources")
def test_custom_resources(api_client: client.ApiClient, widgets: Any, namespace: str) -> None:
    custom = client.CustomObjectsApi(api_client)
    place = ("example.com", "v1", namespace, "widgets")
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"replicas": 1}}
    assert custom.create_namespaced_custom_object(*place, body)["spec"] == {"replicas": 1, "size": "small"}
    custom.patch_namespaced_custom_object(*place, "w", {"spec": {"size": "large"}})
    custom.patch_namespaced_custom_object_status(*place, "w", {"status": {"n": 1}})
    custom.patch_namespaced_custom_object_scale(*place, "w", {"spec": {"replicas": 3}})
    [found] = custom.list_namespaced_custom_object(*place)["items"]
    assert (found["spec"], found["status"]) == ({"replicas": 3, "size": "large"}, {"n": 1})
    with pytest.raises(ApiException) as invalid:
        custom.patch_namespaced_custom_object(*place, "w", {"spec": {"replicas": "many"}})
    assert invalid.value.status == 422
    custom.delete_namespaced_custom_object(*place, "w")


@verb("watch", "watch resumed")
def test_watch(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("w", {"seen": "yes"}, n="0"))
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    for number in range(1, 4):
        core.patch_namespaced_config_map("w", namespace, {"data": {"n": str(number)}})
    core.delete_namespaced_config_map("w", namespace)
    seen = [
        (event["type"], event["object"].data["n"])
        for event in watch.Watch().stream(
            core.list_namespaced_config_map, namespace, label_selector="seen", resource_version=start, timeout_seconds=1
        )
    ]
    assert seen == [("MODIFIED", "1"), ("MODIFIED", "2"), ("MODIFIED", "3"), ("DELETED", "3")]


@verb("status")
def test_status(core: client.CoreV1Api, namespace: str) -> None:
    """The status is what its path changes, and what the object's own path does not."""
    node = core.create_node({"metadata": {"name": namespace}, "status": {"phase": "ignored"}})
    node.status, node.spec.unschedulable = client.V1NodeStatus(capacity={"cpu": "2"}), True
    core.replace_node_status(namespace, node)
    core.patch_node_status(namespace, {"status": {"capacity": {"memory": "1Gi"}}})
    found = core.read_node(namespace)
    assert (found.status.capacity, found.status.phase) == ({"cpu": "2", "memory": "1Gi"}, None)
    assert found.spec.unschedulable is None
    core.delete_node(namespace)


@verb("scale")
def test_scale(core: client.CoreV1Api, namespace: str) -> None:
    spec = {"replicas": 0, "selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}}}
    spec["template"] |= {"spec": unschedulable()}  # type: ignore[operator]
    core.create_namespaced_replication_controller(namespace, {"metadata": {"name": "rc"}, "spec": spec})
    core.patch_namespaced_replication_controller_scale("rc", namespace, {"spec": {"replicas": 2}})
    scale = core.read_namespaced_replication_controller_scale("rc", namespace)
    assert scale.spec.replicas == 2 and scale.status.selector == "a=b"
    assert core.read_namespaced_replication_controller("rc", namespace).spec.replicas == 2


@verb("wait", "events")
def test_wait_until_a_pod_has_ended(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod_named("short", "exit 3") | {})
    events = watch.Watch()
    for event in events.stream(core.list_namespaced_pod, namespace, timeout_seconds=30):
        states = event["object"].status.container_statuses or []
        if any((state.last_state.terminated or state.state.terminated) for state in states):
            events.stop()
    ended = states[0].last_state.terminated or states[0].state.terminated
    assert ended.exit_code == 3
    told = core.list_namespaced_event(namespace, field_selector="involvedObject.name=short").items
    assert {"Scheduled", "Created", "Started"} <= {event.reason for event in told}


@verb("errors")
def test_errors(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("here"))
    calls: dict[int, Callable[[], object]] = {
        404: lambda: core.read_namespaced_config_map("missing", namespace),
        409: lambda: core.create_namespaced_config_map(namespace, config_map("here")),
        422: lambda: core.create_namespaced_config_map(namespace, config_map("Not_A_Name")),
        400: lambda: core.list_namespaced_config_map(namespace, label_selector="a in b"),
    }
    for code, call in calls.items():
        with pytest.raises(ApiException) as error:
            call()
        assert error.value.status == code
    stale = core.read_namespaced_config_map("here", namespace)
    core.patch_namespaced_config_map("here", namespace, {"data": {"a": "b"}})
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("here", namespace, stale)
    assert conflict.value.status == 409 and "the object has been modified" in conflict.value.body


@verb("discovery")
def test_discovery(api_client: client.ApiClient) -> None:
    assert client.VersionApi(api_client).get_code().minor == "32"
    assert "coordination.k8s.io" in {group.name for group in client.ApisApi(api_client).get_api_versions().groups}
    assert "pods/exec" in {resource.name for resource in client.CoreV1Api(api_client).get_api_resources().resources}


# --- a pod's streams ---------------------------------------------------------------------------------------------


@verb("exec")
def test_exec(core: client.CoreV1Api, shell: Object) -> None:
    command = ["sh", "-c", "read word; echo got $word; echo problem >&2; exit 3"]
    session = stream(
        core.connect_get_namespaced_pod_exec, "shell", "default", command=command,
        stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
    )  # fmt: skip
    session.write_stdin("hello\n")
    session.run_forever(timeout=20)
    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("got hello\n", "problem\n", 3)
    session.close()


@verb("exec")
def test_exec_in_one_call(core: client.CoreV1Api, shell: Object) -> None:
    said = stream(
        core.connect_get_namespaced_pod_exec, "shell", "default", command=["echo", "hello"], stdout=True, tty=True
    )
    assert said == "hello\r\n"


@verb("attach")
def test_attach(core: client.CoreV1Api, shell: Object) -> None:
    session = stream(
        core.connect_get_namespaced_pod_attach, "shell", "default", stdin=True, stdout=True, _preload_content=False
    )
    session.write_stdin("from attach\n")
    assert session.readline_stdout(timeout=20) == "got from attach"
    session.close()


@verb("logs", "logs followed")
def test_logs(core: client.CoreV1Api, shell: Object) -> None:
    assert core.read_namespaced_pod_log("shell", "default", limit_bytes=8) == "started\n"
    lines = watch.Watch().stream(core.read_namespaced_pod_log, "shell", "default", tail_lines=1)
    next(lines)
    stream(core.connect_get_namespaced_pod_exec, "shell", "default", command=write_log("news"), stdout=True)
    assert next(lines) == "news"
    lines.close()


@verb("port-forward")
def test_port_forward(core: client.CoreV1Api, shell: Object) -> None:
    forwarded = portforward(core.connect_get_namespaced_pod_portforward, "shell", "default", ports="8080")
    connection = forwarded.socket(8080)
    connection.setblocking(True)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while data := connection.recv(4096):
        answer += data
    assert answer.endswith(b"hello\n") and forwarded.error(8080) is None
    connection.close()
    forwarded.close()
    for thread in threading.enumerate():  # else its socket is left to whichever test comes later
        if thread.name.startswith("Kubernetes port forward"):
            thread.join(20)


@verb("proxy")
def test_proxy(core: client.CoreV1Api, shell: Object) -> None:
    assert core.connect_get_namespaced_pod_proxy_with_path("shell:8080", "default", "index.html") == "hello\n"


# --- being somebody ----------------------------------------------------------------------------------------------


@verb("leader election")
def test_leader_election(api_client: client.ApiClient, namespace: str) -> None:
    """One leads, and the other follows it when it stops: the library takes an exception for the end of its work."""
    leases, led = client.CoordinationV1Api(api_client), queue.Queue[str]()

    def lead(who: str) -> None:
        led.put(who)
        raise ElectionEnds

    def run(who: str) -> None:
        lock = LeaseLock("lock", namespace, who)
        lock.api_instance = leases
        settings = electionconfig.Config(lock, 2, 1.9, 1.1, lambda: lead(who), lambda: None)
        leaderelection.LeaderElection(settings).run()

    run("first")
    assert leases.read_namespaced_lease("lock", namespace).spec.holder_identity == "first"
    run("second")
    assert [led.get(), led.get()] == ["first", "second"]
    assert leases.read_namespaced_lease("lock", namespace).spec.holder_identity == "second"


class ElectionEnds(Exception):
    """The leader has done its work."""


@verb("in-cluster config")
def test_in_cluster_configuration(service_account: Path, control_plane: Any) -> None:
    settings = client.Configuration()
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": control_plane.url.rpartition(":")[2]}
    InClusterConfigLoader(str(service_account / "token"), str(service_account / "ca.crt"), True, environ).load_and_set(
        settings
    )
    with client.ApiClient(settings) as inside:
        review = client.AuthenticationV1Api(inside).create_self_subject_review({})
        assert review.status.user_info.username == "system:serviceaccount:default:default"


def unschedulable() -> Object:
    """A pod's spec that no node suits."""
    return {"nodeSelector": {"no": "node"}, "containers": [{"name": "c", "image": "none"}]}
