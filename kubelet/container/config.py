"""Turn a pod's spec into what the runtime is to create: SandboxConfig and ContainerConfig. Pure.

Mounts are made elsewhere, because they name places on the disk; everything else is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubelet.container.env import expand
from kubelet.container.limits import limits
from kubelet.container.security import security
from kubelet.model import labels, names, podspec
from kubelet.model.names import ClusterDns
from kubelet.model.runtime import ContainerConfig, Mount, PortBinding, RuntimeImage, SandboxConfig
from machinery.objects import Object


def sandbox_config(pod: Object, attempt: int, image: str, dns: ClusterDns, runtime: str = "") -> SandboxConfig:
    spec = pod["spec"]
    of_pod = spec.get("securityContext", {})
    host_network = podspec.is_host_network(pod)
    return SandboxConfig(
        name=labels.container_name(pod, labels.SANDBOX_NAME, attempt),
        image=image,
        hostname=names.kernel_hostname(pod, dns),
        labels=labels.of_sandbox(pod, attempt, runtime),
        ports=() if host_network else port_bindings(pod),
        sysctls={entry["name"]: entry["value"] for entry in of_pod.get("sysctls", ())},
        host_network=host_network,
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_pid=bool(spec.get("shareProcessNamespace")),
        runtime=runtime,
    )


def port_bindings(pod: Object) -> tuple[PortBinding, ...]:
    return tuple(
        PortBinding(
            int(port["containerPort"]),
            int(port["hostPort"]),
            (port.get("protocol") or "TCP").lower(),
            port.get("hostIP") or "",
        )
        for spec in podspec.every_container(pod)
        for port in spec.get("ports", ())
        if port.get("hostPort")
    )


@dataclass(frozen=True, slots=True)
class ContainerInputs:
    """What else a container's configuration depends on, beside its spec."""

    sandbox_id: str
    attempt: int
    image: RuntimeImage
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    node_memory: int
    runtime: str = ""


def container_config(pod: Object, spec: podspec.Spec, inputs: ContainerInputs) -> ContainerConfig:
    pod_spec, variables = pod["spec"], inputs.environment
    return ContainerConfig(
        name=labels.container_name(pod, spec["name"], inputs.attempt),
        image=spec["image"],
        sandbox_id=inputs.sandbox_id,
        labels=labels.of_container(pod, spec["name"], inputs.attempt, inputs.sandbox_id),
        command=_expanded(spec.get("command"), variables),
        args=_expanded(spec.get("args"), variables),
        environment=tuple(f"{name}={value}" for name, value in variables.items()),
        working_dir=spec.get("workingDir") or "",
        mounts=inputs.mounts,
        security=security(pod, spec, inputs.image),
        limits=limits(pod, spec, inputs.node_memory),
        tty=bool(spec.get("tty")),
        stdin=bool(spec.get("stdin")),
        stdin_once=bool(spec.get("stdinOnce")),
        host_network=podspec.is_host_network(pod),
        host_pid=bool(pod_spec.get("hostPID")),
        host_ipc=bool(pod_spec.get("hostIPC")),
        share_pid=bool(pod_spec.get("shareProcessNamespace")),
        runtime=inputs.runtime,
    )


def _expanded(words: list[str] | None, variables: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the words with their variables, None for an absent or empty list: then the image decides."""
    return tuple(expand(word, variables) for word in words) if words else None
