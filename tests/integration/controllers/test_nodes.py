"""Nodes that fall silent, with a short grace period and a control plane of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controllers.shared.options import ControllerOptions
from machinery.client import Client
from machinery.errors import NotFound
from machinery.objects import Object, get_condition, is_pod_ready, now, now_micro
from machinery.resources import ENDPOINT_SLICES, EVENTS, LEASES, NODES, PODS, SERVICES

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]
GRACE = 1.0


@pytest.fixture
def client(own_plane: Any) -> Iterator[Client]:
    """With controllers that lose patience soon."""
    stop = threading.Event()
    options = ControllerOptions(node_monitor_grace_period=GRACE, orphaned_pod_quarantine=0.5)
    own_plane.manager(options).start(stop)
    yield own_plane.client()
    stop.set()


@pytest.fixture
def renew(client: Client) -> Iterator[Callable[[str], None]]:
    """Keeps a node alive by its lease alone, until the test ends."""
    ended = threading.Event()
    threads = []

    def run(node: str) -> None:
        meta = {"name": node, "namespace": "kube-node-lease"}
        lease = client.create(LEASES, {**TYPE, "metadata": meta, "spec": {"renewTime": now_micro()}})
        while not ended.wait(GRACE / 4):
            lease["spec"]["renewTime"] = now_micro()
            lease = client.update(LEASES, lease)

    def begin(node: str) -> None:
        threads.append(threading.Thread(target=run, args=(node,)))
        threads[-1].start()

    yield begin
    ended.set()
    for thread in threads:
        thread.join()


TYPE = {"apiVersion": LEASES.api_version, "kind": LEASES.kind}


def make_ready_node(client: Client, name: str) -> None:
    made = client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    report_ready(client, made)


def report_ready(client: Client, node: Object) -> None:
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now(), "lastTransitionTime": now()}
    status = {"conditions": [ready], "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}
    client.update(NODES, {**node, "status": status}, subresource="status")


def make_pod(client: Client, name: str, node: str, **spec: Any) -> None:
    meta = {"name": name, "labels": {"app": "x"}}
    full = {"nodeName": node, "containers": [{"name": "c", "image": "i"}], **spec}
    client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": full}, "default")


def taints(client: Client, node: str) -> list[str]:
    found = client.get(NODES, node)["spec"].get("taints") or []
    return sorted(f"{taint['key'].removeprefix('node.kubernetes.io/')}:{taint['effect']}" for taint in found)


def readiness(client: Client, node: str) -> str:
    return str((get_condition(client.get(NODES, node), "Ready") or {}).get("status"))


def pod(client: Client, name: str) -> Object | None:
    try:
        found: Object = client.get(PODS, name, "default")
    except NotFound:
        return None
    return found


def events(client: Client, reason: str) -> list[str]:
    return [each["message"] for each in client.list(EVENTS, "default")["items"] if each["reason"] == reason]


def test_the_only_node_falls_silent_and_comes_back(client: Client, renew: Callable[[str], None], wait: Wait) -> None:
    service = {"metadata": {"name": "svc"}, "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}
    client.create(SERVICES, {"apiVersion": "v1", "kind": "Service", **service}, "default")
    make_pod(client, "pod", "node-1")
    wait(lambda: is_pod_ready(pod(client, "pod") or {}), "the pod")
    wait(lambda: readiness(client, "node-1") == "Unknown", "the silence to be noticed")
    wait(lambda: taints(client, "node-1") == ["unreachable:NoSchedule"], "the taint; nobody is evicted")
    wait(lambda: not is_pod_ready(pod(client, "pod") or {}), "the pod to get no more traffic")

    def conditions() -> list[Object]:
        slices = client.list(ENDPOINT_SLICES, "default", label_selector="kubernetes.io/service-name=svc")["items"]
        return [each["conditions"] for one in slices for each in one.get("endpoints") or ()]

    expected = [{"ready": False, "serving": False, "terminating": False}]
    wait(lambda: conditions() == expected, "the slice to say so")
    assert "Node node-1 status is now: NodeNotReady" in events(client, "NodeNotReady")

    renew("node-1")
    report_ready(client, client.get(NODES, "node-1"))
    wait(lambda: taints(client, "node-1") == [], "the taint to go")


def test_pods_of_a_lost_node_are_evicted_after_what_they_tolerate(
    client: Client, renew: Callable[[str], None], wait: Wait
) -> None:
    renew("node-1")
    make_ready_node(client, "lost")
    ever = [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}]
    make_pod(client, "patient", "lost", tolerations=ever)
    make_pod(client, "hasty", "lost", tolerations=[{**ever[0], "tolerationSeconds": 0}])
    make_pod(client, "short", "lost", tolerations=[{**ever[0], "tolerationSeconds": 1}])
    wait(
        lambda: taints(client, "lost") == ["unreachable:NoExecute", "unreachable:NoSchedule"],
        "the taints",
    )
    wait(lambda: "Marking for deletion Pod default/hasty" in events(client, "TaintManagerEviction"), "the event")
    wait(lambda: "Marking for deletion Pod default/short" in events(client, "TaintManagerEviction"), "the other event")
    assert "Marking for deletion Pod default/patient" not in events(client, "TaintManagerEviction")
    assert readiness(client, "node-1") == "True"
    assert taints(client, "node-1") == []

    client.delete(NODES, "lost")
    wait(lambda: pod(client, "patient") is None, "what is left to go with its node")


def test_a_pod_bound_to_a_node_that_never_was_is_removed(client: Client, wait: Wait) -> None:
    make_pod(client, "astray", "nowhere")
    wait(lambda: pod(client, "astray") is None, "it to go")
