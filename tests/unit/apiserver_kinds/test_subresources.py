"""Views and actions below an object: scale, binding, finalize, eviction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from apiserver.kinds.pods.row import PODS
from apiserver.kinds.subresources import scale
from apiserver.kinds.subresources.binding import assign, bind
from apiserver.kinds.subresources.eviction import evict
from apiserver.kinds.subresources.finalize import finalize
from apiserver.model.kind import Kind
from apiserver.model.user import User
from machinery.errors import ApiError, Conflict, Invalid, TooManyRequests

Object = dict[str, Any]


class World:
    """Remembers what an action did."""

    kind = PODS
    dry_run = False
    user = User("u")

    def __init__(self, obj: Object, *budgets: Object) -> None:
        self.object, self.deleted, self.budgets = obj, None, budgets

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return self.object

    def list(self, kind: Kind, namespace: str) -> Sequence[Object]:
        return self.budgets

    def update(self, kind: Kind, namespace: str, name: str, change: Callable[[Object], Any]) -> Object:
        changed = self.object if kind is PODS else self.budgets[0]
        change(changed)
        return changed

    def delete(self, kind: Kind, namespace: str, name: str, options: Object) -> Object:
        self.deleted = options  # type: ignore[assignment]
        return self.object


def pod(**fields: Any) -> Object:
    metadata = {"name": "web", "namespace": "t", "uid": "u1", "resourceVersion": "7"}
    return {"metadata": {**metadata, **fields.pop("metadata", {})}, "spec": {}, "status": {}, **fields}


def binding(**metadata: Any) -> Object:
    return {"metadata": {"name": "web", **metadata}, "target": {"kind": "Node", "name": "node-1"}}


def test_a_binding_puts_a_pod_on_a_node() -> None:
    world = World(pod())
    assert bind(world, pod(), binding(annotations={"a": "b"}))["status"] == "Success"
    assert world.object["spec"]["nodeName"] == "node-1"
    assert world.object["metadata"]["annotations"] == {"a": "b"}
    [condition] = world.object["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")


@pytest.mark.parametrize(
    "there, why",
    [
        (pod(spec={"nodeName": "node-2"}), 'pod web is already assigned to node "node-2"'),
        (pod(metadata={"deletionTimestamp": "x"}), "pod web is being deleted, cannot be assigned to a host"),
        (pod(spec={"schedulingGates": [{"name": "a"}]}), "pod web has non-empty .spec.schedulingGates"),
    ],
)
def test_a_pod_is_bound_once(there: Object, why: str) -> None:
    with pytest.raises(Conflict) as error:
        assign(there, binding())
    assert error.value.message == f'Operation cannot be fulfilled on pods/binding "web": {why}'


def test_a_binding_may_mean_one_pod_only() -> None:
    with pytest.raises(Conflict, match="UID in precondition: other"):
        assign(pod(), binding(uid="other"))


def test_a_binding_must_name_a_node() -> None:
    with pytest.raises(Invalid) as error:
        bind(World(pod()), pod(), {"metadata": {}, "target": {"kind": "Pod"}})
    assert error.value.message == (
        'Binding "web" is invalid: [target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>", '
        "target.name: Required value]"
    )


def test_a_scale_shows_and_takes_replicas() -> None:
    controller = {
        "apiVersion": "v1",
        "metadata": {"name": "sise", "namespace": "t", "uid": "u", "resourceVersion": "3", "labels": {"a": "b"}},
        "spec": {"replicas": 2, "selector": {"b": "c", "a": "b"}},
        "status": {"replicas": 1},
    }
    shown = scale.show(controller)
    assert shown["spec"] == {"replicas": 2}
    assert shown["status"] == {"replicas": 1, "selector": "a=b,b=c"}
    assert shown["metadata"] == {"name": "sise", "namespace": "t", "uid": "u", "resourceVersion": "3"}
    scale.resize(controller, {"spec": {"replicas": 5}})
    assert controller["spec"]["replicas"] == 5  # type: ignore[index]
    scale.resize(controller, {"spec": {}})
    assert controller["spec"]["replicas"] == 0, "an absent number is zero, as upstream has it"  # type: ignore[index]
    with pytest.raises(ApiError) as error:
        scale.resize(controller, {"spec": {"replicas": -1}})
    assert error.value.message == (
        'Scale.autoscaling "sise" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )


def test_a_scale_tells_a_set_based_selector() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["web", "api"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"app": "sise"}, "matchExpressions": expressions}
    shown = scale.show({"apiVersion": "apps/v1", "metadata": {}, "spec": {"selector": selector}})
    assert shown["status"]["selector"] == "app=sise,!old,tier in (api,web)"


def test_finalize_changes_finalizers_alone() -> None:
    namespace = {"metadata": {"name": "t"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}}
    finalize(namespace, {"metadata": {"labels": {"a": "b"}}, "spec": {"finalizers": ["example.com/x"]}, "status": {}})
    assert namespace["spec"] == {"finalizers": ["example.com/x"]}
    finalize(namespace, {"spec": {}})
    assert namespace == {"metadata": {"name": "t"}, "spec": {}, "status": {"phase": "Terminating"}}
    with pytest.raises(Invalid):
        finalize(namespace, {"spec": {"finalizers": ["mine"]}})


def test_an_eviction_deletes() -> None:
    world = World(pod())
    evict(world, pod(), {"metadata": {"name": "web"}, "deleteOptions": {"gracePeriodSeconds": 3}})
    assert world.deleted == {"gracePeriodSeconds": 3}
    with pytest.raises(ApiError, match="does not match"):
        evict(world, pod(), {"metadata": {"name": "other"}})


READY = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
LABELS = {"labels": {"app": "web"}}


def budget(allowed: int = 1, *, spec: Object | None = None, generation: int = 1, **status: Any) -> Object:
    counts = {"currentHealthy": 3, "desiredHealthy": 2, "disruptionsAllowed": allowed, "observedGeneration": 1}
    return {
        "metadata": {"name": "pdb", "namespace": "t", "generation": generation},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **(spec or {})},
        "status": {**counts, **status},
    }


def evicted(target: Object, *budgets: Object, **options: Any) -> World:
    world = World(target, *budgets)
    evict(world, target, {"metadata": {}, "deleteOptions": options})
    return world


def test_an_eviction_spends_a_disruption() -> None:
    web = pod(metadata=LABELS, status=dict(READY))
    pdb = budget(1)
    world = evicted(web, pdb)
    assert world.deleted == {}
    assert pdb["status"]["disruptionsAllowed"] == 0
    assert list(pdb["status"]["disruptedPods"]) == ["web"]
    [condition] = pdb["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed", "False", "InsufficientPods",
    )  # fmt: skip
    target = next(each for each in web["status"]["conditions"] if each["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "EvictionByEvictionAPI")


@pytest.mark.parametrize(
    "pdb, cause, retry",
    [
        (budget(0, currentHealthy=2), "The disruption budget pdb needs 2 healthy pods and has 2 currently", None),
        (budget(1, generation=2), "The disruption budget pdb is still being processed by the server.", 10),
    ],
)
def test_a_budget_refuses(pdb: Object, cause: str, retry: int | None) -> None:
    world = World(pod(metadata=LABELS, status=dict(READY)), pdb)
    with pytest.raises(TooManyRequests) as error:
        evict(world, world.object, {"metadata": {}})
    assert error.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert error.value.details is not None
    assert error.value.details["causes"] == [{"reason": "DisruptionBudget", "message": cause}]
    assert error.value.details.get("retryAfterSeconds") == retry
    assert world.deleted is None


def test_two_budgets_on_one_pod_are_an_error() -> None:
    with pytest.raises(ApiError, match="more than one PodDisruptionBudget, which the eviction") as error:
        evicted(pod(metadata=LABELS, status=dict(READY)), budget(5), budget(5))
    assert (error.value.code, error.value.reason) == (500, "")


@pytest.mark.parametrize(
    "target, enforced",
    [
        (pod(metadata=LABELS, status={"phase": "Pending"}), True),
        (pod(metadata=LABELS, status={"phase": "Failed"}), False),
        (pod(metadata={**LABELS, "deletionTimestamp": "x"}, status=dict(READY)), True),
        (pod(metadata={"labels": {"app": "other"}}, status=dict(READY)), False),
        (pod(status=dict(READY)), False),
    ],
)
def test_no_budget_is_asked_for_a_pod_whose_loss_disrupts_nothing(target: Object, enforced: bool) -> None:
    world = evicted(target, budget(0))
    assert world.deleted == ({"preconditions": {"resourceVersion": "7"}} if enforced else {})


@pytest.mark.parametrize(
    "pdb, goes",
    [
        (budget(0, currentHealthy=2), True),
        (budget(0, currentHealthy=1), False),
        (budget(0, currentHealthy=1, spec={"unhealthyPodEvictionPolicy": "AlwaysAllow"}), True),
        (budget(0, currentHealthy=0, desiredHealthy=0), False),
    ],
)
def test_a_pod_that_is_not_ready(pdb: Object, goes: bool) -> None:
    target = pod(metadata=LABELS, status={"phase": "Running"})
    if goes:
        assert evicted(target, pdb).deleted == {"preconditions": {"resourceVersion": "7"}}
    else:
        with pytest.raises(TooManyRequests):
            evicted(target, pdb)


def test_a_dry_run_spends_nothing() -> None:
    pdb = budget(1)
    world = evicted(pod(metadata=LABELS, status=dict(READY)), pdb, dryRun=["All"])
    assert world.deleted == {"dryRun": ["All"]}
    assert pdb == budget(1)
    assert world.object["status"] == READY
