"""What the node and its containers use, from the kernel's files or, where those cannot be seen, from the runtime.

/metrics/resource     processor time and memory in Prometheus' form, which ``kubectl top`` works from
/metrics/cadvisor     the same under the names that dashboards have for it
/stats/summary        the same and more as an object (upstream: stats/v1alpha1 Summary); ``usageNanoCores`` is the rate
                      since the caller before, as upstream's is since its last housekeeping
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from kubelet.model import podspec
from kubelet.model.runtime import RuntimeFailure
from kubelet.model.streaming import ContainerUsage, StreamingRuntime
from kubelet.node import cgroups, machine
from kubelet.server.host import PodHost
from machinery.errors import ApiError
from machinery.metrics import Sample, lines_of
from machinery.objects import Object, now, parse_time

_AT_ONCE = 16  # calls of the runtime


class UsageSample(NamedTuple):
    """A running container with its pod and status, and what it had used at a Unix time."""

    pod: Object
    status: Object
    usage: ContainerUsage
    at: float

    @property
    def id(self) -> str:
        return str(self.status.get("containerID", ""))


def measure(host: PodHost, runtime: StreamingRuntime, pods: Iterable[Object]) -> list[UsageSample]:
    """Measure every running container of the pods, many at a time, because the runtime may take a second for each."""
    running = [(pod, status) for pod in pods for status in _running(pod)]
    with ThreadPoolExecutor(_AT_ONCE, "stats") as pool:
        found = pool.map(lambda pair: _measure(host, runtime, *pair), running)
        return [one for one in found if one is not None]


def _measure(host: PodHost, runtime: StreamingRuntime, pod: Object, status: Object) -> UsageSample | None:
    meta = pod["metadata"]
    try:
        names = meta["namespace"], meta["name"], status["name"]
        found = cgroups.usage(host.container_pid(*names)) or runtime.usage(host.container_id(*names))
    except (ApiError, RuntimeFailure):
        return None  # The container has just ended.
    return None if found is None else UsageSample(pod, status, found, time.time())


def _running(pod: Object) -> Iterator[Object]:
    return (status for status in podspec.container_statuses(pod) if "running" in status.get("state", {}))


def resource_metrics(host: PodHost, runtime: StreamingRuntime) -> str:
    """Return the text of /metrics/resource (upstream: pkg/kubelet/metrics/collectors/resource_metrics.go)."""
    measured = measure(host, runtime, host.pods())
    node_cpu = Sample((), machine.cpu_seconds(), time.time())
    node_memory = Sample((), machine.memory_in_use(), time.time())
    containers = [(_labels(one), one) for one in measured]
    pods: dict[tuple[str, ...], list[UsageSample]] = {}
    for labels, one in containers:
        pods.setdefault(labels[1:], []).append(one)
    cpu = [Sample(labels, one.usage.nanoseconds / 1e9, one.at) for labels, one in containers]
    memory = [Sample(labels, one.usage.working_set, one.at) for labels, one in containers]
    started = [Sample(labels, _started(one.status)) for labels, one in containers]
    pod_cpu = [Sample(pod, sum(one.usage.nanoseconds for one in all_) / 1e9, all_[0].at) for pod, all_ in pods.items()]
    pod_memory = [Sample(pod, sum(one.usage.working_set for one in all_), all_[0].at) for pod, all_ in pods.items()]
    by_pod, by_container = ("namespace", "pod"), ("container", "namespace", "pod")
    seconds, size = "[STABLE] Processor time so far, in seconds.", "[STABLE] Memory in use, in bytes."
    return _exposition(
        lines_of("container_cpu_usage_seconds_total", "counter", seconds, by_container, cpu),
        lines_of("container_memory_working_set_bytes", "gauge", size, by_container, memory),
        lines_of("container_start_time_seconds", "gauge", "[STABLE] Start, since 1970.", by_container, started),
        lines_of("node_cpu_usage_seconds_total", "counter", seconds, (), [node_cpu]),
        lines_of("node_memory_working_set_bytes", "gauge", size, (), [node_memory]),
        lines_of("pod_cpu_usage_seconds_total", "counter", seconds, by_pod, pod_cpu),
        lines_of("pod_memory_working_set_bytes", "gauge", size, by_pod, pod_memory),
        lines_of("resource_scrape_error", "gauge", "[STABLE] 1 if this is incomplete.", (), [Sample((), 0)]),
    )


def _exposition(*metrics: Iterable[str]) -> str:
    return "".join(f"{line}\n" for lines in metrics for line in lines)


_CADVISOR = ("container", "id", "image", "name", "namespace", "pod")


def cadvisor_metrics(host: PodHost, runtime: StreamingRuntime) -> str:
    """Return the text of /metrics/cadvisor: those of upstream's metrics that are known here."""
    measured = [(_cadvisor_labels(one), one) for one in measure(host, runtime, host.pods())]
    cpu = [Sample((*labels, "total"), one.usage.nanoseconds / 1e9, one.at) for labels, one in measured]
    memory = [Sample(labels, one.usage.memory, one.at) for labels, one in measured]
    working_set = [Sample(labels, one.usage.working_set, one.at) for labels, one in measured]
    started = [Sample(labels, _started(one.status)) for labels, one in measured]
    cores = [Sample((), os.cpu_count() or 1)]
    seconds, size = "Processor time so far, in seconds.", "Memory in use, in bytes."
    return _exposition(
        lines_of("container_cpu_usage_seconds_total", "counter", seconds, (*_CADVISOR, "cpu"), cpu),
        lines_of("container_memory_usage_bytes", "gauge", size, _CADVISOR, memory),
        lines_of("container_memory_working_set_bytes", "gauge", size, _CADVISOR, working_set),
        lines_of("container_start_time_seconds", "gauge", "Start, since 1970.", _CADVISOR, started),
        lines_of("machine_cpu_cores", "gauge", "Processors of the machine.", (), cores),
        lines_of("machine_memory_bytes", "gauge", "Memory of the machine.", (), [Sample((), machine.memory())]),
    )


def _cadvisor_labels(one: UsageSample) -> tuple[str, ...]:
    container, namespace, pod = _labels(one)
    identity = one.id.removeprefix("docker://")
    return container, f"/docker/{identity}", str(one.status.get("image", "")), identity, namespace, pod


def _labels(one: UsageSample) -> tuple[str, str, str]:
    return one.status["name"], one.pod["metadata"]["namespace"], one.pod["metadata"]["name"]


def _started(status: Object) -> float:
    started = status["state"]["running"].get("startedAt")
    return parse_time(started).timestamp() if started else 0.0


class Statistics:
    """Remembers the last processor times, for rates."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, UsageSample] = {}

    def summary(self, host: PodHost, runtime: StreamingRuntime) -> Object:
        """Return the node's Summary."""
        pods = host.pods()
        measured = measure(host, runtime, pods)
        with self._lock:
            before, self._last = self._last, {one.id: one for one in measured}
        containers: dict[str, list[Object]] = {pod["metadata"]["uid"]: [] for pod in pods}
        for one in measured:
            containers[one.pod["metadata"]["uid"]].append(_container_stats(one, before.get(one.id)))
        stats = [_pod_stats(pod, containers[pod["metadata"]["uid"]]) for pod in pods]
        return {"node": _node_stats(host.node_name), "pods": stats}


def _container_stats(one: UsageSample, before: UsageSample | None) -> Object:
    usage, rate = one.usage, 0
    if before is not None and one.at > before.at:
        rate = max(0, int((usage.nanoseconds - before.usage.nanoseconds) / (one.at - before.at)))
    return {
        "name": one.status["name"],
        "startTime": one.status["state"]["running"].get("startedAt"),
        "cpu": {"time": now(), "usageCoreNanoSeconds": usage.nanoseconds, "usageNanoCores": rate},
        "memory": {"time": now(), "usageBytes": usage.memory, "workingSetBytes": usage.working_set},
    }


def _node_stats(name: str) -> Object:
    return {
        "nodeName": name,
        "cpu": {"time": now(), "usageCoreNanoSeconds": int(machine.cpu_seconds() * 1e9)},
        "memory": {"time": now(), "workingSetBytes": machine.memory_in_use()},
    }


_SUMMED = {"cpu": ("usageCoreNanoSeconds", "usageNanoCores"), "memory": ("usageBytes", "workingSetBytes")}


def _pod_stats(pod: Object, containers: list[Object]) -> Object:
    reference = {name: pod["metadata"][name] for name in ("name", "namespace", "uid")}
    started = pod.get("status", {}).get("startTime")
    stats: Object = {"podRef": reference, "startTime": started, "containers": containers}
    for group, fields in _SUMMED.items():
        stats[group] = {"time": now()} | {name: sum(part[group][name] for part in containers) for name in fields}
    return stats
