"""Find nodes that have stopped reporting, and taint nodes by their conditions.

Upstream: pkg/controller/nodelifecycle. A node is alive while its kubelet renews the lease or reports the status. After
the grace period without either, its conditions become Unknown, its pods not ready, and a NoExecute taint starts their
eviction. If no node at all is ready, nobody is evicted: the fault is then more likely here than on every node.

No news of a node may also mean that news cannot come: etcd or the API server is away, or this process was stopped. So
a node that is silent for a while is looked for at the API server, several times before the grace period ends. Where
that fails, or could not be done for too long, its grace period begins anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.indexes import BY_NODE, NODE
from controllers.shared.podstatus import patch_status
from machinery.controller import Controller
from machinery.errors import ApiError, NotFound
from machinery.objects import Object, get_condition, is_pod_ready, now, object_reference
from machinery.policyrules import COORDINATION, WRITE_EVENTS, can
from machinery.resources import LEASES, NODES, PODS
from machinery.taints import NOT_READY, UNREACHABLE, UNSCHEDULABLE, same_taint

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
# A node that has never reported a status is given this long (upstream: node-startup-grace-period).
STARTUP_GRACE = 60.0
# How often a silent node is looked for within its grace period. With upstream's 40 s this is less often than a kubelet
# renews its lease, so that nodes in good health cost no request.
LOOKS = 3
# Seconds that are added to the pause, so that the next check is not a moment too early.
AFTER_DEADLINE = 0.05
WATCHED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
# Condition and status → the key of the taint that stands for it.
CONDITION_TAINTS = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
OURS = {*((name, "NoSchedule") for name in (*CONDITION_TAINTS.values(), UNSCHEDULABLE))} | {
    (NOT_READY, "NoExecute"),
    (UNREACHABLE, "NoExecute"),
}


def wanted_taints(node: Object, *, evict: bool, at: str) -> list[Object]:
    """Return the node's taints as its conditions ask for. Taints of others stay as they are."""
    conditions = {each["type"]: each["status"] for each in node.get("status", {}).get("conditions", ())}
    keys = [name for (type_, status), name in CONDITION_TAINTS.items() if conditions.get(type_) == status]
    if node["spec"].get("unschedulable"):
        keys.append(UNSCHEDULABLE)
    wanted = [{"key": name, "effect": "NoSchedule"} for name in keys]
    if evict:
        wanted += [{"key": name, "effect": "NoExecute"} for name in keys if name in (NOT_READY, UNREACHABLE)]
    have = node["spec"].get("taints", [])
    kept = [each for each in have if (each["key"], each["effect"]) not in OURS or _among(each, wanted)]
    return kept + [{**each, "timeAdded": at} for each in wanted if not _among(each, have)]


def _among(taint: Object, taints: Iterable[Object]) -> bool:
    return any(same_taint(taint, each) for each in taints)


def silent_conditions(node: Object, at: str) -> list[Object]:
    """Return the conditions of a node that has stopped reporting."""
    old = {each["type"]: each for each in node.get("status", {}).get("conditions", ())}
    new = dict(old)
    for type_ in WATCHED_CONDITIONS:
        if type_ not in old:
            new[type_] = {
                "type": type_,
                "status": "Unknown",
                "lastHeartbeatTime": node["metadata"]["creationTimestamp"],
                "lastTransitionTime": at,
                "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
            }
        elif old[type_]["status"] != "Unknown":
            new[type_] = {
                **old[type_],
                "status": "Unknown",
                "lastTransitionTime": at,
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
            }
    return list(new.values())


@dataclass
class NodeHealth:
    """The last sign of life of a node: the lease's and the status's times, and when we saw them by our own clock.

    ``looked`` is when it was last certain that there was no later sign.
    """

    sign: tuple[str, str]
    seen: float
    looked: float

    def take_look(self, renew_time: str | None, now: float, interval: float) -> None:
        """Take in that the lease has this time, None if it could not be read. ``interval`` is that between two looks.

        Who could not see must not conclude: a look that failed, or that is overdue, counts as a sign of life.
        """
        overdue = now - self.looked > 2 * interval
        if renew_time is None or renew_time != self.sign[0] or overdue:
            self.seen = now
        self.looked = now


class NodeLifecycleController:
    """Reconciles nodes when they or their leases change, and when a grace period ends."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.grace = context.options.node_monitor_grace_period
        self.nodes = context.informer(NODES)
        self.pods = context.informer(PODS)
        self.leases = context.informer(LEASES)
        self.recorder = context.recorder("node-controller")
        self.health: dict[str, NodeHealth] = {}
        self.lock = threading.Lock()
        self.controller = Controller("nodelifecycle", self.reconcile)
        self.controller.requires(self.pods, self.leases)
        self.controller.watch(self.nodes)
        self.nodes.add_handler(self.node_changed)
        self.leases.add_handler(self.lease_changed)
        self.start = self.controller.start

    def node_changed(self, old: Object | None, new: Object | None) -> None:
        """Record upstream's events; enqueue all nodes if one comes, goes or changes its readiness.

        The readiness of one matters to all others because of ``fully_disrupted``.
        """
        if new is None and old is not None:
            self.record_event(old, "RemovingNode", "Node {name} event: Removing Node {name} from Controller")
        elif new is not None and old is None:
            self.record_event(new, "RegisteredNode", "Node {name} event: Registered Node {name} in Controller")
        if old is None or new is None or readiness(old) != readiness(new):
            for node in self.nodes.list():
                self.controller.enqueue(node["metadata"]["name"])

    def lease_changed(self, old: Object | None, new: Object | None) -> None:
        """Note the renewal of a node's lease."""
        if new is not None and new["metadata"]["namespace"] == LEASE_NAMESPACE:
            self.note_life(new["metadata"]["name"])

    def note_life(self, name: str) -> NodeHealth:
        """Compare the node's lease and status with what we know; return what we know after that."""
        lease = self.leases.get(f"{LEASE_NAMESPACE}/{name}") or {}
        node = self.nodes.get(name) or {"status": {}}
        ready = get_condition(node, "Ready") or {}
        sign = (str(lease.get("spec", {}).get("renewTime")), str(ready.get("lastHeartbeatTime")))
        with self.lock:
            health = self.health.get(name)
            if health is None or health.sign != sign:
                moment = time.monotonic()
                health = self.health[name] = NodeHealth(sign, moment, moment)
            return health

    def look(self, name: str, health: NodeHealth, interval: float) -> None:
        """Ask the API server whether the node has renewed its lease, and first whether it could have done that.

        The API server reads from its cache, also while etcd is away and nobody can write.
        """
        renew_time: str | None = None
        try:
            self.client.raw("/livez")
            lease = self.client.get(LEASES, name, LEASE_NAMESPACE)
            renew_time = str(lease.get("spec", {}).get("renewTime"))
        except NotFound:
            renew_time = str(None)
        except ApiError as error:
            reason = ", ".join(str(error).splitlines())
            log.warning("cannot look for node %s, and so give it more time: %s", name, reason)
        with self.lock:
            health.take_look(renew_time, time.monotonic(), interval)

    def reconcile(self, name: str) -> float | None:
        """Bring the conditions, taints and pods of one node in line with its signs of life.

        Return the seconds until the next look, None if the node has been silent for its whole grace period.
        """
        node = self.nodes.get(name)
        if node is None:
            with self.lock:
                self.health.pop(name, None)
            return None
        grace = self.grace if get_condition(node, "Ready") else max(STARTUP_GRACE, self.grace)
        health, interval = self.note_life(name), grace / LOOKS
        silent = readiness(node) == "Unknown"
        if not silent and time.monotonic() >= health.looked + interval:
            self.look(name, health, interval)
        left = health.seen + grace - time.monotonic()
        if left <= 0 and not silent:
            node = self.mark_silent(node)
        if readiness(node) == "Unknown":
            self.mark_pods(name)
        self.taint(node)
        if left <= 0:
            return None
        next_look = health.looked + interval - time.monotonic()
        return (left if silent else min(left, max(next_look, 0))) + AFTER_DEADLINE

    def mark_silent(self, node: Object) -> Object:
        """Set the node's conditions to Unknown; return the node as it is then."""
        status = {**node["status"], "conditions": silent_conditions(node, now())}
        node = self.client.update(NODES, {**node, "status": status}, subresource="status")
        log.info("node %s has stopped reporting: its conditions are Unknown now", node["metadata"]["name"])
        self.record_event(node, "NodeNotReady", "Node {name} status is now: NodeNotReady")
        return node

    def mark_pods(self, name: str) -> None:
        """Set the pods of a silent node to not ready, so that they get no more traffic."""
        for pod in self.pods.by_index(NODE, name):
            if not is_pod_ready(pod):
                continue
            ready = {"type": "Ready", "status": "False", "lastTransitionTime": now()}
            try:
                patch_status(self.client, pod, {"conditions": [ready]})
            except NotFound:
                continue
            self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    def taint(self, node: Object) -> None:
        """Write the taints if they differ."""
        have = node["spec"].get("taints", [])
        wanted = wanted_taints(node, evict=not self.fully_disrupted(), at=now())
        if wanted == have:
            return
        meta = node["metadata"]
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "spec": {"taints": wanted or None}}
        try:
            self.client.patch(NODES, meta["name"], "", patch)
        except NotFound:
            return
        log.info("node %s: taints are %s", meta["name"], [f"{each['key']}:{each['effect']}" for each in wanted])

    def fully_disrupted(self) -> bool:
        """Return True if no node is ready (upstream: full disruption)."""
        return not any(readiness(node) == "True" for node in self.nodes.list())

    def record_event(self, node: Object, reason: str, message: str) -> None:
        """Record an event on a node."""
        self.recorder.event(object_reference(node), "Normal", reason, message.format(name=node["metadata"]["name"]))


def readiness(node: Object) -> str:
    """Return the status of the Ready condition; empty if the kubelet has never reported one."""
    ready = get_condition(node, "Ready")
    return str(ready["status"]) if ready else ""


# The taint eviction controller shares the account, so its rules are here, too.
ACCOUNT = "node-controller"
RULES = (
    can("delete get list patch update watch", "nodes"),
    can("patch update", "nodes/status"),
    can("patch update", "pods/status"),
    can("delete get list watch", "pods"),
    can("get", "leases", COORDINATION),
    WRITE_EVENTS,
)

NODE_LIFECYCLE = ControllerDescriptor(
    "node-lifecycle-controller",
    NodeLifecycleController,
    account=ACCOUNT,
    rules=RULES,
    watches=(WatchedKind(NODES), WatchedKind(PODS, BY_NODE), WatchedKind(LEASES)),
    aliases=("nodelifecycle",),
)
