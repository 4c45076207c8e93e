"""Objects for the controllers' tests, with what a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from machinery.objects import Object

Builder = Callable[..., Object]


def build_pod(
    name: str = "pod",
    *,
    labels: dict[str, str] | None = None,
    node: str = "",
    ip: str = "",
    phase: str = "",
    ready: bool | None = None,
    ready_since: str = "2026-01-01T00:00:00Z",
    created: str = "2026-01-01T00:00:00Z",
    owner: Object | None = None,
    deleting: bool = False,
    restarts: int = 0,
    containers: list[Object] | None = None,
    annotations: dict[str, str] | None = None,
    uid: str = "",
    **spec: Any,
) -> Object:
    meta: Object = {
        "name": name,
        "namespace": "ns",
        "uid": uid or f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": created,
        "labels": labels if labels is not None else {"app": "x"},
    }
    if annotations:
        meta["annotations"] = annotations
    if deleting:
        meta["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    if owner is not None:
        reference = {"apiVersion": "v1", "kind": owner["kind"], "name": owner["metadata"]["name"], "controller": True}
        meta["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"], "blockOwnerDeletion": True}]
    status: Object = {"phase": phase or ("Running" if node else "Pending")}
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    if ready is not None:
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": ready_since}
        status["conditions"] = [condition]
    if restarts:
        status["containerStatuses"] = [{"restartCount": restarts}]
    full_spec: Object = {"containers": containers or [{"name": "c", "image": "i"}], **spec}
    if node:
        full_spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": full_spec, "status": status}


def build_rc(replicas: int | None = 1, *, deleting: bool = False, status: Object | None = None, **spec: Any) -> Object:
    meta = {"name": "rc", "namespace": "ns", "uid": "uid-rc", "generation": 3, "resourceVersion": "1"}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    full_spec = {"selector": {"app": "x"}, "template": template, **spec}
    if replicas is not None:
        full_spec["replicas"] = replicas
    rc = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": meta, "spec": full_spec}
    return rc | ({"status": status} if status else {})


def build_node(
    name: str = "node", *, ready: str | None = "True", taints: list[Object] | None = None, **more: Any
) -> Object:
    allocatable = {"cpu": "2", "memory": "4Gi", "pods": "10", **more.pop("allocatable", {})}
    status: Object = {"allocatable": allocatable}
    if ready is not None:
        status["conditions"] = [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    meta = {
        "name": name,
        "uid": f"uid-{name}",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": more.pop("labels", {}),
    }
    spec: Object = {**more}
    if taints:
        spec["taints"] = taints
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": status}


@pytest.fixture
def pod() -> Builder:
    return build_pod


@pytest.fixture
def rc() -> Builder:
    return build_rc


@pytest.fixture
def node() -> Builder:
    return build_node


class FakeInformer:
    """An informer whose changes a test makes itself."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.handlers: list[Callable[[Object | None, Object | None], None]] = []

    def get(self, key: str) -> Object | None:
        return self.objects.get(key)

    def list(self) -> list[Object]:
        return list(self.objects.values())

    def add_handler(self, handler: Callable[[Object | None, Object | None], None]) -> None:
        self.handlers.append(handler)

    def change(self, old: Object | None, new: Object | None) -> None:
        from machinery.objects import key

        if old is not None:
            self.objects.pop(key(old), None)
        if new is not None:
            self.objects[key(new)] = new
        for handler in self.handlers:
            handler(old, new)


@pytest.fixture
def informer() -> FakeInformer:
    return FakeInformer()


class FakeRecorder:
    """Keeps reason and message of events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def event(self, obj: Object, type: str, reason: str, message: str) -> None:
        self.events.append((reason, message))


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()
