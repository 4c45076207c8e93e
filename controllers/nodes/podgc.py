"""Remove pods that no kubelet will ever remove (upstream: pkg/controller/podgc).

- pods of a node that does not exist, after a while, because a node may be created again under its name
- pods that were never bound and are being deleted
- the oldest of the pods that have ended, if there are too many
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.indexes import BY_NODE, NODE
from controllers.shared.podstatus import disruption_target, patch_status
from machinery.controller import Controller
from machinery.errors import NotFound
from machinery.objects import Object, is_pod_terminal, key
from machinery.policyrules import READ, can
from machinery.resources import NODES, PODS

log = logging.getLogger(__name__)

# The index of the pods that have ended; all are under the value "".
TERMINATED = "terminated"
# Keys of the queue: one of the first two with a node's name or a pod's key, or the third for all that have ended.
NODE_KEY, POD_KEY, TERMINATED_KEY = "node/", "pod/", "terminated"


def surplus(terminated: Iterable[Object], threshold: int) -> list[Object]:
    """Return the oldest ended pods, so many that the threshold is kept; none if the threshold is 0."""
    oldest_first = sorted(terminated, key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), key(pod)))
    return oldest_first[: max(len(oldest_first) - threshold, 0)] if threshold > 0 else []


def by_terminated(pod: Object) -> Iterable[str]:
    return ("",) if is_pod_terminal(pod) else ()


class PodGarbageCollector:
    """Reconciles nodes, pods, and the number of ended pods."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        # Seconds for a node to come back.
        self.quarantine = context.options.orphaned_pod_quarantine
        self.threshold = context.options.terminated_pod_gc_threshold
        self.pods = context.informer(PODS)
        self.nodes = context.informer(NODES)
        self.controller = Controller("podgc", self.reconcile)
        self.controller.requires(self.nodes, self.pods)
        self.pods.add_handler(self.pod_changed)
        self.nodes.add_handler(self.node_changed)
        self.start = self.controller.start

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue what the change may have made necessary."""
        if new is None:
            return
        node = new["spec"].get("nodeName")
        if not node and new["metadata"].get("deletionTimestamp"):
            self.controller.enqueue(POD_KEY + key(new))
        if node and (old is None or old["spec"].get("nodeName") != node) and self.nodes.get(node) is None:
            self.controller.enqueue_after(NODE_KEY + node, self.quarantine)
        if is_pod_terminal(new) and (old is None or not is_pod_terminal(old)):
            self.controller.enqueue(TERMINATED_KEY)

    def node_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue a node that was deleted, for the end of the quarantine."""
        if new is None and old is not None:
            self.controller.enqueue_after(NODE_KEY + old["metadata"]["name"], self.quarantine)

    def reconcile(self, item: str) -> None:
        """Remove the pods of a node, one pod, or ended pods, as the item says."""
        if item.startswith(NODE_KEY):
            self.collect_orphans(item.removeprefix(NODE_KEY))
        elif item.startswith(POD_KEY):
            self.collect_unbound(item.removeprefix(POD_KEY))
        else:
            for pod in surplus(self.pods.by_index(TERMINATED, ""), self.threshold):
                self.remove(pod, "too many pods have ended")

    def collect_orphans(self, node: str) -> None:
        """Remove the pods of a node if the API server does not have it either."""
        pods = self.pods.by_index(NODE, node)
        if pods and self.nodes.get(node) is None and self.client.find(NODES, node) is None:
            for pod in pods:
                self.fail(pod)
                self.remove(pod, f"its node {node} does not exist")

    def collect_unbound(self, pod_key: str) -> None:
        """Remove a pod that is being deleted and was never bound."""
        pod = self.pods.get(pod_key)
        if pod is not None and pod["metadata"].get("deletionTimestamp") and not pod["spec"].get("nodeName"):
            self.remove(pod, "it was never bound")

    def fail(self, pod: Object) -> None:
        """Set the phase to Failed, because the pod has ended with its node, unless it has ended before."""
        if is_pod_terminal(pod):
            return
        why = disruption_target("DeletionByPodGC", "PodGC: node no longer exists")
        with suppress(NotFound):
            patch_status(self.client, pod, {"phase": "Failed", "conditions": [why]})

    def remove(self, pod: Object, why: str) -> None:
        """Delete a pod without a grace period, and log why."""
        meta = pod["metadata"]
        log.info("removing pod %s: %s", key(pod), why)
        with suppress(NotFound):
            self.client.delete(PODS, meta["name"], meta["namespace"], grace_period=0, uid=meta["uid"])


POD_GARBAGE_COLLECTOR = ControllerDescriptor(
    "pod-garbage-collector-controller",
    PodGarbageCollector,
    account="pod-garbage-collector",
    rules=(can("delete list watch", "pods"), can(READ, "nodes"), can("patch", "pods/status")),
    watches=(WatchedKind(PODS, {**BY_NODE, TERMINATED: by_terminated}), WatchedKind(NODES)),
    aliases=("podgc",),
)
