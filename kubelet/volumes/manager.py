"""Set up, refresh and remove the volumes of pods. Everything can be repeated: what is there already stays.

The same call serves a new pod, a pod whose config map has changed and a kubelet that has just been restarted.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubelet.container.fieldref import DownwardApi
from kubelet.volumes import atomic, hostpath, mounting, payload, subpath
from kubelet.volumes.mounting import VolumeError
from kubelet.volumes.payload import Inputs
from kubelet.volumes.tokens import TokenCache
from machinery import quantity
from machinery.errors import ApiError, ServiceUnavailable, Timeout, quote
from machinery.objects import Object
from machinery.pods import every_container, pod_total

log = logging.getLogger(__name__)

Volume = Mapping[str, Any]

# Upstream's directory names, below pods/<uid>/volumes.
PLUGINS = {
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
    "emptyDir": "kubernetes.io~empty-dir",
}
IN_MEMORY = ("secret", "downwardAPI", "projected")  # never written to a disk
WRITTEN_BY_KUBELET = ("configMap", *IN_MEMORY)


class VolumeManager:
    """The volumes of all pods, below ``root``. Several threads may call, for different pods."""

    def __init__(self, root: Path, tokens: TokenCache) -> None:
        self.root = root.resolve()  # as it stands in the kernel's table of mounts
        self.tokens = tokens

    def pod_folder(self, uid: str) -> Path:
        return self.root / "pods" / uid

    def known_pods(self) -> list[str]:
        folder = self.root / "pods"
        return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []

    def set_up(self, inputs: Inputs) -> float | None:
        """Set up all volumes of a pod. Return the Unix time at which a token in them must be renewed. Raises
        VolumeError.
        """
        pod = inputs.downward.pod
        folder = self.pod_folder(pod["metadata"]["uid"])
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        for volume in pod["spec"].get("volumes", []):
            try:
                self._set_up(inputs, volume)
            except (VolumeError, ApiError, OSError) as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
        return self.tokens.renew_at(pod["metadata"]["uid"])

    def clean_up(self, uid: str) -> None:
        """Unmount and remove all that belongs to a pod. What cannot be unmounted is not touched."""
        folder = self.pod_folder(uid)
        for point in mounting.mounts_below(folder):
            mounting.unmount(point)
        if folder.exists():
            shutil.rmtree(folder)
        self.tokens.forget(uid)

    def host_path(self, pod: Object, name: str) -> Path:
        volume = self._volume(pod, name)
        if "hostPath" in volume:
            return Path(volume["hostPath"]["path"])
        return self._folder(pod, volume)

    def is_read_only(self, pod: Object, name: str) -> bool:
        """Return True if containers may never write to the volume, because the kubelet goes on writing there."""
        return _kind(self._volume(pod, name)) in WRITTEN_BY_KUBELET

    def sub_path(self, pod: Object, name: str, sub_path: str, container: str, index: int) -> Path:
        """Return the part of a volume that the ``index``-th mount of a container asks for."""
        target = self.pod_folder(pod["metadata"]["uid"]) / "volume-subpaths" / name / container / str(index)
        subpath.bind(self.host_path(pod, name), sub_path, target)
        return target

    def _volume(self, pod: Object, name: str) -> Volume:
        for volume in pod["spec"].get("volumes", []):
            if volume["name"] == name:
                found: Volume = volume
                return found
        raise VolumeError(f'volume "{name}" is not among the volumes of the pod')

    def _folder(self, pod: Object, volume: Volume) -> Path:
        plugin = PLUGINS[_kind(volume)]
        return self.pod_folder(pod["metadata"]["uid"]) / "volumes" / plugin / str(volume["name"])

    def _set_up(self, inputs: Inputs, volume: Volume) -> None:
        kind = _kind(volume)
        if kind == "hostPath":
            hostpath.prepare(Path(volume["hostPath"]["path"]), volume["hostPath"].get("type") or "")
            return
        folder = self._folder(inputs.downward.pod, volume)
        group = payload.fs_group(inputs.downward.pod)
        if kind == "emptyDir":
            _empty_dir(folder, volume["emptyDir"] or {}, group, memory_limit(inputs.downward))
            return
        self._project(inputs, volume, folder, group, in_memory=kind in IN_MEMORY)

    def _project(self, inputs: Inputs, volume: Volume, folder: Path, group: int | None, *, in_memory: bool) -> None:
        try:
            files = payload.payload(inputs, volume)
        except (ServiceUnavailable, Timeout):
            if atomic.is_written(folder):  # a running pod keeps what it has until the API server is back
                log.info("Volume %s keeps its contents: the API server does not answer", volume["name"])
                return
            raise
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if in_memory:
            mounting.tmpfs(folder, mode=0o755)
        folder.chmod(0o755)
        if group is not None:
            os.chown(folder, -1, group)
            folder.chmod(0o2755)
        atomic.write(folder, files, group)


def _kind(volume: Volume) -> str:
    kinds = [kind for kind in volume if kind != "name"]
    kind = kinds[0] if kinds else "emptyDir"
    if kind in PLUGINS or kind == "hostPath":
        return kind
    supported = ", ".join(sorted([*PLUGINS, "hostPath"]))
    raise VolumeError(f"{kind} volumes are not supported by this kubelet, which has {supported}")


def memory_limit(downward: DownwardApi) -> int:
    """Return how many bytes of memory the pod may use: the sum of its limits if all containers have one.

    Else the node's allocatable memory bounds it (upstream: ``calculateEmptyDirMemorySize``).
    """
    spec = downward.pod["spec"]
    node = quantity.value(downward.allocatable["memory"])
    limits = [container.get("resources", {}).get("limits", {}) for container in every_container(spec)]
    if not all("memory" in limit for limit in limits):
        return node
    return min(int(pod_total(spec, "limits")["memory"].amount), node)


def _empty_dir(folder: Path, source: Mapping[str, Any], group: int | None, memory: int) -> None:
    if folder.exists() and (source.get("medium") != "Memory" or folder.is_mount()):
        return  # a restarted kubelet: the contents and their owners are the pod's
    folder.mkdir(parents=True, exist_ok=True)
    if source.get("medium") == "Memory":
        limit = quantity.value(source.get("sizeLimit") or 0)
        mounting.tmpfs(folder, mode=0o777, size=min(limit, memory) if limit else memory)
    elif source.get("medium"):
        raise VolumeError(f"unknown storage medium {quote(source['medium'])}")
    folder.chmod(0o777)
    if group is not None:
        os.chown(folder, -1, group)
        folder.chmod(0o2777)
