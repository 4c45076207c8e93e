"""Helpers for plain-dict API objects: keys, owners, conditions, times and the questions everybody asks about a pod.

Objects from a cache belong to everybody: copy before calling anything here that changes its argument
(only ``set_condition`` does).
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]

# Upstream's alphabet for generated names: no vowels and nothing that looks like one, so no bad words.
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def key(obj: Object) -> str:
    """``namespace/name``, or ``name`` for a cluster-scoped object."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def make_key(namespace: str, name: str) -> str:
    """The key of the object with this namespace (may be empty) and name."""
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """The namespace (empty for a cluster-scoped object) and name of a key."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def controller_of(obj: Object) -> Object | None:
    """The owner reference that says who manages this object, if any."""
    for reference in obj.get("metadata", {}).get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def owner_reference(owner: Object) -> Object:
    """The reference by which ``owner`` (with apiVersion and kind) manages a dependent."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def object_reference(obj: Object) -> Object:
    """The v1 ObjectReference of an object, as events carry it."""
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
    """The entry of ``status.conditions`` with this type."""
    for condition in obj.get("status", {}).get("conditions") or ():
        if condition.get("type") == type:
            found: Object = condition
            return found
    return None


def set_condition(
    obj: Object, type: str, status: str, reason: str = "", message: str = "", *, time: str = "", **extra: Any
) -> bool:
    """Sets a condition in place and tells whether anything changed.

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
    """The time as ``metav1.Time`` is written: UTC, whole seconds."""
    return format_time(datetime.now(UTC))


def now_micro() -> str:
    """The time as ``metav1.MicroTime`` is written."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def format_time(time: datetime) -> str:
    """A time as ``metav1.Time`` is written."""
    # isoformat and not strftime: before the year 1000 (Go's zero time) that writes fewer than four digits.
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse_time(text: str) -> datetime:
    """The time that an RFC 3339 text names; raises ValueError for anything else."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone; write it as 2006-01-02T15:04:05Z")
    return time.astimezone(UTC)


def random_suffix(length: int = 5) -> str:
    """What upstream appends to generateName."""
    return "".join(random.choices(NAME_ALPHABET, k=length))


def is_pod_ready(pod: Object) -> bool:
    """The pod's Ready condition is True."""
    condition = get_condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def is_pod_terminal(pod: Object) -> bool:
    """All containers have ended for good."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_pod_active(pod: Object) -> bool:
    """Neither ended nor being deleted: it counts towards the replicas of its controller."""
    return not is_pod_terminal(pod) and not pod.get("metadata", {}).get("deletionTimestamp")
