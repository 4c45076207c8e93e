"""GET /stats/summary: what the node's pods use, from Docker's statistics (upstream: stats/v1alpha1 Summary).

``usageNanoCores`` is the rate since the caller before, as upstream's is since its last housekeeping.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError

from kubelet.server.host import PodHost
from machinery.errors import ApiError
from machinery.objects import Object, now


class Statistics:
    """Remembers the last processor times, for rates."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}

    def summary(self, host: PodHost) -> Object:
        """The node's Summary: running containers with processor time and memory."""
        pods, seen = [], set()
        for pod in host.pods():
            meta, containers = pod["metadata"], []
            for status in (pod.get("status") or {}).get("containerStatuses") or ():
                if "running" not in (status.get("state") or {}):
                    continue
                found = self._container(host, meta["namespace"], meta["name"], status)
                if found is not None:
                    containers.append(found)
                    seen.add(found["id"])
            reference = {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
            pods.append(_pod_stats(reference, (pod.get("status") or {}).get("startTime"), containers))
        with self._lock:
            self._last = {container: last for container, last in self._last.items() if container in seen}
        return {"node": _total({"nodeName": host.node_name}, pods), "pods": pods}

    def _container(self, host: PodHost, namespace: str, pod: str, status: Mapping[str, Any]) -> Object | None:
        try:
            container_id = host.container_id(namespace, pod, status["name"])
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


def _pod_stats(reference: Object, started: str | None, containers: list[Object]) -> Object:
    for container in containers:
        del container["id"]
    return _total({"podRef": reference, "startTime": started, "containers": containers}, containers)


_SUMMED = {"cpu": ("usageCoreNanoSeconds", "usageNanoCores"), "memory": ("usageBytes", "workingSetBytes")}


def _total(stats: Object, parts: list[Object]) -> Object:
    """Adds the sums over the parts."""
    for group, fields in _SUMMED.items():
        stats[group] = {"time": now()} | {name: sum(part[group][name] for part in parts) for name in fields}
    return stats
