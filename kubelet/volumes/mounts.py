"""The mounts of one container: its volumes, /etc/hosts, /etc/resolv.conf and the file for its termination message."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kubelet.container.env import ConfigError, expand
from kubelet.model import names, podspec
from kubelet.model.names import ClusterDns
from kubelet.model.runtime import Mount
from kubelet.volumes.manager import VolumeManager
from kubelet.volumes.mounting import VolumeError
from machinery.objects import Object

PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
DEFAULT_MESSAGE_PATH = "/dev/termination-log"
LONGEST_MESSAGE = 4096
HOST_RESOLV_CONF = Path("/etc/resolv.conf")
# systemd-resolved's stub listens on the host's loopback only; this file names the servers behind it.
RESOLVED_CONF = Path("/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True, slots=True)
class Mounts:
    """What containers mount. It writes those files that do not belong to a volume."""

    volumes: VolumeManager
    dns: ClusterDns

    def write_names(self, pod: Object, address: str) -> None:
        """Write hosts and resolv.conf of a pod, once its address is known."""
        folder = self.volumes.pod_folder(podspec.uid(pod))
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        host_hosts = Path("/etc/hosts").read_text() if podspec.is_host_network(pod) else ""
        (folder / "etc-hosts").write_text(names.hosts_file(pod, address, self.dns, host_hosts))
        (folder / "resolv.conf").write_text(names.resolv_conf(pod, self.dns, host_resolv_conf()))

    def has_names(self, pod: Object) -> bool:
        return (self.volumes.pod_folder(podspec.uid(pod)) / "resolv.conf").exists()

    def of(self, pod: Object, spec: podspec.Spec, attempt: int, variables: dict[str, str]) -> tuple[Mount, ...]:
        """Raise ConfigError when a volume cannot be mounted as asked."""
        mounts = [self._volume(pod, spec, index, variables) for index in range(len(spec.get("volumeMounts", ())))]
        taken = {mount.container_path for mount in mounts}
        folder = self.volumes.pod_folder(podspec.uid(pod))
        extra = [
            Mount(str(folder / "etc-hosts"), "/etc/hosts"),
            Mount(str(folder / "resolv.conf"), "/etc/resolv.conf"),
            Mount(str(self._message_file(pod, spec, attempt, make=True)), message_path(spec)),
        ]
        return tuple(mounts + [mount for mount in extra if mount.container_path not in taken])

    def termination_message(self, pod: Object, spec: podspec.Spec, attempt: int) -> str:
        """Return what a container wrote to its termination message file, "" if there is no file."""
        file = self._message_file(pod, spec, attempt)
        try:
            # The container writes there, but what it put in the file's place must not be followed, nor block.
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(LONGEST_MESSAGE).decode(errors="replace")

    def _message_file(self, pod: Object, spec: podspec.Spec, attempt: int, *, make: bool = False) -> Path:
        file: Path = self.volumes.pod_folder(podspec.uid(pod)) / "containers" / spec["name"] / str(attempt)
        if make:
            file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            file.unlink(missing_ok=True)  # a container that was not started may have left it
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
            os.fchmod(descriptor, 0o666)  # the container's user may be anybody
            os.close(descriptor)
        return file

    def _volume(self, pod: Object, spec: podspec.Spec, index: int, variables: dict[str, str]) -> Mount:
        mount = spec["volumeMounts"][index]
        if mount.get("recursiveReadOnly") == "Enabled":
            # Docker has no way to ask for it that works on every engine; IfPossible means read-only without it.
            message = "requested recursive read-only mode, but it is not supported by the runtime"
            raise ConfigError(f'volume "{mount["name"]}" {message}')
        sub_path = mount.get("subPath") or expand(mount.get("subPathExpr") or "", variables)
        try:
            if sub_path:
                _check_sub_path(sub_path)
                source = self.volumes.sub_path(pod, mount["name"], sub_path, spec["name"], index)
            else:
                source = self.volumes.host_path(pod, mount["name"])
        except (VolumeError, OSError, ValueError) as error:  # ValueError: a NUL from subPathExpr's variables
            raise ConfigError(f'failed to prepare subPath for volumeMount "{mount["name"]}": {error}') from error
        return Mount(
            host_path=str(source),
            container_path=os.path.normpath(os.path.join("/", mount["mountPath"])),  # noqa: PTH118
            read_only=bool(mount.get("readOnly")) or self.volumes.is_read_only(pod, mount["name"]),
            propagation=PROPAGATION.get(mount.get("mountPropagation") or "", "rprivate"),
        )


def _check_sub_path(sub_path: str) -> None:
    if sub_path.startswith("/"):
        raise VolumeError(f"error SubPath `{sub_path}` must not be an absolute path")
    if ".." in sub_path.split("/"):
        raise VolumeError(f"must not contain '..': {sub_path}")


def message_path(spec: podspec.Spec) -> str:
    return str(spec.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH)


def host_resolv_conf() -> str:
    source = RESOLVED_CONF if RESOLVED_CONF.exists() else HOST_RESOLV_CONF
    return source.read_text() if source.exists() else ""
