"""An important pod gets its room: the less important one is evicted, and its place is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from machinery.errors import NotFound
from machinery.objects import Object, get_condition
from machinery.resources import EVENTS, PODS, Resource

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)


def make(cluster: Any, name: str, priority_class: str, cpu: str) -> None:
    containers = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]
    spec = {"containers": containers, "priorityClassName": priority_class}
    cluster.client.create(PODS, {"metadata": {"name": name}, "spec": spec}, cluster.namespace)


def test_preemption(cluster: Any, wait: Wait) -> None:
    def pod(name: str) -> Object | None:
        try:
            return cluster.client.get(PODS, name, cluster.namespace)  # type: ignore[no-any-return]
        except NotFound:
            return None

    def node_of(name: str) -> str:
        found = pod(name)
        return str(found["spec"].get("nodeName") or "") if found else ""

    for name, value in (("low", 1), ("high", 100)):
        cluster.client.create(PRIORITY_CLASSES, {"metadata": {"name": f"{name}-{cluster.namespace}"}, "value": value})
    low, high = f"low-{cluster.namespace}", f"high-{cluster.namespace}"
    make(cluster, "lesser", low, "3")
    wait(lambda: node_of("lesser"), "the lesser pod to be bound")
    make(cluster, "important", high, "3")
    wait(lambda: node_of("important"), "the important pod to be bound")
    assert pod("lesser") is None

    def events(reason: str) -> list[str]:
        items = cluster.client.list(EVENTS, cluster.namespace)["items"]
        return [event["message"] for event in items if event["reason"] == reason]

    uid = (pod("important") or {})["metadata"]["uid"]
    wait(lambda: events("Preempted") == [f"Preempted by pod {uid} on node node-1"], "the event")

    make(cluster, "late", low, "3")
    waiting = wait(lambda: get_condition(pod("late") or {}, "PodScheduled"), "the late pod to be told")
    assert waiting["message"].endswith("1 No preemption victims found for incoming pod.")
