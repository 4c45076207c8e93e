"""PodDisruptionBudgets: how many of the pods that one selects may be evicted now (upstream: pkg/controller/disruption).

The status is computed from the pods that the selector matches. A percentage, and maxUnavailable, are relative to the
number of pods that their owners want: the replicas of ReplicationControllers and ReplicaSets, and of other owners by
their scale subresource. The API server spends what ``status.disruptionsAllowed`` says, one for each eviction, and notes
the evicted pods in ``disruptedPods``: for two minutes, or until the watch shows them as deleted, they count as lost.

If the number of wanted pods cannot be found, no eviction is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.discovery import resource_of
from controllers.shared.indexes import BY_NAMESPACE, NAMESPACE
from machinery.budgets import DISRUPTION_ALLOWED, SYNC_FAILED, set_disruption_allowed
from machinery.controller import Controller
from machinery.errors import ApiError, NotFound
from machinery.objects import (
    Object,
    OwnerReference,
    controller_of,
    get_condition,
    is_pod_ready,
    key,
    labels_of,
    parse_time,
    set_condition,
)
from machinery.policyrules import APPS, EXTENSIONS, POLICY, READ, WRITE_EVENTS, can
from machinery.resources import POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from machinery.selectors import Selector, from_label_selector

# How long an evicted pod that is still there counts as lost.
DELETION_TIMEOUT = timedelta(minutes=2)
UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the "
    "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these "
    'pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


class NoScaleError(ApiError):
    """The number of pods that an owner wants cannot be found."""


@dataclass(frozen=True)
class Disrupted:
    """The recorded evictions by what became of the pods, and when to look again."""

    waiting: dict[str, str]  # pods that still count as lost: name → time of the eviction
    overdue: tuple[Object, ...] = ()  # pods that should have been gone long ago
    recheck: float | None = None  # seconds


def scaled(value: int | str, total: int) -> int:
    """Return a number, or a percentage of the total, rounded up."""
    return value if isinstance(value, int) else math.ceil(total * int(value.removesuffix("%")) / 100)


def needs_scale(spec: Object) -> bool:
    """Return True if the budget is relative to the number of pods that the owners want."""
    return "maxUnavailable" in spec or isinstance(spec.get("minAvailable"), str)


def expected_and_desired(spec: Object, pods: int, wanted: int) -> tuple[int, int]:
    """Return how many pods there should be, and how many of them must be healthy.

    ``pods`` are there, ``wanted`` are the owners' replicas, which are only of interest if ``needs_scale``.
    """
    if "maxUnavailable" in spec:
        return wanted, max(wanted - scaled(spec["maxUnavailable"], wanted), 0)
    least = spec.get("minAvailable", 0)
    expected = wanted if isinstance(least, str) else pods
    return expected, scaled(least, expected)


def disrupted(recorded: dict[str, str], pods: Iterable[Object], at: datetime) -> Disrupted:
    """Sort the recorded evictions by what became of the pods; those that are gone or being deleted are forgotten."""
    waiting: dict[str, str] = {}
    overdue: list[Object] = []
    ends: list[float] = []
    for pod in pods:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp") or name not in recorded:
            continue
        left = (parse_time(recorded[name]) + DELETION_TIMEOUT - at).total_seconds()
        if left < 0:
            overdue.append(pod)
        else:
            waiting[name] = recorded[name]
            ends.append(left)
    return Disrupted(waiting, tuple(overdue), min(ends, default=None))


def healthy(pods: Iterable[Object], waiting: dict[str, str]) -> int:
    """Count the ready pods that are neither being deleted nor evicted."""
    return sum(
        is_pod_ready(pod) and not pod["metadata"].get("deletionTimestamp") and pod["metadata"]["name"] not in waiting
        for pod in pods
    )


def new_status(budget: Object, current: int, desired: int, expected: int, waiting: dict[str, str]) -> Object:
    """Return the status that the counts amount to. Where no pods are expected, none may be disrupted."""
    allowed = max(current - desired, 0) if expected > 0 else 0
    status: Object = {
        **{name: value for name, value in budget.get("status", {}).items() if name != "disruptedPods"},
        "currentHealthy": current,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": budget["metadata"].get("generation", 0),
    }
    if waiting:
        status["disruptedPods"] = waiting
    changed = {**budget, "status": {**status, "conditions": [*status.get("conditions", ())]}}
    set_disruption_allowed(changed)
    made: Object = changed["status"]
    return made


def failed_status(budget: Object, error: Exception) -> Object:
    """Return the status that allows no disruption, with the reason."""
    status = budget.get("status", {})
    changed = {**budget, "status": {**status, "disruptionsAllowed": 0, "conditions": [*status.get("conditions", ())]}}
    observed = status.get("observedGeneration", 0)
    set_condition(changed, DISRUPTION_ALLOWED, "False", SYNC_FAILED, str(error), observedGeneration=observed)
    made: Object = changed["status"]
    return made


class DisruptionController:
    """Reconciles the status of PodDisruptionBudgets when they or their pods change."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.budgets = context.informer(POD_DISRUPTION_BUDGETS)
        self.pods = context.informer(PODS)
        self.owners = {
            ("", REPLICATION_CONTROLLERS.kind): context.informer(REPLICATION_CONTROLLERS),
            ("apps", REPLICA_SETS.kind): context.informer(REPLICA_SETS),
            ("extensions", REPLICA_SETS.kind): context.informer(REPLICA_SETS),
        }
        self.recorder = context.recorder("controllermanager")
        self.controller = Controller("disruption", self.reconcile)
        self.controller.watch(self.budgets)
        self.controller.requires(self.pods, *self.owners.values())
        self.pods.add_handler(self.pod_changed)
        self.start = self.controller.start

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue the budgets that select the pod, by its old labels or its new ones."""
        for pod in (old, new):
            if pod is None:
                continue
            for budget in self.budgets.by_index(NAMESPACE, pod["metadata"]["namespace"]):
                if selector_of(budget).matches(labels_of(pod)):
                    self.controller.enqueue(key(budget))

    def reconcile(self, budget_key: str) -> float | None:
        """Write one budget's status; return the seconds until an eviction that did not happen is given up."""
        budget = self.budgets.get(budget_key)
        if budget is None:
            return None
        namespace, selector = budget["metadata"]["namespace"], selector_of(budget)
        pods = [pod for pod in self.pods.by_index(NAMESPACE, namespace) if selector.matches(labels_of(pod))]
        if not pods:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        try:
            wanted = self.wanted(budget, pods) if needs_scale(budget["spec"]) else 0
        except ApiError as error:
            why = f"Failed to calculate the number of expected pods: {error}"
            self.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", why)
            self.write(budget, failed_status(budget, error))
            raise
        expected, desired = expected_and_desired(budget["spec"], len(pods), wanted)
        found = disrupted(budget.get("status", {}).get("disruptedPods", {}), pods, datetime.now(UTC))
        for pod in found.overdue:
            why = f"Pod was expected by PDB {budget_key} to be deleted but it wasn't"
            self.recorder.event(pod, "Warning", "NotDeleted", why)
        self.write(budget, new_status(budget, healthy(pods, found.waiting), desired, expected, found.waiting))
        return found.recheck

    def write(self, budget: Object, status: Object) -> None:
        """Write a status that differs. A conflict with an eviction is raised, so that its charge is not lost."""
        if not differs(status, budget):
            return
        with suppress(NotFound):
            self.client.update(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status")

    def wanted(self, budget: Object, pods: Iterable[Object]) -> int:
        """Return the sum of the replicas that the pods' owners want, each owner once."""
        replicas: dict[str, int] = {}
        unmanaged = False
        for pod in pods:
            owner = controller_of(pod)
            if owner is None:
                unmanaged = True
            elif owner["uid"] not in replicas:
                found = self.replicas_of(owner, pod["metadata"]["namespace"])
                if found is None:
                    raise NoScaleError(f'found no controllers for pod "{pod["metadata"]["name"]}"')
                replicas[owner["uid"]] = found
        if unmanaged:
            self.recorder.event(budget, "Warning", "UnmanagedPods", UNMANAGED.format(selector=selector_of(budget)))
        return sum(replicas.values())

    def replicas_of(self, owner: OwnerReference, namespace: str) -> int | None:
        """Return how many pods an owner wants; None if there is no such owner."""
        group = owner["apiVersion"].rpartition("/")[0]
        if informer := self.owners.get((group, owner["kind"])):
            obj = informer.get(f"{namespace}/{owner['name']}")
            if obj is None or obj["metadata"]["uid"] != owner["uid"]:
                return None
            return int(obj["spec"].get("replicas", 1))
        return self.replicas_by_scale(owner, namespace)

    def replicas_by_scale(self, owner: OwnerReference, namespace: str) -> int | None:
        """Ask the scale subresource of an owner of another kind. Raises NoScaleError if the kind has none."""
        found = resource_of(self.client, owner["apiVersion"], owner["kind"])
        if found is None:
            raise NoScaleError(f'no matches for kind "{owner["kind"]}" in version "{owner["apiVersion"]}"')
        resource, subresources = found
        if "scale" not in subresources:
            raise NoScaleError(f"{resource.name} does not implement the scale subresource")
        scale = self.client.find(resource, owner["name"], namespace, subresource="scale")
        if scale is None or scale["metadata"].get("uid") != owner["uid"]:
            return None
        return int(scale["spec"].get("replicas", 0))


def selector_of(budget: Object) -> Selector:
    """Return which pods a budget is about: none without a selector, all with an empty one."""
    return from_label_selector(budget["spec"].get("selector"))


def differs(status: Object, budget: Object) -> bool:
    """Return True if a status says something else than the budget's, the time of its condition aside."""
    old = budget.get("status", {})
    counts = {**status, "conditions": ()} != {**old, "conditions": ()}
    now, before = get_condition({"status": status}, DISRUPTION_ALLOWED), get_condition(budget, DISRUPTION_ALLOWED)
    return counts or _essence(now) != _essence(before)


def _essence(condition: Object | None) -> Object:
    return {name: value for name, value in (condition or {}).items() if name != "lastTransitionTime"}


DISRUPTION = ControllerDescriptor(
    "disruption-controller",
    DisruptionController,
    account="disruption-controller",
    rules=(
        can(READ, "deployments", APPS, EXTENSIONS),
        can(READ, "replicasets", APPS, EXTENSIONS),
        can(READ, "replicationcontrollers"),
        can(READ, "poddisruptionbudgets", POLICY),
        can(READ, "statefulsets", APPS),
        can("update", "poddisruptionbudgets/status", POLICY),
        can("get", "*/scale", "*"),
        WRITE_EVENTS,
    ),
    watches=(
        WatchedKind(POD_DISRUPTION_BUDGETS, BY_NAMESPACE),
        WatchedKind(PODS, BY_NAMESPACE),
        WatchedKind(REPLICATION_CONTROLLERS),
        WatchedKind(REPLICA_SETS),
    ),
    aliases=("disruption",),
)
