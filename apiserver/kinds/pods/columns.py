"""The columns of ``kubectl get pods``: one word for a pod's state and the counts beside it (upstream: printPod).

The Status column shows why the pod is not running, or ``Running``. While init containers run, it is about the first
that is not done. After that it is the reason why a container waits or has ended; of several containers, the first in
the spec counts. A pod that is being deleted is always ``Terminating`` or, if its node is lost, ``Unknown``.
"""

from __future__ import annotations

from dataclasses import dataclass

from apiserver.kinds.cells import NONE
from apiserver.model.printing import age
from machinery.objects import Object, get_condition, is_pod_terminal


@dataclass
class _Summary:
    reason: str
    total: int
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""

    def count_restarts(self, status: Object) -> None:
        self.restarts += status.get("restartCount", 0)
        ended = status.get("lastState", {}).get("terminated", {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, ended)  # RFC 3339 in UTC sorts as text


def ready(pod: Object) -> str:
    """Return how many containers are ready, of how many: ``1/2``."""
    summary = _summarize(pod)
    return f"{summary.ready}/{summary.total}"


def reason(pod: Object) -> str:
    """Return the Status column: ``Running``, ``Init:0/1``, ``CrashLoopBackOff`` …"""
    return _summarize(pod).reason


def restarts(pod: Object) -> str:
    """Return how often containers restarted, and how long ago the last one did: ``3 (12s ago)``."""
    summary = _summarize(pod)
    if summary.restarts and summary.last_restart:
        return f"{summary.restarts} ({age(summary.last_restart)} ago)"
    return str(summary.restarts)


def ip(pod: Object) -> str:
    """Return the pod's first IP address, ``<none>`` before it has any."""
    status = pod.get("status", {})
    return next((str(entry["ip"]) for entry in status.get("podIPs", ()) if entry.get("ip")), NONE)


def readiness_gates(pod: Object) -> str:
    """Return how many readiness gates have a true condition, of how many."""
    gates = pod["spec"].get("readinessGates", ())
    if not gates:
        return NONE
    return f"{sum(_is_true(pod, gate['conditionType']) for gate in gates)}/{len(gates)}"


def _summarize(pod: Object) -> _Summary:
    spec, status = pod["spec"], pod.get("status", {})
    sidecars = {c["name"] for c in spec.get("initContainers", ()) if c.get("restartPolicy") == "Always"}
    summary = _Summary(
        status.get("reason") or status.get("phase") or "", len(spec.get("containers", ())) + len(sidecars)
    )
    scheduled = get_condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        summary.reason = "SchedulingGated"
    initializing = _init_containers(pod, sidecars, summary)
    if not initializing or _is_true(pod, "Initialized"):
        _containers(pod, sidecars, summary)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif not is_pod_terminal(pod):
            summary.reason = "Terminating"
    return summary


def _init_containers(pod: Object, sidecars: set[str], summary: _Summary) -> bool:
    """Summarize init containers up to the first that is not done; return True if there is one."""
    for index, container in enumerate(pod.get("status", {}).get("initContainerStatuses", ())):
        summary.count_restarts(container)
        state = container.get("state", {})
        terminated, waiting = state.get("terminated"), state.get("waiting", {})
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            summary.reason = f"Init:{_ended(terminated)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{index}/{len(pod['spec'].get('initContainers', ()))}"
        return True
    return False


def _containers(pod: Object, sidecars: set[str], summary: _Summary) -> None:
    status = pod.get("status", {})
    summary.restarts, summary.last_restart = 0, ""
    for container in status.get("initContainerStatuses", ()):
        if container.get("name") in sidecars:
            summary.count_restarts(container)
    running = False
    for container in reversed(status.get("containerStatuses", [])):
        summary.count_restarts(container)
        state = container.get("state", {})
        waiting, terminated = state.get("waiting", {}), state.get("terminated")
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = _ended(terminated)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        summary.reason = "Running" if _is_true(pod, "Ready") else "NotReady"


def _ended(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _is_true(pod: Object, condition: str) -> bool:
    found = get_condition(pod, condition)
    return found is not None and found.get("status") == "True"
