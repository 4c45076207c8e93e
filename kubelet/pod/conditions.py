"""The conditions of a pod that the kubelet sets, with upstream's reasons and messages. Pure.

The result holds no others: conditions of other owners (those of readiness gates) stay as they are.
"""

from __future__ import annotations

from typing import Any

from kubelet.model import podspec
from machinery.objects import Object, get_condition

Status = dict[str, Any]


def conditions(
    pod: Object, phase: str, init: list[Status], apps: list[Status], *, has_sandbox: bool, now: str
) -> list[Status]:
    """Return the conditions; ``init`` and ``apps`` are the statuses of the pod's init containers and containers."""
    initialized = _initialized(pod, phase, init, apps)
    containers_ready = _containers_ready(phase, init, apps, pod)
    found = [
        {"type": "PodReadyToStartContainers", "status": str(has_sandbox)},
        {"type": "Initialized", **initialized},
        {"type": "Ready", **_ready(pod, containers_ready)},
        {"type": "ContainersReady", **containers_ready},
        {"type": "PodScheduled", "status": "True"},
    ]
    return [_timed(pod, condition, now) for condition in found]


def _timed(pod: Object, condition: Status, now: str) -> Status:
    """Return the condition with its times: the transition time changes only if the status does."""
    old = get_condition(pod, condition["type"])
    same = old is not None and old.get("status") == condition["status"] and old.get("lastTransitionTime")
    since = old["lastTransitionTime"] if old and same else now
    return {"type": condition.pop("type"), "lastProbeTime": None, "lastTransitionTime": since, **condition}


def _initialized(pod: Object, phase: str, init: list[Status], apps: list[Status]) -> Status:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    if any("running" in row["state"] for row in apps):
        return {"status": "True"}
    sidecars = podspec.sidecars(pod)
    incomplete = [row["name"] for row in init if not _init_complete(row, row["name"] in sidecars)]
    if not incomplete:
        return {"status": "True"}
    message = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return {"status": "False", "reason": "ContainersNotInitialized", "message": message}


def _init_complete(row: Status, sidecar: bool) -> bool:
    return bool(row.get("started")) if sidecar else bool(row["ready"])


def _containers_ready(phase: str, init: list[Status], apps: list[Status], pod: Object) -> Status:
    if phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    sidecars = podspec.sidecars(pod)
    rows = [row for row in init if row["name"] in sidecars] + apps
    unready = [row["name"] for row in rows if not row["ready"]]
    if not unready:
        return {"status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"status": "False", "reason": "ContainersNotReady", "message": message}


def _ready(pod: Object, containers_ready: Status) -> Status:
    if containers_ready["status"] != "True":
        return dict(containers_ready)
    complaints = []
    for gate in pod["spec"].get("readinessGates", []):
        kind = gate["conditionType"]
        condition = get_condition(pod, kind)
        if condition is None:
            complaints.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif condition["status"] != "True":
            complaints.append(f'the status of pod readiness gate "{kind}" is not "True", but {condition["status"]}')
    if not complaints:
        return {"status": "True"}
    return {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(complaints)}
