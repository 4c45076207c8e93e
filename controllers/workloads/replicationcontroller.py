"""Keep as many pods running as ``spec.replicas`` of a ReplicationController says.

Upstream: pkg/controller/replicaset. ReplicaSets share this code, with another kind of selector: see ``replicaset.py``.

Read from top to bottom: ``plan`` and ``new_status`` decide, without I/O; ``ReplicationManager`` is told of changes and
acts. One call of ``reconcile`` claims the pods that match the selector, creates or deletes the difference, and writes
the status.

The informer's cache may be behind our own writes. If a controller counted pods in it right after it created one, it
would create another. So nothing is created or deleted until the watch has shown every creation and deletion of
earlier calls (``PodControl.settle``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
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

# Upstream's BurstReplicas: one call of reconcile creates or deletes no more pods than this.
BURST = 500


@dataclass(frozen=True)
class ReplicaPlan:
    """What one call of reconcile does: create so many pods, or delete these."""

    create: int = 0
    delete: tuple[Object, ...] = ()


def plan(rc: Object, pods: list[Object]) -> ReplicaPlan:
    """Return the difference between the wanted pods and ``pods``, the active ones that the controller has."""
    surplus = len(pods) - wanted_replicas(rc)
    if surplus < 0:
        return ReplicaPlan(create=min(-surplus, BURST))
    if surplus > 0:
        return ReplicaPlan(delete=tuple(pods_to_delete(pods, min(surplus, BURST))))
    return ReplicaPlan()


def wanted_replicas(rc: Object) -> int:
    """Return ``spec.replicas``; 1 if it is not set."""
    replicas = rc["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def new_status(rc: Object, pods: list[Object], error: Exception | None, at: datetime) -> dict[str, Any]:
    """Return the status that follows from the active pods and from the error of this call, if there was one."""
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
    """Return ``status.conditions`` with ReplicaFailure if there is an error, without it if there is none.

    ``have`` is the number of pods before the call. While calls go on failing, the first error's condition stays.
    """
    others = [old for old in rc.get("status", {}).get("conditions", ()) if old["type"] != "ReplicaFailure"]
    if error is None:
        return others
    new = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": now(),
        "reason": "FailedCreate" if have < wanted_replicas(rc) else "FailedDelete",
        "message": str(error),
    }
    return [*others, get_condition(rc, "ReplicaFailure") or new]


def min_ready_seconds(rc: Object) -> int:
    """Return how many seconds a pod must have been ready to count as available."""
    return int(rc["spec"].get("minReadySeconds") or 0)


def available_in(pod: Object, min_ready: int, at: datetime) -> float:
    """Return the seconds until a ready pod counts as available; 0 if it does already."""
    ready = get_condition(pod, "Ready")
    if not min_ready or not ready or not ready.get("lastTransitionTime"):
        return 0
    remaining = parse_time(ready["lastTransitionTime"]) + timedelta(seconds=min_ready) - at
    return max(remaining.total_seconds(), 0)


class ReplicationManager:
    """Reconciles ReplicationControllers when they or their pods change."""

    resource = REPLICATION_CONTROLLERS
    component = "replication-controller"  # the source of its events

    def __init__(self, context: ControllerContext) -> None:
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
        """Return the selector of its pods. An empty one, which validation refuses, selects nothing here."""
        return from_map(rc["spec"].get("selector")) if rc["spec"].get("selector") else NOTHING

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Note the change for the expectations, and enqueue the old and the new controller of the pod.

        For an orphan, enqueue every controller that could adopt it.
        """
        for manager in {self.manager_of(old), self.manager_of(new)} - {""}:
            self.control.observed(manager, old, new)
            self.controller.enqueue(manager)
        if new is not None and controller_of(new) is None:
            self.enqueue_matching(new)

    def manager_of(self, pod: Object | None) -> str:
        """Return the key of the ReplicationController that manages the pod, or "" if none does.

        The uid is compared, because a controller may have been deleted and created again under its name.
        """
        reference = controller_of(pod) if pod is not None else None
        if pod is None or reference is None or reference["kind"] != self.resource.kind:
            return ""
        rc_key = make_key(pod["metadata"]["namespace"], reference["name"])
        rc = self.rcs.get(rc_key)
        return rc_key if rc is not None and rc["metadata"]["uid"] == reference["uid"] else ""

    def enqueue_matching(self, pod: Object) -> None:
        """Enqueue every controller whose selector matches this orphan."""
        namespace = pod["metadata"]["namespace"]
        for rc in self.rcs.by_index(NAMESPACE, namespace):
            if self.selector(rc).matches(pod["metadata"].get("labels")):
                self.controller.enqueue(key(rc))

    def reconcile(self, rc_key: str) -> float | None:
        """Bring one ReplicationController's pods and status to what its spec says.

        Return the seconds until the next of its pods becomes available, None if none is about to. No event tells of it.
        """
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

    def act(self, rc: Object, todo: ReplicaPlan) -> ApiError | None:
        """Carry out the plan. An error is returned instead of raised, because the status reports it first."""
        try:
            if todo.create:
                self.control.create(rc, rc["spec"]["template"], todo.create)
            elif todo.delete:
                self.control.delete(rc, todo.delete)
        except ApiError as error:
            return error
        return None

    def claim(self, rc: Object) -> list[Object]:
        """Adopt and release pods, and return the active ones that the controller then has."""
        namespace = rc["metadata"]["namespace"]
        candidates = self.pods.by_index(OWNER, rc["metadata"]["uid"]) + self.pods.by_index(OWNER, ORPHANS + namespace)
        claims = claim(rc, self.selector(rc), filter(is_pod_active, candidates))
        for pod in claims.release:
            self.control.release(rc, pod)
        if claims.adopt and self.may_adopt(rc):
            claims.owned += [pod for pod in claims.adopt if self.control.adopt(rc, pod)]
        return claims.owned

    def may_adopt(self, rc: Object) -> bool:
        """Return True if the live object is not being deleted.

        The cached one may be outdated: it may be deleted by now, or replaced under its name.
        """
        live = self.client.get(self.resource, rc["metadata"]["name"], rc["metadata"]["namespace"])
        return live["metadata"]["uid"] == rc["metadata"]["uid"] and not live["metadata"].get("deletionTimestamp")

    def write_status(self, rc: Object, status: dict[str, Any]) -> None:
        """Write the status if it differs. After a conflict, try once more on the live object."""
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
    watches=(WatchedKind(REPLICATION_CONTROLLERS, BY_NAMESPACE), WatchedKind(PODS, BY_OWNER)),
    aliases=("replicationcontroller",),
)
