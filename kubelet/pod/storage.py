"""Decide whether a pod uses more of the node's disk than it may. Pure.

Upstream: ``localStorageEviction`` in pkg/kubelet/eviction/eviction_manager.go; the messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubelet.model import podspec
from machinery.objects import Object
from machinery.pods import pod_total
from machinery.quantity import value

_RESOURCE = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """Bytes on the node's disk: of each emptyDir, and of each container's own layer with its logs, by their names."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)


def is_limited(pod: Object) -> bool:
    """Return True if the pod's use of the disk must be measured at all."""
    return any("sizeLimit" in source for source in disk_volumes(pod).values()) or any(
        _limit(spec) is not None for spec in podspec.every_container(pod)
    )


def disk_volumes(pod: Object) -> dict[str, Mapping[str, Any]]:
    """Return the emptyDirs on the node's disk by name; the size of those in memory is bounded by their mount."""
    volumes = [volume for volume in pod["spec"].get("volumes", ()) if "emptyDir" in volume]
    return {v["name"]: v["emptyDir"] or {} for v in volumes if (v["emptyDir"] or {}).get("medium") != "Memory"}


def excess(pod: Object, usage: StorageUsage) -> str:
    """Return the message of the eviction, empty if the pod keeps to its limits."""
    for name, source in disk_volumes(pod).items():
        if "sizeLimit" in source and usage.volumes.get(name, 0) > value(source["sizeLimit"]):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{source["sizeLimit"]}". '
    limit = pod_total(pod["spec"], "limits").get(_RESOURCE)
    if limit is not None and sum(usage.volumes.values()) + sum(usage.containers.values()) > limit.amount:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
    for spec in podspec.every_container(pod):
        own = _limit(spec)
        if own is not None and usage.containers.get(spec["name"], 0) > value(own):
            return f'Container {spec["name"]} exceeded its local ephemeral storage limit "{own}". '
    return ""


def _limit(spec: podspec.Spec) -> str | None:
    limit = spec.get("resources", {}).get("limits", {}).get(_RESOURCE)
    return None if limit is None else str(limit)
