"""The phase of a pod from the states of its containers: upstream's ``getPhase``. Pure."""

from __future__ import annotations

from typing import Any

from kubelet.model import podspec
from machinery.objects import Object

Status = dict[str, Any]


def of(pod: Object, init: list[Status], apps: list[Status], *, over: bool, failed: bool) -> str:
    """Return the phase of a pod from the statuses of its containers.

    ``over`` tells that nothing will run any more, whatever the restart policy; ``failed`` that the kubelet ended the
    pod. A recorded Succeeded or Failed stays.
    """
    recorded = pod.get("status", {}).get("phase")
    if recorded in ("Succeeded", "Failed"):
        return str(recorded)  # an ended pod never runs again
    if failed:
        return "Failed"
    if _init_failed(pod, init):
        return "Failed"
    if over:
        return "Succeeded" if apps and all(_exit_code(row) == 0 for row in apps) else "Failed"
    if _init_pending(pod, init, apps):
        return "Pending"
    if any(_never_ran(row) for row in apps):
        return "Pending"
    if any("running" in row["state"] for row in apps + init):  # a sidecar keeps its pod running until it has stopped
        return "Running"
    return _stopped(pod, apps)


def _init_failed(pod: Object, init: list[Status]) -> bool:
    if podspec.restart_policy(pod) != "Never":
        return False
    sidecars = podspec.sidecars(pod)
    return any(_exit_code(row) not in (None, 0) and row["name"] not in sidecars for row in init)


def _init_pending(pod: Object, init: list[Status], apps: list[Status]) -> bool:
    """Return True if an init container has not done its work yet, and no app container shows that it has once."""
    if any("running" in row["state"] for row in apps):
        return False
    sidecars = podspec.sidecars(pod)
    for row in init:
        if row["name"] in sidecars:
            if not row.get("started") and all(_never_ran(app) for app in apps):
                return True
        elif _exit_code(row) != 0:
            return True
    return False


def _never_ran(row: Status) -> bool:
    return "waiting" in row["state"] and "terminated" not in row.get("lastState", {})


def _exit_code(row: Status) -> int | None:
    """Return the exit code of an ended container, None if it waits or runs."""
    ended = row["state"].get("terminated")
    return None if ended is None else int(ended["exitCode"])


def _stopped(pod: Object, apps: list[Status]) -> str:
    policy = podspec.restart_policy(pod)
    if policy == "Always":
        return "Running"
    if all(_exit_code(row) == 0 for row in apps):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"
