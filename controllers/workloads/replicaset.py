"""ReplicaSet: a ReplicationController of the apps group, whose selector may be set-based."""

from __future__ import annotations

from controllers.shared.context import Context
from controllers.workloads.replicationcontroller import ReplicationManager
from machinery.informer import Informer
from machinery.objects import Object
from machinery.resources import REPLICA_SETS
from machinery.selectors import Selector, from_label_selector


class ReplicaSetController(ReplicationManager):
    """Runs the same reconciler on replicasets."""

    resource = REPLICA_SETS
    component = "replicaset-controller"

    def informer(self, context: Context) -> Informer:
        return context.replica_sets

    def selector(self, rc: Object) -> Selector:
        return from_label_selector(rc["spec"].get("selector"))
