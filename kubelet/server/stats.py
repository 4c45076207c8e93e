"""GET /stats/summary: what the node's pods use, from Docker's statistics (upstream: stats/v1alpha1 Summary).

``usageNanoCores`` is the rate since the caller before, as upstream's is since its last housekeeping.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from docker.errors import APIError

from kubelet.server.host import PodHost
from machinery.errors import ApiError
from machinery.objects import Object, now

_AT_ONCE = 16  # questions to Docker


class Statistics:
    """Remembers the last processor times, for rates."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}

    def summary(self, host: PodHost) -> Object:
        """The node's Summary: running containers with processor time and memory."""
        pods = host.pods()
        running = [(pod, status) for pod in pods for status in _running(pod)]
        # Docker lets whoever asks a second time wait for its next sample, a second at most.
        with ThreadPoolExecutor(_AT_ONCE, "stats") as pool:
            found = list(pool.map(lambda pair: (pair[0], self._container(host, *pair)), running))
        containers: dict[str, list[Object]] = {pod["metadata"]["uid"]: [] for pod in pods}
        for pod, container in found:
            if container is not None:
                containers[pod["metadata"]["uid"]].append(container)
        self._forget_all_but({container["id"] for _, container in found if container is not None})
        stats = [_pod_stats(pod, containers[pod["metadata"]["uid"]]) for pod in pods]
        return {"node": _total({"nodeName": host.node_name}, stats), "pods": stats}

    def _forget_all_but(self, containers: set[str]) -> None:
        with self._lock:
            self._last = {container: last for container, last in self._last.items() if container in containers}

    def _container(self, host: PodHost, pod: Object, status: Object) -> Object | None:
        meta = pod["metadata"]
        try:
            container_id = host.container_id(meta["namespace"], meta["name"], status["name"])
            used = _usage(host.docker, container_id)
        except (ApiError, APIError):
            return None  # it has just ended
        if used is None:
            return None
        nanoseconds, memory, working_set = used
        cpu: Object = {"time": now(), "usageCoreNanoSeconds": nanoseconds, "usageNanoCores": 0}
        moment = time.monotonic()
        with self._lock:
            before = self._last.get(container_id)
            self._last[container_id] = (moment, nanoseconds)
        if before is not None and moment > before[0]:
            cpu["usageNanoCores"] = max(0, int((nanoseconds - before[1]) / (moment - before[0])))
        return {
            "id": container_id,
            "name": status["name"],
            "startTime": status["state"]["running"].get("startedAt"),
            "cpu": cpu,
            "memory": {"time": now(), "usageBytes": memory, "workingSetBytes": working_set},
        }


def _usage(client: docker.APIClient, container_id: str) -> tuple[int, int, int] | None:
    """Processor nanoseconds, memory, and memory without what the kernel would give back first."""
    found: dict[str, Any] = client.stats(container_id, stream=False, one_shot=True)
    memory = found.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    detail = memory.get("stats") or {}
    inactive = int(detail.get("total_inactive_file") or detail.get("inactive_file") or 0)
    usage = int(memory["usage"])
    return int(found["cpu_stats"]["cpu_usage"]["total_usage"]), usage, max(0, usage - inactive)


def _running(pod: Object) -> list[Object]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return [status for status in statuses if "running" in (status.get("state") or {})]


def _pod_stats(pod: Object, containers: list[Object]) -> Object:
    reference = {name: pod["metadata"][name] for name in ("name", "namespace", "uid")}
    shown = [{name: value for name, value in container.items() if name != "id"} for container in containers]
    started = (pod.get("status") or {}).get("startTime")
    return _total({"podRef": reference, "startTime": started, "containers": shown}, shown)


_SUMMED = {"cpu": ("usageCoreNanoSeconds", "usageNanoCores"), "memory": ("usageBytes", "workingSetBytes")}


def _total(stats: Object, parts: list[Object]) -> Object:
    """Adds the sums over the parts."""
    for group, fields in _SUMMED.items():
        stats[group] = {"time": now()} | {name: sum(part[group][name] for part in parts) for name in fields}
    return stats
