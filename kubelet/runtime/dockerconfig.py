"""Turn SandboxConfig and ContainerConfig into the bodies that Docker's API takes. Pure."""

from __future__ import annotations

from typing import Any

from kubelet.model import labels
from kubelet.model.runtime import ContainerConfig, Mount, SandboxConfig, SecurityConfig

# Docker's json-file driver keeps the logs; the same bounds as upstream's containerLogMaxSize and -MaxFiles.
LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}


def sandbox_config(config: SandboxConfig, cluster: str) -> dict[str, Any]:
    host: dict[str, Any] = {
        "NetworkMode": "host" if config.host_network else "default",
        "IpcMode": "host" if config.host_ipc else "shareable",
        "PidMode": "host" if config.host_pid else "",
        "UTSMode": "host" if config.host_network else "",
        "Sysctls": config.sysctls,
        "LogConfig": {"Type": "none", "Config": {}},
        "PortBindings": {},
        # As upstream's: it runs one sleeping process of ours, and a seccomp filter costs a tenth of a second to load.
        "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
        "CpuShares": 2,
        **runtime_config(config.runtime),
    }
    for port in config.ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        host["PortBindings"].setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    body: dict[str, Any] = {
        "Image": config.image,
        "Labels": {**config.labels, labels.CLUSTER: cluster},
        "ExposedPorts": {port: {} for port in host["PortBindings"]},
        "HostConfig": host,
    }
    if not config.host_network:
        body["Hostname"] = config.hostname
    return body


def container_config(config: ContainerConfig, cluster: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "Image": config.image,
        "Labels": {**config.labels, labels.CLUSTER: cluster},
        "Env": list(config.environment),
        "WorkingDir": config.working_dir,
        "User": config.security.user,
        "Tty": config.tty,
        "OpenStdin": config.stdin,
        "StdinOnce": config.stdin_once,
        "Healthcheck": {"Test": ["NONE"]},  # a pod's probes are the kubelet's
        "HostConfig": host_config(config),
    }
    if config.command is not None:
        body["Entrypoint"] = list(config.command)
    if config.args is not None:
        body["Cmd"] = list(config.args)
    return body


def host_config(config: ContainerConfig) -> dict[str, Any]:
    sandbox = f"container:{config.sandbox_id}"
    limits = config.limits
    return {
        "NetworkMode": sandbox,
        "IpcMode": "host" if config.host_ipc else sandbox,
        "PidMode": "host" if config.host_pid else sandbox if config.share_pid else "",
        "UTSMode": "host" if config.host_network else "",
        "Mounts": [mount_config(mount) for mount in config.mounts],
        "LogConfig": LOGS,
        "CpuShares": limits.cpu_shares,
        **({"CpuPeriod": 100_000, "CpuQuota": limits.cpu_quota} if limits.cpu_quota else {}),
        **({"Memory": limits.memory, "MemorySwap": limits.memory} if limits.memory else {}),
        "OomScoreAdj": limits.oom_score_adj,
        **runtime_config(config.runtime),
        **security_config(config.security),
    }


def runtime_config(handler: str) -> dict[str, str]:
    """Return the setting for a RuntimeClass's handler. ``docker`` means the engine's default, as in dockershim.

    Docker refuses a handler that it does not know.
    """
    return {"Runtime": handler} if handler not in ("", "docker") else {}


def security_config(security: SecurityConfig) -> dict[str, Any]:
    return {
        "Privileged": security.privileged,
        "CapAdd": list(security.capabilities_add),
        "CapDrop": list(security.capabilities_drop),
        "GroupAdd": list(security.groups),
        "ReadonlyRootfs": security.read_only_root,
        "SecurityOpt": list(security.options),
        **({"MaskedPaths": [], "ReadonlyPaths": []} if security.unmasked_proc else {}),
    }


def mount_config(mount: Mount) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": mount.host_path,
        "Target": mount.container_path,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": mount.propagation},
    }
