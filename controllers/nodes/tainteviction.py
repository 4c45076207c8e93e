"""Evict pods from nodes with NoExecute taints that they do not tolerate, or not any longer.

Upstream: pkg/controller/tainteviction.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress

from controllers.nodes.nodelifecycle import ACCOUNT, RULES
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.indexes import BY_NODE, NODE
from controllers.shared.podstatus import disruption_target, patch_status
from machinery.controller import Controller
from machinery.errors import NotFound
from machinery.objects import Object, key, object_reference
from machinery.resources import NODES, PODS
from machinery.taints import tolerated_seconds


def eviction_taints(node: Object | None) -> list[Object]:
    """Return the node's NoExecute taints."""
    taints = (node or {}).get("spec", {}).get("taints", ())
    return [taint for taint in taints if taint["effect"] == "NoExecute"]


class TaintEvictionController:
    """Reconciles the pods of tainted nodes."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.nodes = context.informer(NODES)
        self.pods = context.informer(PODS)
        self.recorder = context.recorder("taint-eviction-controller")
        # Key of a pod that is to be evicted → its uid, and since when (time.monotonic).
        self.since: dict[str, tuple[str, float]] = {}
        self.controller = Controller("tainteviction", self.reconcile)
        self.controller.requires(self.nodes, self.pods)
        self.pods.add_handler(self.pod_changed)
        self.nodes.add_handler(self.node_changed)
        self.start = self.controller.start

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue a pod that was bound, has other tolerations, or is gone."""
        if old is None or new is None or concerns(old) != concerns(new):
            pod = new if new is not None else old
            if pod is not None and (key(pod) in self.since or self.taints_on(pod)):
                self.controller.enqueue(key(pod))

    def taints_on(self, pod: Object) -> list[Object]:
        """Return the NoExecute taints of the pod's node."""
        return eviction_taints(self.nodes.get(pod["spec"].get("nodeName", "")))

    def node_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue all pods of a node whose NoExecute taints changed."""
        node = new if new is not None else old
        if node is not None and eviction_taints(old) != eviction_taints(new):
            for pod in self.pods.by_index(NODE, node["metadata"]["name"]):
                self.controller.enqueue(key(pod))

    def reconcile(self, pod_key: str) -> float | None:
        """Evict one pod, or return the seconds for which it still tolerates the taints."""
        pod = self.pods.get(pod_key)
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            self.since.pop(pod_key, None)
            return None
        uid = pod["metadata"]["uid"]
        tolerated = tolerated_seconds(pod, self.taints_on(pod))
        if tolerated == math.inf:
            if self.since.pop(pod_key, ("", 0.0))[0] == uid:
                self.record_event(pod, f"Cancelling deletion of Pod {pod_key}")
            return None
        if self.since.get(pod_key, ("", 0.0))[0] != uid:
            self.since[pod_key] = (uid, time.monotonic())
        left = self.since[pod_key][1] + tolerated - time.monotonic()
        if left > 0:
            return left
        self.evict(pod)
        del self.since[pod_key]
        return None

    def evict(self, pod: Object) -> None:
        """Delete a pod, after the reason was written to its status."""
        meta = pod["metadata"]
        self.record_event(pod, f"Marking for deletion Pod {key(pod)}")
        why = disruption_target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
        with suppress(NotFound):
            patch_status(self.client, pod, {"conditions": [why]})
            self.client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])

    def record_event(self, pod: Object, message: str) -> None:
        """Record upstream's event."""
        self.recorder.event(object_reference(pod), "Normal", "TaintManagerEviction", message)


def concerns(pod: Object) -> tuple[object, ...]:
    """Return the part of a pod on which its eviction depends."""
    return pod["metadata"]["uid"], pod["spec"].get("nodeName"), pod["spec"].get("tolerations")


TAINT_EVICTION = ControllerDescriptor(
    "taint-eviction-controller",
    TaintEvictionController,
    account=ACCOUNT,
    rules=RULES,
    watches=(WatchedKind(NODES), WatchedKind(PODS, BY_NODE)),
)
