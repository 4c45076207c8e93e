"""This machine's Node object and its lease.

The node is registered at the start, and again if somebody has deleted it. Every ten seconds its lease is renewed and
its status computed, which is written if a condition has changed and every five minutes in any case (upstream:
nodeStatusUpdateFrequency and nodeStatusReportFrequency).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet.model.runtime import ContainerRuntime, RuntimeUnavailable
from kubelet.node import machine
from machinery import objects
from machinery.client import Client
from machinery.errors import AlreadyExists, ApiError, Conflict, NotFound
from machinery.objects import Object, get_condition
from machinery.resourcelists import is_extended
from machinery.resources import LEASES, NODES

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_EVERY = 10.0
REPORT_EVERY = 300.0
FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0
MOST_IMAGES = 50


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The node's name, InternalIP, the port of the kubelet's server, and the directory of its volumes."""

    name: str
    ip: str
    port: int
    root: Path


@dataclass(frozen=True, slots=True)
class MachineHealth:
    """What the node's conditions are computed from: is the runtime well, and is there enough of each resource?"""

    runtime_problem: str = ""
    memory: bool = True
    storage: bool = True
    pids: bool = True


class NodeRegistration:
    """Keeps the node registered, in one thread. ``changed`` wakes it if a condition may have changed."""

    def __init__(
        self, client: Client, runtime: ContainerRuntime, config: NodeConfig, runtime_problem: Callable[[], str]
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._config = config
        self._runtime_problem = runtime_problem
        self._wake = threading.Event()
        self._node: Object | None = None
        self._lease: Object | None = None
        self._reported_at = 0.0

    def start(self, stop: threading.Event) -> None:
        threading.Thread(target=self._run, args=(stop,), name="node", daemon=True).start()

    def changed(self) -> None:
        self._wake.set()

    def _run(self, stop: threading.Event) -> None:
        retry = FIRST_RETRY
        while not stop.is_set():
            self._wake.clear()
            try:
                self._report()
                self._renew()
                retry, wait = FIRST_RETRY, RENEW_EVERY
            except (ApiError, RuntimeUnavailable) as error:
                log.warning("Node %s cannot report: %s", self._config.name, error)
                retry, wait = min(retry * 2, LONGEST_RETRY), retry
            self._wake.wait(wait)

    # The Node

    def _report(self) -> None:
        health = self._health()
        if self._node is None:
            self._node = self._register(health)
            self._reported_at = time.monotonic()
            return
        try:
            self._node = self._client.get(NODES, self._config.name)
        except NotFound:
            self._register_again()
            return
        status = node_status(self._node, health, self._config, self._facts(), objects.now())
        due = time.monotonic() - self._reported_at >= REPORT_EVERY
        if not due and same_status(self._node.get("status", {}), status):
            return
        body = {"metadata": {"uid": self._node["metadata"]["uid"]}, "status": status}
        try:
            self._node = self._client.patch(NODES, self._config.name, "", body, type="strategic", subresource="status")
        except NotFound:
            self._register_again()
            return
        self._reported_at = time.monotonic()

    def _register_again(self) -> None:
        log.warning("The node object %s is gone; registering again", self._config.name)
        self._node = None
        self.changed()

    def _register(self, health: MachineHealth) -> Object:
        node = node_object(self._config)
        node["status"] = node_status(node, health, self._config, self._facts(), objects.now())
        try:
            found = self._client.create(NODES, node)
            log.info("Registered node %s", self._config.name)
        except AlreadyExists:
            found = self._client.get(NODES, self._config.name)
            labels = {"metadata": {"labels": node["metadata"]["labels"]}}
            self._client.patch(NODES, self._config.name, "", labels, type="strategic")
            log.info("Node %s is registered already", self._config.name)
        status = node_status(found, health, self._config, self._facts(), objects.now())
        return self._client.patch(
            NODES, self._config.name, "", {"status": status}, type="strategic", subresource="status"
        )

    def _health(self) -> MachineHealth:
        return MachineHealth(
            runtime_problem=self._runtime_problem(),
            memory=machine.has_memory(),
            storage=machine.has_storage(self._config.root),
            pids=machine.has_pids(),
        )

    def _facts(self) -> dict[str, Any]:
        """Return the nodeInfo and images of the status; as recorded, while the runtime does not answer."""
        known = (self._node or {}).get("status") or {}
        try:
            version = self._runtime.version()["version"]
            images = sorted(self._runtime.images(), key=lambda image: (-image.size, image.id))
        except RuntimeUnavailable:
            return {
                "nodeInfo": known.get("nodeInfo") or machine.node_info(""),
                "images": known.get("images", []),
            }
        rows = [{"names": list(image.names), "sizeBytes": image.size} for image in images if image.names]
        return {"nodeInfo": machine.node_info(version), "images": rows[:MOST_IMAGES]}

    # The lease

    def _renew(self) -> None:
        if self._node is None:
            return
        if self._lease is None:
            self._lease = self._take_lease(self._node)
            return
        lease = {**self._lease, "spec": {**self._lease["spec"], "renewTime": objects.now_micro()}}
        try:
            self._lease = self._client.update(LEASES, lease)
        except (Conflict, NotFound):
            self._lease = self._take_lease(self._node)

    def _take_lease(self, node: Object) -> Object:
        name = self._config.name
        try:
            found = self._client.get(LEASES, name, LEASE_NAMESPACE)
            return self._client.update(LEASES, {**found, "spec": {**found.get("spec", {}), **lease_spec(name)}})
        except NotFound:
            return self._client.create(LEASES, lease_object(node, name))


def node_object(config: NodeConfig) -> Object:
    system, arch = "linux", machine.architecture()
    pod_cidr = machine.network_of(config.ip)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.name,
            "labels": {
                "beta.kubernetes.io/arch": arch,
                "beta.kubernetes.io/os": system,
                "kubernetes.io/arch": arch,
                "kubernetes.io/hostname": config.name,
                "kubernetes.io/os": system,
            },
        },
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]} if pod_cidr else {},
    }


def node_status(node: Object, health: MachineHealth, config: NodeConfig, facts: Object, now: str) -> Object:
    return {
        "addresses": [
            {"type": "InternalIP", "address": config.ip},
            {"type": "Hostname", "address": config.name},
        ],
        "capacity": machine.capacity(config.root),
        "allocatable": {**machine.allocatable(config.root), **extended_resources(node)},
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        **facts,
        "conditions": [
            _timed(node, condition, now)
            for condition in (
                _pressure("MemoryPressure", health.memory, "KubeletHasSufficientMemory", "sufficient memory available"),
                _pressure("DiskPressure", health.storage, "KubeletHasNoDiskPressure", "no disk pressure"),
                _pressure("PIDPressure", health.pids, "KubeletHasSufficientPID", "sufficient PID available"),
                _ready(health.runtime_problem),
            )
        ],
    }


def extended_resources(node: Object) -> dict[str, str | None]:
    """Return the extended resources that others have written into the node's capacity, with their allocatable amounts.

    The amount is None for a resource that is not in the capacity any more.
    """
    status = node.get("status", {})
    capacity, allocatable = status.get("capacity", {}), status.get("allocatable", {})
    return {name: capacity.get(name) for name in (*capacity, *allocatable) if is_extended(name)}


# Reason and message if there is not enough.
_SHORT_OF = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "insufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "insufficient PID available"),
}


def _pressure(kind: str, enough: bool, reason: str, words: str) -> dict[str, Any]:
    if enough:
        return {"type": kind, "status": "False", "reason": reason, "message": f"kubelet has {words}"}
    reason, words = _SHORT_OF[kind]
    return {"type": kind, "status": "True", "reason": reason, "message": f"kubelet has {words}"}


def _ready(problem: str) -> dict[str, Any]:
    if problem:
        message = f"container runtime is down: {problem}"
        return {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": message}
    return {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}


def _timed(node: Object, condition: dict[str, Any], now: str) -> dict[str, Any]:
    old = get_condition(node, condition["type"])
    same = old is not None and old.get("status") == condition["status"]
    since = old["lastTransitionTime"] if old and same else now
    return {**condition, "lastHeartbeatTime": now, "lastTransitionTime": since}


def same_status(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return True if two statuses differ only in their timestamps and amounts.

    The API server stores amounts in another form than that of their text here, and a machine's capacity does not change
    while it runs. The amounts of extended resources do change, and are compared.
    """
    return _essence(old) == _essence(new)


def _essence(status: dict[str, Any]) -> tuple[Any, ...]:
    conditions = [
        tuple(condition.get(part) for part in ("type", "status", "reason", "message"))
        for condition in status.get("conditions", [])
        if condition["type"] in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]
    amounts = status.get("allocatable", {})
    extended = {name: amount for name, amount in amounts.items() if is_extended(name) and amount is not None}
    return sorted(conditions), status.get("images", []), status.get("nodeInfo"), status.get("addresses"), extended


def lease_spec(name: str) -> dict[str, Any]:
    return {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": objects.now_micro()}


def lease_object(node: Object, name: str) -> Object:
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": lease_spec(name),
    }
