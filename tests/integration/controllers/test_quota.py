"""The quota controller: counts at first, gives back what has gone, and never loses a charge."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from machinery.errors import Forbidden
from machinery.objects import Object
from machinery.resources import CONFIG_MAPS, LEASES, PODS, REPLICATION_CONTROLLERS, RESOURCE_QUOTAS, SERVICES

pytestmark = pytest.mark.etcd

LEASE_COUNT = "count/leases.coordination.k8s.io"


def named(name: str, **more: Any) -> Object:
    return {"metadata": {"name": name}, **more}


def make_quota(cluster: Any, name: str = "q", **spec: Any) -> None:
    cluster.client.create(RESOURCE_QUOTAS, named(name, spec=spec), cluster.namespace)


def used(cluster: Any, name: str = "q") -> Object:
    status: Object = cluster.client.get(RESOURCE_QUOTAS, name, cluster.namespace).get("status") or {}
    found: Object = status.get("used") or {}
    return found


def pod(name: str, **spec: Any) -> Object:
    """One that nobody runs: its status is the test's."""
    container = {"name": "a", "image": "b", "resources": {"requests": {"cpu": "100m"}}}
    return named(name, spec={"containers": [container], "schedulingGates": [{"name": "test"}], **spec})


def test_what_is_there_is_counted_and_what_goes_is_given_back(cluster: Any, wait: Callable[..., Any]) -> None:
    client, namespace = cluster.client, cluster.namespace
    wait(lambda: client.list(CONFIG_MAPS, namespace)["items"], "kube-root-ca.crt, which counts too")
    client.create(CONFIG_MAPS, named("before"), namespace)
    make_quota(
        cluster, hard={"configmaps": "3", LEASE_COUNT: "1", "requests.storage": "1Gi", "count/nothing.here": "1"}
    )
    counted = {LEASE_COUNT: "0", "requests.storage": "0"}
    wait(lambda: used(cluster) == {"configmaps": "2", **counted}, "the first count")
    client.create(CONFIG_MAPS, named("one"), namespace)
    with pytest.raises(Forbidden, match=r"exceeded quota: q, requested: configmaps=1, used: configmaps=3"):
        client.create(CONFIG_MAPS, named("two"), namespace)
    client.delete(CONFIG_MAPS, "before", namespace)
    wait(lambda: used(cluster) == {"configmaps": "2", **counted}, "what has gone to be given back")
    client.create(CONFIG_MAPS, named("two"), namespace)
    client.delete(RESOURCE_QUOTAS, "q", namespace)
    client.create(CONFIG_MAPS, named("three"), namespace)


def test_a_changed_limit_is_in_force_as_soon_as_it_is_counted(cluster: Any, wait: Callable[..., Any]) -> None:
    client, namespace = cluster.client, cluster.namespace
    make_quota(cluster, hard={LEASE_COUNT: "0"})
    wait(lambda: used(cluster) == {LEASE_COUNT: "0"}, "the first count")
    with pytest.raises(Forbidden):
        client.create(LEASES, named("a"), namespace)
    client.patch(RESOURCE_QUOTAS, "q", namespace, {"spec": {"hard": {LEASE_COUNT: "1", "services": "1"}}})
    wait(lambda: used(cluster) == {LEASE_COUNT: "0", "services": "0"}, "the new limits")
    client.create(LEASES, named("a"), namespace)
    client.patch(RESOURCE_QUOTAS, "q", namespace, {"spec": {"hard": {"services": None}}})
    wait(lambda: used(cluster) == {LEASE_COUNT: "1"}, "a limit to be lifted")


def test_pods_are_given_back_when_they_end_and_services_their_ports(cluster: Any, wait: Callable[..., Any]) -> None:
    client, namespace = cluster.client, cluster.namespace
    make_quota(cluster, hard={"pods": "2", "requests.cpu": "1", "count/pods": "9", "services.nodeports": "1"})
    make_quota(cluster, "short", hard={"pods": "1"}, scopes=["Terminating"])
    wait(lambda: len(used(cluster)) == 4 and used(cluster, "short") == {"pods": "0"}, "the first counts")
    client.create(PODS, pod("job", activeDeadlineSeconds=600), namespace)
    client.create(PODS, pod("web"), namespace)
    assert used(cluster) == {"pods": "2", "requests.cpu": "200m", "count/pods": "2", "services.nodeports": "0"}
    assert used(cluster, "short") == {"pods": "1"}
    client.patch(PODS, "job", namespace, {"status": {"phase": "Succeeded"}}, subresource="status")
    wait(lambda: used(cluster, "short") == {"pods": "0"}, "the ended pod to be given back")
    wait(lambda: used(cluster)["pods"] == "1", "the ended pod to be given back")
    assert (used(cluster)["requests.cpu"], used(cluster)["count/pods"]) == ("100m", "2")
    client.create(SERVICES, named("s", spec={"type": "NodePort", "ports": [{"port": 1}]}), namespace)
    assert used(cluster)["services.nodeports"] == "1"
    client.patch(SERVICES, "s", namespace, {"spec": {"type": "ClusterIP"}})
    wait(lambda: used(cluster)["services.nodeports"] == "0", "the node port to be given back")


def test_a_replication_controller_tells_of_a_quota(cluster: Any, wait: Callable[..., Any]) -> None:
    client, namespace = cluster.client, cluster.namespace
    make_quota(cluster, hard={"pods": "2"})
    wait(lambda: used(cluster) == {"pods": "0"}, "the first count")
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("")["spec"]}
    client.create(REPLICATION_CONTROLLERS, named("rc", spec={"replicas": 3, "template": template}), namespace)

    def failure() -> Any:
        conditions = client.get(REPLICATION_CONTROLLERS, "rc", namespace)["status"].get("conditions") or []
        return next((each for each in conditions if each["type"] == "ReplicaFailure"), None)

    assert (
        "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2" in wait(failure, "the failure")["message"]
    )
    client.patch(REPLICATION_CONTROLLERS, "rc", namespace, {"spec": {"replicas": 2}})
    wait(lambda: failure() is None, "the failure to be over")


def test_no_charge_is_lost_while_objects_come_and_go(cluster: Any, wait: Callable[..., Any]) -> None:
    """Each deletion makes the controller count, in the middle of others' creations."""
    client, namespace = cluster.client, cluster.namespace
    wait(lambda: client.list(CONFIG_MAPS, namespace)["items"], "kube-root-ca.crt, which counts too")
    make_quota(cluster, hard={"configmaps": "6"})
    wait(lambda: used(cluster) == {"configmaps": "1"}, "the first count")
    most: list[int] = []
    refused = threading.Event()

    def come_and_go(writer: int) -> None:
        for turn in range(12):
            try:
                client.create(CONFIG_MAPS, named(f"c-{writer}-{turn}"), namespace)
            except Forbidden:
                refused.set()
            else:
                most.append(len(client.list(CONFIG_MAPS, namespace)["items"]))
                client.delete(CONFIG_MAPS, f"c-{writer}-{turn}", namespace)

    threads = [threading.Thread(target=come_and_go, args=(writer,)) for writer in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused.is_set()
    assert max(most) <= 6
    wait(lambda: used(cluster) == {"configmaps": "1"}, "everything to be given back")
