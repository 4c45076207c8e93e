"""The controllers against a real API server on a real etcd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from machinery.errors import NotFound
from machinery.objects import Object, controller_of, get_condition, is_pod_ready
from machinery.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]


def make(cluster: Any, resource: Resource, name: str, **parts: Any) -> Object:
    meta = {"name": name, **parts.pop("metadata", {})}
    obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **parts}
    made: Object = cluster.client.create(resource, obj, cluster.namespace)
    return made


def make_rc(cluster: Any, name: str = "sise", replicas: int = 2, **spec: Any) -> Object:
    container = {"name": "sise", "image": "sise", "ports": [{"name": "web", "containerPort": 9876}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], **spec}}
    return make(
        cluster,
        REPLICATION_CONTROLLERS,
        name,
        spec={"replicas": replicas, "selector": {"app": name}, "template": template},
    )


def make_pod(cluster: Any, name: str, metadata: Object | None = None, **spec: Any) -> Object:
    containers = spec.pop("containers", [{"name": "c", "image": "i"}])
    return make(cluster, PODS, name, metadata=metadata or {}, spec={"containers": containers, **spec})


def make_service(cluster: Any, name: str = "svc", **spec: Any) -> Object:
    return make(cluster, SERVICES, name, spec={"ports": [{"port": 80, "targetPort": 9876}], **spec})


def scale(cluster: Any, replicas: int, name: str = "sise") -> None:
    cluster.client.patch(REPLICATION_CONTROLLERS, name, cluster.namespace, {"spec": {"replicas": replicas}})


def status(cluster: Any, name: str = "sise") -> Object:
    rc: Object = cluster.client.get(REPLICATION_CONTROLLERS, name, cluster.namespace)
    return dict(rc.get("status", {}))


def gone(cluster: Any, resource: Resource, name: str, namespace: str | None = None) -> bool:
    try:
        cluster.client.get(resource, name, cluster.namespace if namespace is None else namespace)
    except NotFound:
        return True
    return False


def ready_addresses(cluster: Any, service: str = "svc") -> list[str]:
    slices = cluster.client.list(
        ENDPOINT_SLICES, cluster.namespace, label_selector=f"kubernetes.io/service-name={service}"
    )["items"]
    return sorted(
        each["addresses"][0] for one in slices for each in one.get("endpoints") or () if each["conditions"].get("ready")
    )


def events(cluster: Any, reason: str) -> list[str]:
    return [
        event["message"]
        for event in cluster.client.list(EVENTS, cluster.namespace)["items"]
        if event["reason"] == reason
    ]


def test_the_chain_from_controller_to_slice(cluster: Any, wait: Wait) -> None:
    make_service(cluster, selector={"app": "sise"})
    make_rc(cluster, replicas=2)
    wait(lambda: len(ready_addresses(cluster)) == 2, "two ready endpoints")
    addresses = sorted(pod["status"]["podIP"] for pod in cluster.pods())
    assert ready_addresses(cluster) == addresses
    wait(
        lambda: (
            status(cluster)
            == {
                "replicas": 2,
                "fullyLabeledReplicas": 2,
                "readyReplicas": 2,
                "availableReplicas": 2,
                "observedGeneration": 1,
            }
        ),
        "the status",
    )

    def in_endpoints() -> list[str]:
        subsets = cluster.client.get(ENDPOINTS, "svc", cluster.namespace).get("subsets") or []
        return sorted(address["ip"] for subset in subsets for address in subset.get("addresses", ()))

    wait(lambda: in_endpoints() == addresses, "the Endpoints")
    for pod in cluster.pods():
        meta = pod["metadata"]
        assert meta["generateName"] == "sise-"
        assert controller_of(pod) == {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "name": "sise",
            "uid": cluster.client.get(REPLICATION_CONTROLLERS, "sise", cluster.namespace)["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        wait(lambda name=meta["name"]: f"Created pod: {name}" in events(cluster, "SuccessfulCreate"), "the event")
        bound = f"Successfully assigned {cluster.namespace}/{meta['name']} to node-1"
        wait(lambda bound=bound: bound in events(cluster, "Scheduled"), "the scheduler's event")


def test_a_replica_set_takes_the_pods_that_its_expressions_select(cluster: Any, wait: Wait) -> None:
    make_pod(cluster, "orphan", metadata={"labels": {"tier": "web"}})
    selector = {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}]}
    template = {"metadata": {"labels": {"tier": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    make(cluster, REPLICA_SETS, "web", spec={"replicas": 3, "selector": selector, "template": template})

    def count() -> int:
        made: Object = cluster.client.get(REPLICA_SETS, "web", cluster.namespace)
        return int((made.get("status") or {}).get("availableReplicas") or 0)

    wait(lambda: count() == 3, "three available pods")
    pods = cluster.pods()
    owners = [owner for pod in pods if (owner := controller_of(pod))]
    assert len(owners) == len(pods)
    assert {(owner["apiVersion"], owner["kind"], owner["name"]) for owner in owners} == {
        ("apps/v1", "ReplicaSet", "web")
    }
    assert "orphan" in {pod["metadata"]["name"] for pod in cluster.pods()}
    cluster.client.delete(REPLICA_SETS, "web", cluster.namespace)
    wait(lambda: cluster.pods() == [], "the garbage collector to take the pods along")


def test_scaling_up_and_down(cluster: Any, wait: Wait) -> None:
    make_service(cluster, selector={"app": "sise"})
    make_rc(cluster, replicas=1)
    for replicas in (10, 3, 0, 2):
        scale(cluster, replicas)
        wait(lambda replicas=replicas: len(ready_addresses(cluster)) == replicas, f"{replicas} endpoints")
        wait(lambda replicas=replicas: len(cluster.pods()) == replicas, f"{replicas} pods")
        wait(lambda replicas=replicas: status(cluster).get("readyReplicas", 0) == replicas, "the status")


def test_a_deleted_pod_is_replaced(cluster: Any, wait: Wait) -> None:
    make_rc(cluster, replicas=2)
    wait(lambda: len(cluster.pods()) == 2, "two pods")
    victim = cluster.pods()[0]["metadata"]["name"]
    cluster.client.delete(PODS, victim, cluster.namespace)
    wait(lambda: len(cluster.pods()) == 2 and gone(cluster, PODS, victim), "its replacement")


def test_adopts_what_matches_and_releases_what_does_not(cluster: Any, wait: Wait) -> None:
    make_pod(cluster, "stray", metadata={"labels": {"app": "sise"}})
    rc = make_rc(cluster, replicas=2)

    def owner(name: str) -> str | None:
        found = controller_of(cluster.client.get(PODS, name, cluster.namespace))
        return found["uid"] if found else None

    wait(lambda: owner("stray") == rc["metadata"]["uid"], "the stray to be adopted")
    wait(lambda: len(cluster.pods()) == 2, "one more pod")
    cluster.client.patch(PODS, "stray", cluster.namespace, {"metadata": {"labels": {"app": "mine"}}})
    wait(lambda: owner("stray") is None, "it to be released")
    wait(lambda: len(cluster.pods("app=sise")) == 2, "its replacement")


def test_what_cannot_be_created_is_told(cluster: Any, wait: Wait) -> None:
    make_rc(cluster, replicas=3, serviceAccountName="missing")
    wait(lambda: get_condition({"status": status(cluster)}, "ReplicaFailure"), "the condition")
    condition = get_condition({"status": status(cluster)}, "ReplicaFailure")
    assert condition is not None
    assert condition["reason"] == "FailedCreate"
    assert 'serviceaccount "missing" not found' in condition["message"]
    wait(lambda: events(cluster, "FailedCreate"), "the event")
    make(cluster, SERVICE_ACCOUNTS, "missing")
    wait(lambda: status(cluster).get("readyReplicas") == 3, "the pods, after a retry")
    assert "conditions" not in status(cluster)


def test_deletion_policies(cluster: Any, wait: Wait) -> None:
    make_rc(cluster, "kept", replicas=2)
    make_rc(cluster, "background", replicas=2)
    make_rc(cluster, "foreground", replicas=2)
    wait(lambda: sum(map(is_pod_ready, cluster.pods())) == 6, "six pods")
    for name, policy in (("kept", "Orphan"), ("background", "Background"), ("foreground", "Foreground")):
        cluster.client.delete(REPLICATION_CONTROLLERS, name, cluster.namespace, propagation=policy)
    for name in ("kept", "background", "foreground"):
        wait(lambda name=name: gone(cluster, REPLICATION_CONTROLLERS, name), f"{name} to go")
    assert cluster.pods("app=foreground") == [], "an owner waits for its dependents"
    wait(lambda: cluster.pods("app=background") == [], "dependents to follow")
    kept = cluster.pods("app=kept")
    assert len(kept) == 2
    assert all(controller_of(pod) is None for pod in kept)


def test_an_object_whose_owner_never_existed_is_collected(cluster: Any, wait: Wait) -> None:
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "nobody",
        "uid": "00000000-0000-0000-0000-000000000000",
    }
    make(cluster, CONFIG_MAPS, "dangling", metadata={"ownerReferences": [reference]})
    wait(lambda: gone(cluster, CONFIG_MAPS, "dangling"), "the garbage collector")


def test_one_owner_of_two_is_enough(cluster: Any, wait: Wait) -> None:
    owners = [make(cluster, CONFIG_MAPS, name) for name in ("first", "second")]
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        for owner in owners
    ]
    make(cluster, CONFIG_MAPS, "child", metadata={"ownerReferences": references})
    cluster.client.delete(CONFIG_MAPS, "first", cluster.namespace)

    def names() -> list[str]:
        child = cluster.client.get(CONFIG_MAPS, "child", cluster.namespace)
        return [each["name"] for each in child["metadata"].get("ownerReferences") or ()]

    wait(lambda: names() == ["second"], "the dangling reference to go")
    cluster.client.delete(CONFIG_MAPS, "second", cluster.namespace)
    wait(lambda: gone(cluster, CONFIG_MAPS, "child"), "the child to go")


def reference_to(owner: Object, *, blocks: bool = False) -> Object:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {**reference, "blockOwnerDeletion": True} if blocks else reference


def test_a_dependent_with_another_owner_survives_foreground_deletion(cluster: Any, wait: Wait) -> None:
    ending, staying = make(cluster, CONFIG_MAPS, "ending"), make(cluster, CONFIG_MAPS, "staying")
    ours = [reference_to(ending, blocks=True)]
    make(cluster, CONFIG_MAPS, "child", metadata={"ownerReferences": ours})
    make(cluster, CONFIG_MAPS, "shared", metadata={"ownerReferences": [*ours, reference_to(staying)]})
    cluster.client.delete(CONFIG_MAPS, "ending", cluster.namespace, propagation="Foreground")
    wait(lambda: gone(cluster, CONFIG_MAPS, "ending"), "the owner to go")
    assert gone(cluster, CONFIG_MAPS, "child")
    shared = cluster.client.get(CONFIG_MAPS, "shared", cluster.namespace)
    assert [each["name"] for each in shared["metadata"]["ownerReferences"]] == ["staying"]


def test_a_circle_of_owners_does_not_wait_for_itself(cluster: Any, wait: Wait) -> None:
    names = ("a", "b", "c")
    made = [make(cluster, CONFIG_MAPS, name) for name in names]
    for name, owner in zip(names, [made[-1], *made], strict=False):
        patch = {"metadata": {"ownerReferences": [reference_to(owner, blocks=True)]}}
        cluster.client.patch(CONFIG_MAPS, name, cluster.namespace, patch)
    cluster.client.delete(CONFIG_MAPS, "a", cluster.namespace, propagation="Foreground")
    wait(lambda: all(gone(cluster, CONFIG_MAPS, name) for name in names), "all three to go")


def test_foreground_deletion_goes_down_the_whole_tree(cluster: Any, wait: Wait) -> None:
    root = make(cluster, CONFIG_MAPS, "root")
    child = make(cluster, CONFIG_MAPS, "child", metadata={"ownerReferences": [reference_to(root, blocks=True)]})
    hold = {"ownerReferences": [reference_to(child, blocks=True)], "finalizers": ["example.com/hold"]}
    make(cluster, CONFIG_MAPS, "leaf", metadata=hold)
    cluster.client.delete(CONFIG_MAPS, "root", cluster.namespace, propagation="Foreground")
    leaf_ends = "deletionTimestamp"
    wait(
        lambda: leaf_ends in cluster.client.get(CONFIG_MAPS, "leaf", cluster.namespace)["metadata"],
        "the leaf to be deleted",
    )
    assert not gone(cluster, CONFIG_MAPS, "root")
    cluster.client.patch(CONFIG_MAPS, "leaf", cluster.namespace, {"metadata": {"finalizers": None}})
    wait(lambda: all(gone(cluster, CONFIG_MAPS, name) for name in ("leaf", "child", "root")), "the tree to go")


def test_endpoints_by_hand_are_mirrored(cluster: Any, wait: Wait) -> None:
    make_service(cluster, "external")
    subsets = [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 443}]}]
    make(cluster, ENDPOINTS, "external", subsets=subsets)
    wait(lambda: ready_addresses(cluster, "external") == ["10.1.2.3"], "the mirror")
    changed = [{"addresses": [{"ip": "10.1.2.4"}, {"ip": "10.1.2.5"}], "ports": [{"port": 443}]}]
    cluster.client.patch(ENDPOINTS, "external", cluster.namespace, {"subsets": changed})
    wait(lambda: ready_addresses(cluster, "external") == ["10.1.2.4", "10.1.2.5"], "the change")
    cluster.client.delete(SERVICES, "external", cluster.namespace)
    wait(lambda: gone(cluster, ENDPOINTS, "external"), "the Endpoints to go with their Service")
    wait(lambda: ready_addresses(cluster, "external") == [], "the mirror to go")


def test_what_others_do_to_slices_is_put_right(cluster: Any, wait: Wait) -> None:
    make_service(cluster, selector={"app": "sise"})
    make_rc(cluster, replicas=1)
    wait(lambda: len(ready_addresses(cluster)) == 1, "an endpoint")
    cluster.client.delete_collection(ENDPOINT_SLICES, cluster.namespace)
    cluster.client.delete_collection(ENDPOINTS, cluster.namespace)
    wait(lambda: len(ready_addresses(cluster)) == 1, "the slice to come back")
    wait(lambda: not gone(cluster, ENDPOINTS, "svc"), "the Endpoints to come back")


def test_a_pod_that_fits_nowhere_is_bound_when_there_is_room(cluster: Any, wait: Wait) -> None:
    big = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "3"}}}]
    make_pod(cluster, "first", containers=big)
    wait(lambda: is_pod_ready(cluster.client.get(PODS, "first", cluster.namespace)), "the first pod")
    make_pod(cluster, "second", containers=big)

    def reason() -> Object | None:
        return get_condition(cluster.client.get(PODS, "second", cluster.namespace), "PodScheduled")

    text = (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    condition = wait(reason, "the condition")
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "Unschedulable", text)
    wait(lambda: events(cluster, "FailedScheduling") == [text], "the event")
    cluster.client.delete(PODS, "first", cluster.namespace)
    wait(lambda: is_pod_ready(cluster.client.get(PODS, "second", cluster.namespace)), "the second pod")
    cluster.client.delete(PODS, "second", cluster.namespace)


def test_a_node_is_not_overcommitted_by_pods_that_come_at_once(cluster: Any, wait: Wait) -> None:
    halves = [{"name": "c", "image": "i", "resources": {"requests": {"example.com/slot": "1"}}}]
    make_rc(cluster, replicas=6, containers=[{**halves[0], "resources": {"requests": {"memory": "3Gi"}}}])
    wait(lambda: len(events(cluster, "FailedScheduling")) >= 4, "what does not fit to be told")
    assert sum(bool(pod["spec"].get("nodeName")) for pod in cluster.pods()) == 2
    scale(cluster, 0)
    wait(lambda: cluster.pods() == [], "the room to be given back")


def test_a_pod_waits_for_the_one_that_it_wants_to_be_near(cluster: Any, wait: Wait) -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    make_pod(cluster, "web", affinity=near)
    wait(lambda: events(cluster, "FailedScheduling"), "it to be told to wait")
    make_pod(cluster, "db", metadata={"labels": {"app": "db"}})
    wait(lambda: is_pod_ready(cluster.client.get(PODS, "web", cluster.namespace)), "both to be bound")


def test_every_namespace_has_its_account_and_root_certificate(cluster: Any, wait: Wait) -> None:
    wait(lambda: not gone(cluster, CONFIG_MAPS, "kube-root-ca.crt"), "the root certificate")
    published = cluster.client.get(CONFIG_MAPS, "kube-root-ca.crt", cluster.namespace)
    assert published["data"] == {"ca.crt": cluster.plane.ca_file.read_text()}
    cluster.client.patch(CONFIG_MAPS, "kube-root-ca.crt", cluster.namespace, {"data": {"ca.crt": "forged"}})
    cluster.client.delete(SERVICE_ACCOUNTS, "default", cluster.namespace)
    wait(lambda: not gone(cluster, SERVICE_ACCOUNTS, "default"), "the account to come back")
    wait(
        lambda: cluster.client.get(CONFIG_MAPS, "kube-root-ca.crt", cluster.namespace)["data"] == published["data"],
        "the certificate to be put right",
    )


def test_a_namespace_goes_with_all_that_is_in_it(cluster: Any, wait: Wait) -> None:
    make_service(cluster, selector={"app": "sise"})
    make_rc(cluster, replicas=5)
    wait(lambda: len(ready_addresses(cluster)) == 5, "five endpoints")
    cluster.client.delete(NAMESPACES, cluster.namespace)
    wait(lambda: gone(cluster, NAMESPACES, cluster.namespace, ""), "the namespace to go", timeout=3)
    assert cluster.pods() == []
    for resource in (SERVICES, ENDPOINT_SLICES, REPLICATION_CONTROLLERS, EVENTS, SERVICE_ACCOUNTS):
        assert cluster.client.list(resource, cluster.namespace)["items"] == [], resource.plural


def test_a_finalizer_holds_its_namespace_and_is_named(cluster: Any, wait: Wait) -> None:
    make(cluster, CONFIG_MAPS, "held", metadata={"finalizers": ["example.com/hold"]})
    cluster.client.delete(NAMESPACES, cluster.namespace)

    def message() -> str:
        namespace = cluster.client.get(NAMESPACES, cluster.namespace)
        return str((get_condition(namespace, "NamespaceFinalizersRemaining") or {}).get("message", ""))

    wait(lambda: "example.com/hold in 1 resource instances" in message(), "the condition")
    cluster.client.patch(CONFIG_MAPS, "held", cluster.namespace, {"metadata": {"finalizers": None}})
    wait(lambda: gone(cluster, NAMESPACES, cluster.namespace, ""), "the namespace to go")
