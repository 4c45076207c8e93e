"""Questions about a pod's spec that several parts of the kubelet ask. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from machinery import pods
from machinery.objects import Container, Object

Spec = dict[str, Any]  # one entry of spec.containers or spec.initContainers


def containers(pod: Object) -> list[Spec]:
    return list(pod["spec"]["containers"])


def init_containers(pod: Object) -> list[Spec]:
    return list(pod["spec"].get("initContainers", ()))


def every_container(pod: Object) -> Iterator[Spec]:
    yield from init_containers(pod)
    yield from containers(pod)


def container(pod: Object, name: str) -> Spec | None:
    return next((spec for spec in every_container(pod) if spec["name"] == name), None)


def container_statuses(pod: Object) -> Iterator[Object]:
    """Yield the recorded statuses of the pod's containers of all sorts."""
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        yield from pod.get("status", {}).get(field, ())


def container_status(pod: Object, name: str) -> Object:
    """Return the recorded status of one container, empty if there is none."""
    return next((row for row in container_statuses(pod) if row["name"] == name), {})


def sidecars(pod: Object) -> list[str]:
    """Return the names of the pod's sidecars, in the order in which they start."""
    return [spec["name"] for spec in init_containers(pod) if is_sidecar(spec)]


def is_sidecar(spec: Spec) -> bool:
    return pods.is_sidecar(cast(Container, spec))


def restart_policy(pod: Object) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def restarts(pod: Object, spec: Spec, exit_code: int, *, init: bool = False) -> bool:
    """Return True if a container that ended with this exit code is to be started again."""
    if init and is_sidecar(spec):
        return True
    policy = restart_policy(pod)
    if init:
        return exit_code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def is_deleting(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_host_network(pod: Object) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def title(pod: Object) -> str:
    """Return ``name_namespace(uid)``, as upstream's messages name a pod."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def path(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def grace_period(pod: Object) -> int:
    """Return the seconds between SIGTERM and SIGKILL, at least one (upstream: calculateEffectiveGracePeriod)."""
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = pod["spec"].get("terminationGracePeriodSeconds")
    return max(int(30 if seconds is None else seconds), 1)
