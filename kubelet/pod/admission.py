"""Decide whether this node takes a pod that is bound to it. Pure.

The scheduler has checked most of this, but a pod may be bound by hand, or two schedulers may count on the same room.
Upstream: ``pkg/kubelet/lifecycle/predicate.go`` and ``pkg/kubelet/sysctl/allowlist.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kubelet.pod.state import Failure
from machinery.nodeaffinity import matches_node_affinity
from machinery.objects import Object
from machinery.podrequests import Amounts, add, amounts_of, insufficient, ports_collide, requests_of
from machinery.quantity import value
from machinery.taints import untolerated

# Sysctls that a pod may set without harm to others, because they belong to its own namespaces (upstream v1.32).
SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
)
_IPC_SYSCTLS = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")


def rejection(
    pod: Object, node: Object, active: Sequence[Object], unsafe_sysctls: Sequence[str] = ()
) -> Failure | None:
    """Return why the node does not take the pod, None if it does.

    ``active`` are the pods that the node has taken already and that have not ended; ``unsafe_sysctls`` are names, or
    prefixes that end in ``*``, which the node's owner allows beside the safe ones.
    """
    checks = (
        _sysctls(pod, unsafe_sysctls),
        _resources(pod, node, active),
        _placement(pod, node, active),
    )
    return next((Failure(*problem, rejected=True) for check in checks for problem in check), None)


def _sysctls(pod: Object, unsafe: Sequence[str]) -> Iterator[tuple[str, str]]:
    spec = pod["spec"]
    for entry in spec.get("securityContext", {}).get("sysctls", ()):
        # Both forms are written: net.ipv4.tcp_syncookies and net/ipv4/tcp_syncookies.
        name = str(entry["name"])
        dotted = name.replace("/", ".") if "/" in name.partition(".")[0] else name
        if dotted not in SAFE_SYSCTLS and not any(_covers(pattern, dotted) for pattern in unsafe):
            yield "SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted'
        elif dotted.startswith("net.") and spec.get("hostNetwork"):
            yield "SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host net enabled'
        elif dotted.startswith(_IPC_SYSCTLS) and spec.get("hostIPC"):
            yield "SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host ipc enabled'


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _resources(pod: Object, node: Object, active: Sequence[Object]) -> Iterator[tuple[str, str]]:
    allocatable = node.get("status", {}).get("allocatable", {})
    room = value(allocatable.get("pods", 0))
    if len(active) + 1 > room:
        yield _out_of("pods", 1, len(active), room)
    wanted = requests_of(pod).amounts
    used: Amounts = {}
    for other in active:
        used = add(used, requests_of(other).amounts)
    capacity = amounts_of({name: allocatable.get(name, "0") for name in wanted})
    for name in insufficient(wanted, used, capacity):
        yield _out_of(name, wanted[name], used.get(name, 0), capacity[name])


def _out_of(name: str, requested: int, used: int, capacity: int) -> tuple[str, str]:
    amounts = f"requested: {requested}, used: {used}, capacity: {capacity}"
    return f"OutOf{name}", f"Node didn't have enough resource: {name}, {amounts}"


def _placement(pod: Object, node: Object, active: Iterable[Object]) -> Iterator[tuple[str, str]]:
    if not matches_node_affinity(pod, node):
        yield _failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    taken = [port for other in active for port in requests_of(other).ports]
    if any(ports_collide(port, used) for port in requests_of(pod).ports for used in taken):
        yield _failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    # The scheduler alone cares for NoSchedule taints: they do not concern a pod that is bound already.
    if untolerated(pod, node.get("spec", {}).get("taints", ()), ("NoExecute",)):
        yield _failed("TaintToleration", "node(s) had untolerated taint(s)")


def _failed(predicate: str, words: str) -> tuple[str, str]:
    return predicate, f"Predicate {predicate} failed: {words}"
