"""ReplicaSets: ReplicationControllers of the apps group, whose selectors may be set-based."""

from __future__ import annotations

from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.indexes import BY_NAMESPACE, BY_OWNER
from controllers.workloads.replicationcontroller import ReplicationManager
from machinery.objects import Object
from machinery.policyrules import APPS, EXTENSIONS, WRITE_EVENTS, can
from machinery.resources import PODS, REPLICA_SETS
from machinery.selectors import Selector, from_label_selector


class ReplicaSetController(ReplicationManager):
    """Reconciles ReplicaSets with the code of ReplicationControllers."""

    resource = REPLICA_SETS
    component = "replicaset-controller"

    def selector(self, rc: Object) -> Selector:
        return from_label_selector(rc["spec"].get("selector"))


REPLICA_SET = ControllerDescriptor(
    "replicaset-controller",
    ReplicaSetController,
    account="replicaset-controller",
    rules=(
        can("get list update watch", "replicasets", APPS, EXTENSIONS),
        can("update", "replicasets/status", APPS, EXTENSIONS),
        can("update", "replicasets/finalizers", APPS, EXTENSIONS),
        # Upstream's has no get: it is needed here to find a pod whose creation was not answered.
        can("create delete get list patch watch", "pods"),
        WRITE_EVENTS,
    ),
    watches=(WatchedKind(REPLICA_SETS, BY_NAMESPACE), WatchedKind(PODS, BY_OWNER)),
    aliases=("replicaset",),
)
