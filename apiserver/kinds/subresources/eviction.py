"""``pods/eviction``: a deletion that a PodDisruptionBudget may refuse.

Upstream: pkg/registry/core/pod/storage/eviction.go.

A budget guards pods that are running and ready. Before such a pod is deleted, the eviction takes one from the
``disruptionsAllowed`` of its budget and notes the pod in ``disruptedPods``, so that the disruption controller counts it
as lost; the write is compared and swapped, so that two evictions never spend the same disruption.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from apiserver.kinds.poddisruptionbudgets import POD_DISRUPTION_BUDGETS
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.subresources import body
from apiserver.model.actions import Actions, success
from apiserver.model.kind import Subresource
from machinery.budgets import set_disruption_allowed
from machinery.errors import MODIFIED, ApiError, BadRequest, Conflict, Forbidden, TooManyRequests
from machinery.objects import Object, is_pod_ready, is_pod_terminal, labels_of, now, set_condition
from machinery.selectors import from_label_selector

# Evictions that the disruption controller has not confirmed yet, at most.
MAX_DISRUPTED_PODS = 2000
# Other writers of the pod that one eviction outwaits.
ATTEMPTS = 20
SECONDS_TO_PROCESS = 10
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


def evict(actions: Actions, pod: Object, eviction: Object) -> Object:
    """Delete the pod with the DeleteOptions of the Eviction; raise TooManyRequests if its budget does not allow it."""
    metadata = pod["metadata"]
    if eviction.get("metadata", {}).get("name", metadata["name"]) != metadata["name"]:
        raise BadRequest("name in URL does not match name in Eviction object")
    options: Object = eviction.get("deleteOptions", {})
    for _ in range(ATTEMPTS):
        try:
            return _evict_once(actions, pod, options)
        except _ChangedError:
            # Whether the budget must allow it depended on the pod's state: decide again on the pod as it is now.
            pod = actions.get(PODS, metadata["namespace"], metadata["name"])
    raise Conflict(f'Operation cannot be fulfilled on pods "{metadata["name"]}": {MODIFIED}')


class _ChangedError(Exception):
    """The pod is not as it was when it was found that its budget need not be asked."""


def _evict_once(actions: Actions, pod: Object, options: Object) -> Object:
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    dry_run = actions.dry_run or bool(options.get("dryRun"))
    # A pod that is let go because of its state must still be in that state when it goes.
    enforced = not is_guarded(pod) and not is_pod_terminal(pod)
    if is_guarded(pod):
        budgets = budgets_of(pod, actions.list(POD_DISRUPTION_BUDGETS, namespace))
        if len(budgets) > 1:
            raise ApiError(SEVERAL, code=500)
        for budget in budgets:
            if may_go_unready(pod, budget):
                enforced = True
            else:
                spend(actions, budget, name, dry_run=dry_run)
    asked: Object = options.get("preconditions", {})
    preconditions = dict(asked)
    if enforced:
        preconditions.setdefault("resourceVersion", pod["metadata"]["resourceVersion"])
    if not dry_run and _met(asked, pod):
        marked = _mark_as_target(actions, pod, enforced="resourceVersion" in preconditions)
        if "resourceVersion" in preconditions:
            preconditions["resourceVersion"] = marked["metadata"]["resourceVersion"]
    try:
        actions.delete(PODS, namespace, name, {**options, "preconditions": preconditions} if preconditions else options)
    except Conflict as error:
        if enforced and _met(asked, pod) and "resourceVersion" not in asked:
            raise _ChangedError from error
        raise
    return success()


def _met(preconditions: Object, pod: Object) -> bool:
    return all(pod["metadata"].get(field) == value for field, value in preconditions.items())


def _mark_as_target(actions: Actions, pod: Object, *, enforced: bool) -> Object:
    """Set the condition that tells the pod's controller why the pod goes; return the pod as it was written."""

    def mark(live: Object) -> None:
        if enforced and live["metadata"]["resourceVersion"] != pod["metadata"]["resourceVersion"]:
            raise _ChangedError
        set_condition(live, "DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting")

    return actions.update(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"], mark)


def is_guarded(pod: Object) -> bool:
    """Return False for a pod whose loss disrupts nothing: it has not begun, has ended or is being deleted."""
    phase = pod.get("status", {}).get("phase")
    return phase not in ("Pending", "Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")


def budgets_of(pod: Object, budgets: Sequence[Object]) -> list[Object]:
    """Return the budgets that select the pod; a pod without labels has none."""
    labels = labels_of(pod)
    return [each for each in budgets if labels and from_label_selector(each["spec"].get("selector")).matches(labels)]


def may_go_unready(pod: Object, budget: Object) -> bool:
    """Return True if the pod is not ready, and its budget guards no such pods, or not while enough others are ready."""
    if is_pod_ready(pod):
        return False
    if budget.get("spec", {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status", {})
    desired = status.get("desiredHealthy", 0)
    return bool(desired > 0 and status.get("currentHealthy", 0) >= desired)


def spend(actions: Actions, budget: Object, pod_name: str, *, dry_run: bool) -> None:
    """Take one disruption from the budget as it is now; again from the start when another writer was faster."""

    def take(live: Object) -> None:
        charge(live, pod_name, now())

    if dry_run:
        take(copy.deepcopy(budget))
    else:
        actions.update(POD_DISRUPTION_BUDGETS, budget["metadata"]["namespace"], budget["metadata"]["name"], take)


def charge(budget: Object, pod_name: str, time: str) -> None:
    """Take one disruption from the budget in place, for a pod; raise upstream's error if there is none."""
    meta, status = budget["metadata"], budget.setdefault("status", {})
    name, allowed = meta["name"], status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        raise refusal(f"The disruption budget {name} is still being processed by the server.", SECONDS_TO_PROCESS)
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods", {})) > MAX_DISRUPTED_PODS:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise _forbidden(name, why)
    if allowed == 0:
        desired, current = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise refusal(f"The disruption budget {name} needs {desired} healthy pods and has {current} currently")
    status["disruptionsAllowed"] = allowed - 1
    set_disruption_allowed(budget)
    status["disruptedPods"] = {**status.get("disruptedPods", {}), pod_name: time}


def refusal(cause: str, retry_after: int = 0) -> TooManyRequests:
    return TooManyRequests(
        REFUSED, retry_after=retry_after, details={"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    )


def _forbidden(name: str, why: str) -> Forbidden:
    resource = "poddisruptionbudget.policy"
    return Forbidden(
        f'{resource} "{name}" is forbidden: {why}',
        details={"name": name, "group": "policy", "kind": "poddisruptionbudget"},
    )


EVICTION = Subresource(
    "eviction",
    ("create",),
    *body("policy", "Eviction"),
    also_taken=("v1beta1",),  # kubectl before v1.22 sends it
    act=evict,
)
