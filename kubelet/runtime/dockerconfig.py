"""Plans → the configurations that Docker's API takes. Pure."""

from __future__ import annotations

from typing import Any

from kubelet.model import labels
from kubelet.model.runtime import ContainerConfig, Mount, SandboxConfig, SecurityConfig

# Docker's json-file driver keeps the logs; the same bounds as upstream's containerLogMaxSize and -MaxFiles.
LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}


def sandbox_config(plan: SandboxConfig, cluster: str) -> dict[str, Any]:
    host: dict[str, Any] = {
        "NetworkMode": "host" if plan.host_network else "default",
        "IpcMode": "host" if plan.host_ipc else "shareable",
        "PidMode": "host" if plan.host_pid else "",
        "UTSMode": "host" if plan.host_network else "",
        "Sysctls": plan.sysctls,
        "LogConfig": {"Type": "none", "Config": {}},
        "PortBindings": {},
        # As upstream's: it runs one sleeping process of ours, and a seccomp filter costs a tenth of a second to load.
        "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
        "CpuShares": 2,
        **runtime_config(plan.runtime),
    }
    for port in plan.ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        host["PortBindings"].setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    config: dict[str, Any] = {
        "Image": plan.image,
        "Labels": {**plan.labels, labels.CLUSTER: cluster},
        "ExposedPorts": {port: {} for port in host["PortBindings"]},
        "HostConfig": host,
    }
    if not plan.host_network:
        config["Hostname"] = plan.hostname
    return config


def container_config(plan: ContainerConfig, cluster: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Image": plan.image,
        "Labels": {**plan.labels, labels.CLUSTER: cluster},
        "Env": list(plan.environment),
        "WorkingDir": plan.working_dir,
        "User": plan.security.user,
        "Tty": plan.tty,
        "OpenStdin": plan.stdin,
        "StdinOnce": plan.stdin_once,
        "Healthcheck": {"Test": ["NONE"]},  # a pod's probes are the kubelet's
        "HostConfig": host_config(plan),
    }
    if plan.command is not None:
        config["Entrypoint"] = list(plan.command)
    if plan.args is not None:
        config["Cmd"] = list(plan.args)
    return config


def host_config(plan: ContainerConfig) -> dict[str, Any]:
    sandbox = f"container:{plan.sandbox_id}"
    limits = plan.limits
    return {
        "NetworkMode": sandbox,
        "IpcMode": "host" if plan.host_ipc else sandbox,
        "PidMode": "host" if plan.host_pid else sandbox if plan.share_pid else "",
        "UTSMode": "host" if plan.host_network else "",
        "Mounts": [mount_config(mount) for mount in plan.mounts],
        "LogConfig": LOGS,
        "CpuShares": limits.cpu_shares,
        **({"CpuPeriod": 100_000, "CpuQuota": limits.cpu_quota} if limits.cpu_quota else {}),
        **({"Memory": limits.memory, "MemorySwap": limits.memory} if limits.memory else {}),
        "OomScoreAdj": limits.oom_score_adj,
        **runtime_config(plan.runtime),
        **security_config(plan.security),
    }


def runtime_config(handler: str) -> dict[str, str]:
    """Docker refuses a runtime that it does not know; by its own name it is meant itself, as dockershim had it."""
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
