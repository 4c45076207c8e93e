"""ReplicationController: as many running pods as ``spec.replicas`` asks for (upstream: pkg/controller/replicaset).

ReplicaSets are the same with another kind of selector: see ``replicaset.py``.

One reconcile: claim the pods that match the selector, create or delete the difference in parallel, write the
status. It neither creates nor deletes while a creation or deletion of an earlier round has not come back
through the watch: a stale cache must never give a pod too many.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from controllers.shared.context import Context
from controllers.shared.descriptor import ControllerDescriptor, Watch
from controllers.shared.indexes import BY_NAMESPACE, BY_OWNER, NAMESPACE, ORPHANS, OWNER
from controllers.shared.ownership import claim
from controllers.shared.writecache import WriteCache
from controllers.workloads.podcontrol import PodControl
from controllers.workloads.podranking import pods_to_delete
from machinery.controller import Controller
from machinery.errors import ApiError, Conflict, NotFound
from machinery.objects import (
    Object,
    controller_of,
    get_condition,
    is_pod_active,
    is_pod_ready,
    key,
    labels_of,
    make_key,
    now,
    parse_time,
)
from machinery.policyrules import WRITE_EVENTS, can
from machinery.resources import PODS, REPLICATION_CONTROLLERS
from machinery.selectors import NOTHING, Selector, from_map

# Upstream's BurstReplicas: no more pods than this are created or deleted in one round.
BURST = 500


@dataclass(frozen=True)
class Plan:
    """What one round does: so many new pods, or these deleted."""

    create: int = 0
    delete: tuple[Object, ...] = ()


def plan(rc: Object, pods: list[Object]) -> Plan:
    """The difference between the wanted and the claimed active pods."""
    surplus = len(pods) - wanted_replicas(rc)
    if surplus < 0:
        return Plan(create=min(-surplus, BURST))
    if surplus > 0:
        return Plan(delete=tuple(pods_to_delete(pods, min(surplus, BURST))))
    return Plan()


def wanted_replicas(rc: Object) -> int:
    """``spec.replicas``, 1 when it is not set."""
    replicas = rc["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def new_status(rc: Object, pods: list[Object], error: Exception | None, at: datetime) -> dict[str, Any]:
    """The status that these claimed active pods and the outcome of this round amount to."""
    template = from_map(rc["spec"]["template"].get("metadata", {}).get("labels", {}))
    ready = [pod for pod in pods if is_pod_ready(pod)]
    counts = {
        "replicas": len(pods),
        "fullyLabeledReplicas": sum(template.matches(labels_of(pod)) for pod in pods),
        "readyReplicas": len(ready),
        "availableReplicas": sum(available_in(pod, min_ready_seconds(rc), at) == 0 for pod in ready),
    }
    status = {name: count for name, count in counts.items() if count or name == "replicas"}
    status["observedGeneration"] = rc["metadata"].get("generation", 0)
    conditions = failure_conditions(rc, len(pods), error)
    return {**status, "conditions": conditions} if conditions else status


def failure_conditions(rc: Object, have: int, error: Exception | None) -> list[Object]:
    """``status.conditions`` with ReplicaFailure set by the first error of a failing streak and removed by success."""
    others = [old for old in rc.get("status", {}).get("conditions", ()) if old["type"] != "ReplicaFailure"]
    if error is None:
        return others
    failing = get_condition(rc, "ReplicaFailure")
    return [*others, failing or {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": now(),
        "reason": "FailedCreate" if have < wanted_replicas(rc) else "FailedDelete",
        "message": str(error),
    }]  # fmt: skip


def min_ready_seconds(rc: Object) -> int:
    """How long a pod must have been ready to count as available."""
    return int(rc["spec"].get("minReadySeconds") or 0)


def available_in(pod: Object, min_ready: int, at: datetime) -> float:
    """Seconds until a ready pod counts as available."""
    ready = get_condition(pod, "Ready")
    if not min_ready or not ready or not ready.get("lastTransitionTime"):
        return 0
    remaining = parse_time(ready["lastTransitionTime"]) + timedelta(seconds=min_ready) - at
    return max(remaining.total_seconds(), 0)


class ReplicationManager:
    """Runs the reconciler: watches replicationcontrollers and pods, enqueues the ones concerned."""

    resource = REPLICATION_CONTROLLERS
    component = "replication-controller"  # whose events they are

    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.rcs = context.informer(self.resource)
        self.latest = WriteCache(self.rcs)
        self.pods = context.informer(PODS)
        self.control = PodControl(context.client, context.recorder(self.component))
        self.controller = Controller(self.resource.kind.lower(), self.reconcile, workers=2)
        self.controller.watch(self.rcs)
        self.controller.requires(self.pods)
        self.pods.add_handler(self.pod_changed)
        self.start = self.controller.start

    def selector(self, rc: Object) -> Selector:
        """Which pods it is about; an empty selector, which validation refuses, selects nothing here."""
        return from_map(rc["spec"].get("selector")) if rc["spec"].get("selector") else NOTHING

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Tells expectations what happened and enqueues the managers, old and new; all that match, for an orphan."""
        for manager in {self.manager_of(old), self.manager_of(new)} - {""}:
            self.control.observed(manager, old, new)
            self.controller.enqueue(manager)
        if new is not None and controller_of(new) is None:
            self.enqueue_matching(new)

    def manager_of(self, pod: Object | None) -> str:
        """The key of the ReplicationController that manages this pod; empty if none does."""
        reference = controller_of(pod) if pod is not None else None
        if pod is None or reference is None or reference["kind"] != self.resource.kind:
            return ""
        rc_key = make_key(pod["metadata"]["namespace"], reference["name"])
        rc = self.rcs.get(rc_key)
        return rc_key if rc is not None and rc["metadata"]["uid"] == reference["uid"] else ""

    def enqueue_matching(self, pod: Object) -> None:
        """Asks every controller whose selector matches this orphan whether it will have it."""
        namespace = pod["metadata"]["namespace"]
        for rc in self.rcs.by_index(NAMESPACE, namespace):
            if self.selector(rc).matches(pod["metadata"].get("labels")):
                self.controller.enqueue(key(rc))

    def reconcile(self, rc_key: str) -> float | None:
        """Brings one ReplicationController's pods and status to what its spec says."""
        rc = self.latest.get(rc_key)
        if rc is None:
            self.control.forget(rc_key)
            return None
        settled = self.control.settle(rc_key)
        pods = self.claim(rc)
        error: ApiError | None = None
        if settled and not rc["metadata"].get("deletionTimestamp"):
            error = self.act(rc, plan(rc, pods))
        at = datetime.now(UTC)
        self.write_status(rc, new_status(rc, pods, error, at))
        if error is not None:
            raise error
        waits = [available_in(pod, min_ready_seconds(rc), at) for pod in pods if is_pod_ready(pod)]
        return min((wait for wait in waits if wait > 0), default=None)

    def act(self, rc: Object, todo: Plan) -> ApiError | None:
        """Carries out a plan; an error is returned, for the status wants to tell of it."""
        try:
            if todo.create:
                self.control.create(rc, rc["spec"]["template"], todo.create)
            elif todo.delete:
                self.control.delete(rc, todo.delete)
        except ApiError as error:
            return error
        return None

    def claim(self, rc: Object) -> list[Object]:
        """The active pods of this controller, after adopting and releasing."""
        namespace = rc["metadata"]["namespace"]
        candidates = self.pods.by_index(OWNER, rc["metadata"]["uid"]) + self.pods.by_index(OWNER, ORPHANS + namespace)
        claims = claim(rc, self.selector(rc), filter(is_pod_active, candidates))
        for pod in claims.release:
            self.control.release(rc, pod)
        if claims.adopt and self.may_adopt(rc):
            claims.owned += [pod for pod in claims.adopt if self.control.adopt(rc, pod)]
        return claims.owned

    def may_adopt(self, rc: Object) -> bool:
        """Adoption is decided on the live object: the cached one may be deleted, or replaced under its name."""
        live = self.client.get(self.resource, rc["metadata"]["name"], rc["metadata"]["namespace"])
        return live["metadata"]["uid"] == rc["metadata"]["uid"] and not live["metadata"].get("deletionTimestamp")

    def write_status(self, rc: Object, status: dict[str, Any]) -> None:
        """Writes the status if it differs; once again on a fresh object when the cached one is outdated."""
        if status == rc.get("status", {}):
            return
        try:
            self.update_status({**rc, "status": status})
        except NotFound:
            self.latest.forget(key(rc))
        except Conflict:
            self.latest.forget(key(rc))
            live = self.client.get(self.resource, rc["metadata"]["name"], rc["metadata"]["namespace"])
            if live["metadata"]["uid"] == rc["metadata"]["uid"]:
                self.update_status({**live, "status": status})

    def update_status(self, rc: Object) -> None:
        """One PUT of the status."""
        self.latest.wrote(self.client.update(self.resource, rc, subresource="status"))


REPLICATION_CONTROLLER = ControllerDescriptor(
    "replicationcontroller-controller",
    ReplicationManager,
    account="replication-controller",
    rules=(
        can("get list update watch", "replicationcontrollers"),
        can("update", "replicationcontrollers/status"),
        can("update", "replicationcontrollers/finalizers"),
        # Upstream's has no get: it is needed here to find a pod whose creation was not answered.
        can("create delete get list patch watch", "pods"),
        WRITE_EVENTS,
    ),
    watches=(
        Watch(REPLICATION_CONTROLLERS, BY_NAMESPACE),
        Watch(PODS, BY_OWNER),
    ),
    aliases=("replicationcontroller",),
)
