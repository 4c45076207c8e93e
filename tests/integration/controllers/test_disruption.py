"""PodDisruptionBudgets: the controller computes them, and evictions spend them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from machinery.errors import ApiError, InternalError, TooManyRequests
from machinery.objects import Object, controller_of, get_condition, is_pod_ready
from machinery.resources import POD_DISRUPTION_BUDGETS, PODS, REPLICATION_CONTROLLERS, Resource

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]

DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


def make(cluster: Any, resource: Resource, name: str, **parts: Any) -> Object:
    obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, **parts}
    made: Object = cluster.client.create(resource, obj, cluster.namespace)
    return made


def make_rc(cluster: Any, replicas: int, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    return make(
        cluster,
        REPLICATION_CONTROLLERS,
        "web",
        spec={"replicas": replicas, "selector": {"app": "web"}, "template": template},
    )


def make_budget(cluster: Any, name: str = "pdb", **spec: Any) -> Object:
    return make(cluster, POD_DISRUPTION_BUDGETS, name, spec={"selector": {"matchLabels": {"app": "web"}}, **spec})


def status(cluster: Any, name: str = "pdb") -> Object:
    found: Object = cluster.client.get(POD_DISRUPTION_BUDGETS, name, cluster.namespace).get("status", {})
    return found


def counts(cluster: Any) -> tuple[int, int, int, int]:
    """Allowed disruptions, healthy pods now, healthy pods wanted, pods expected."""
    now = status(cluster)
    return now["disruptionsAllowed"], now["currentHealthy"], now["desiredHealthy"], now["expectedPods"]


def evict(cluster: Any, name: str, **options: Any) -> Object:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options}
    answer: Object = cluster.client.create_subresource(PODS, name, cluster.namespace, "eviction", body)
    return answer


def ready(cluster: Any) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods("app=web") if is_pod_ready(pod)]


def test_of_evictions_at_once_no_more_succeed_than_the_budget_allows(cluster: Any, wait: Wait) -> None:
    make_rc(cluster, 4)
    make_budget(cluster, minAvailable=2)
    wait(lambda: counts(cluster) == (2, 4, 2, 4), "the budget")
    condition = get_condition({"status": status(cluster)}, "DisruptionAllowed")
    assert condition is not None and condition["reason"] == "SufficientPods"
    cluster.client.patch(
        REPLICATION_CONTROLLERS, "web", cluster.namespace, {"spec": {"selector": {"app": "nobody"}, "template": {
            "metadata": {"labels": {"app": "nobody"}}}}}
    )  # fmt: skip

    # Otherwise the controller might still replace what is evicted.
    wait(lambda: not any(map(controller_of, cluster.pods("app=web"))), "the pods to be released")

    def attempt(name: str) -> ApiError | None:
        try:
            evict(cluster, name)
        except ApiError as error:
            return error
        return None

    names = ready(cluster)
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, names))
    refused = [error for error in outcomes if error is not None]
    assert len(refused) == 2
    for error in refused:
        assert isinstance(error, TooManyRequests) and error.message == REFUSED
        assert error.details is not None and error.details["causes"][0]["reason"] == "DisruptionBudget"
    wait(lambda: len(cluster.pods("app=web")) == 2, "the evicted pods to go")


def test_a_budget_relative_to_the_owners_replicas(cluster: Any, wait: Wait) -> None:
    make_rc(cluster, 5)
    make_budget(cluster, maxUnavailable="30%")
    wait(lambda: counts(cluster) == (2, 5, 3, 5), "the budget")
    evict(cluster, ready(cluster)[0])
    wait(lambda: len(ready(cluster)) == 5 and counts(cluster) == (2, 5, 3, 5), "the budget to recover")
    assert "disruptedPods" not in status(cluster)


def test_two_budgets_and_a_dry_run(cluster: Any, wait: Wait) -> None:
    make_rc(cluster, 2)
    make_budget(cluster, minAvailable=1)
    wait(lambda: counts(cluster)[:2] == (1, 2), "the budget")
    name = ready(cluster)[0]
    assert evict(cluster, name, dryRun=["All"])["status"] == "Success"
    assert counts(cluster)[0] == 1 and name in ready(cluster)
    make_budget(cluster, "second", minAvailable=1)
    with pytest.raises(InternalError, match="more than one PodDisruptionBudget"):
        evict(cluster, name)
    assert name in ready(cluster)


def test_unmanaged_pods_and_pods_of_unknown_owners(cluster: Any, wait: Wait) -> None:
    owner = {"apiVersion": "example.com/v1", "kind": "Unknown", "name": "x", "uid": "x", "controller": True}
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": "i"}]}}
    meta = {"name": "a", "labels": {"app": "web"}}
    cluster.client.create(PODS, {**pod, "metadata": meta}, cluster.namespace)
    make_budget(cluster, minAvailable="50%")
    wait(lambda: status(cluster).get("observedGeneration") == 1, "the budget")
    assert counts(cluster)[3] == 0, "nobody says how many there should be"
    cluster.client.create(
        PODS, {**pod, "metadata": {**meta, "name": "b", "ownerReferences": [owner]}}, cluster.namespace
    )

    def failed() -> bool:
        condition = get_condition({"status": status(cluster)}, "DisruptionAllowed")
        return condition is not None and condition["reason"] == "SyncFailed"

    wait(failed, "the condition that tells of the failure")


@pytest.fixture
def sets(cluster: Any, wait: Wait) -> Iterator[Resource]:
    """A custom kind with a scale subresource."""
    resource = Resource(f"{cluster.namespace}.example.com", "v1", "sets", "Set")
    replicas = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": replicas, "status": replicas}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
    }
    spec = {
        "group": resource.group,
        "scope": "Namespaced",
        "names": {"plural": resource.plural, "kind": resource.kind},
        "versions": [version],
    }
    definition = {"apiVersion": DEFINITIONS.api_version, "kind": DEFINITIONS.kind, "metadata": {"name": resource.name}}
    cluster.client.create(DEFINITIONS, {**definition, "spec": spec})

    def established() -> bool:
        found = get_condition(cluster.client.get(DEFINITIONS, resource.name), "Established")
        return found is not None and found["status"] == "True"

    wait(established, "the definition to be served")
    yield resource
    cluster.client.delete(DEFINITIONS, resource.name)


def test_an_owner_of_a_custom_kind_is_asked_for_its_scale(cluster: Any, wait: Wait, sets: Resource) -> None:
    owner = make(cluster, sets, "web", spec={"replicas": 3})
    reference = {"apiVersion": sets.api_version, "kind": sets.kind, "name": "web", "uid": owner["metadata"]["uid"]}
    for number in range(2):
        meta = {
            "name": f"web-{number}",
            "labels": {"app": "web"},
            "ownerReferences": [{**reference, "controller": True}],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta,
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        cluster.client.create(PODS, pod, cluster.namespace)
    make_budget(cluster, maxUnavailable=2)
    wait(lambda: counts(cluster) == (1, 2, 1, 3), "the budget")
