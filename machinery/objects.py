"""API objects: what the fields that we read are called and hold, and helpers for keys, owners, conditions and times.

An object is a plain dict from wire to store, so that a field that nobody here knows survives a round trip. The
TypedDicts describe the parts that are read most; ``spec: PodSpec = pod["spec"]`` lets mypy check what follows.

**Nulls are absent.** The API server drops null fields when it decodes an object of a built-in kind
(``apiserver/schema/nodes.py``), as upstream's Go structs do. Whoever reads an object that came from the API writes
``meta.get("labels", {})`` and not ``meta.get("labels") or {}``. What has not passed the API server (a request that is
being decoded, a file, an object of a custom kind) may hold nulls.

Objects from a cache belong to everybody: copy before calling anything here that changes its argument
(only ``set_condition`` does).
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Required, TypedDict

Object = dict[str, Any]


class OwnerReference(TypedDict, total=False):
    apiVersion: Required[str]
    kind: Required[str]
    name: Required[str]
    uid: Required[str]
    controller: bool
    blockOwnerDeletion: bool


class ResourceRequirements(TypedDict, total=False):
    requests: dict[str, str]  # resource name → quantity
    limits: dict[str, str]


class ContainerPort(TypedDict, total=False):
    containerPort: Required[int]
    name: str
    protocol: str
    hostPort: int
    hostIP: str


class Container(TypedDict, total=False):
    name: Required[str]
    image: str
    ports: list[ContainerPort]
    resources: ResourceRequirements
    restartPolicy: str  # of init containers only: Always makes a sidecar
    env: list[Object]
    envFrom: list[Object]
    volumeMounts: list[Object]


class PodSpec(TypedDict, total=False):
    containers: list[Container]
    initContainers: list[Container]
    ephemeralContainers: list[Container]
    nodeName: str
    hostNetwork: bool
    hostname: str
    subdomain: str
    restartPolicy: str
    overhead: dict[str, str]
    priority: int
    serviceAccountName: str
    imagePullSecrets: list[Object]
    volumes: list[Object]


# Upstream's alphabet for generated names: no vowels and nothing that looks like one, so no bad words.
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def key(obj: Object) -> str:
    """Return ``namespace/name``, or ``name`` for a cluster-scoped object."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def make_key(namespace: str, name: str) -> str:
    """Return the key of an object; the namespace of a cluster-scoped one is empty."""
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """Return the namespace (empty for a cluster-scoped object) and name of a key."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def labels_of(obj: Object) -> Mapping[str, str]:
    labels: dict[str, str] = obj["metadata"].get("labels", {})
    return labels


def annotations_of(obj: Object) -> Mapping[str, str]:
    annotations: dict[str, str] = obj["metadata"].get("annotations", {})
    return annotations


def owner_references_of(obj: Object) -> list[OwnerReference]:
    references: list[OwnerReference] = obj["metadata"].get("ownerReferences", [])
    return references


def controller_of(obj: Object) -> OwnerReference | None:
    """Return the owner reference whose ``controller`` is true, None if nobody manages the object."""
    references: list[OwnerReference] = obj.get("metadata", {}).get("ownerReferences", [])
    return next((each for each in references if each.get("controller")), None)


def owner_reference(owner: Object) -> Object:
    """Return the reference by which ``owner``, which must have apiVersion and kind, manages a dependent."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def object_reference(obj: Object) -> Object:
    """Return the v1 ObjectReference of an object, as events carry it, without its empty fields."""
    meta = obj.get("metadata", {})
    reference = {
        "kind": obj.get("kind"),
        "namespace": meta.get("namespace"),
        "name": meta.get("name"),
        "uid": meta.get("uid"),
        "apiVersion": obj.get("apiVersion"),
        "resourceVersion": meta.get("resourceVersion"),
    }
    return {field: value for field, value in reference.items() if value}


def get_condition(obj: Object, type: str) -> Object | None:
    """Return the entry of ``status.conditions`` with this type, None if there is none."""
    for condition in obj.get("status", {}).get("conditions") or ():
        if condition.get("type") == type:
            found: Object = condition
            return found
    return None


def set_condition(
    obj: Object, type: str, status: str, reason: str = "", message: str = "", *, time: str = "", **extra: Any
) -> bool:
    """Set a condition in place; return True if its status, reason or message changed.

    lastTransitionTime moves only when the status does. ``extra`` are further fields (lastProbeTime,
    lastHeartbeatTime …), which do not count as a change.
    """
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    new: Object = {"type": type, "status": status, "lastTransitionTime": time or now()}
    if reason:
        new["reason"] = reason
    if message:
        new["message"] = message
    new.update(extra)
    for index, old in enumerate(conditions):
        if old.get("type") != type:
            continue
        if old.get("status") == status and old.get("lastTransitionTime"):
            new["lastTransitionTime"] = old["lastTransitionTime"]
        conditions[index] = new
        return any(old.get(part) != new.get(part) for part in ("status", "reason", "message"))
    conditions.append(new)
    return True


def now() -> str:
    """Return the time as ``metav1.Time`` is written: UTC, whole seconds."""
    return _second(int(time.time()))


@lru_cache(2)
def _second(seconds: int) -> str:
    return format_time(datetime.fromtimestamp(seconds, UTC))


def now_micro() -> str:
    """Return the time as ``metav1.MicroTime`` is written: UTC, microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def format_time(time: datetime) -> str:
    """Return a time as ``metav1.Time`` is written."""
    # isoformat and not strftime: before the year 1000 (Go's zero time) that writes fewer than four digits.
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse_time(text: str) -> datetime:
    """Return the time that an RFC 3339 text names, in UTC; raise ValueError for anything else."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone; write it as 2006-01-02T15:04:05Z")
    return time.astimezone(UTC)


def random_suffix(length: int = 5) -> str:
    """Return what upstream appends to generateName."""
    return "".join(random.choices(NAME_ALPHABET, k=length))


def is_pod_ready(pod: Object) -> bool:
    """Return True if the pod's Ready condition is True."""
    condition = get_condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def is_pod_terminal(pod: Object) -> bool:
    """Return True if all containers have ended for good: the phase is Succeeded or Failed."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_pod_active(pod: Object) -> bool:
    """Return True if the pod has not ended and is not being deleted: it counts towards its controller's replicas."""
    return not is_pod_terminal(pod) and not pod.get("metadata", {}).get("deletionTimestamp")
