"""What objects use of a quota, and which quotas are about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from machinery.quota import evaluator_of
from machinery.resourcelists import written

Object = dict[str, Any]
NOW = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)
PODS = evaluator_of("pods")


def used(resource: str, obj: Object) -> dict[str, str]:
    return written(evaluator_of(resource).usage(obj, NOW))


def container(requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    return {"name": "a", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(*containers: Object, status: Object | None = None, meta: Object | None = None, **spec: Any) -> Object:
    status = status or {"phase": "Running", "qosClass": "Burstable"}
    return {
        "metadata": {"name": "p", **(meta or {})},
        "spec": {"containers": list(containers), **spec},
        "status": status,
    }


def test_a_pod_uses_what_its_containers_ask_for() -> None:
    obj = pod(
        container({"cpu": "500m", "memory": "1Gi", "example.com/gpu": "2"}, {"cpu": "1", "ephemeral-storage": "1Gi"}),
        container({"cpu": "700m", "hugepages-2Mi": "4Mi", "kubernetes.io/batteries": "1"}),
    )
    assert used("pods", obj) == {
        "count/pods": "1",
        "pods": "1",
        "cpu": "1200m",
        "requests.cpu": "1200m",
        "memory": "1Gi",
        "requests.memory": "1Gi",
        "requests.example.com/gpu": "2",
        "hugepages-2Mi": "4Mi",
        "requests.hugepages-2Mi": "4Mi",
        "limits.cpu": "1",
        "limits.ephemeral-storage": "1Gi",
    }


def test_init_containers_sidecars_and_overhead() -> None:
    cpu = {"cpu": "1"}
    sidecar = container(cpu, cpu, restartPolicy="Always")
    first, last = container({"cpu": "2"}), container({"cpu": "2500m"})
    obj = pod(container(cpu, cpu), initContainers=[first, sidecar, last], overhead={"cpu": "100m", "memory": "10Mi"})
    found = used("pods", obj)
    assert (found["cpu"], found["memory"]) == ("3600m", "10Mi")  # the last one beside the sidecar, and the overhead
    assert found["limits.cpu"] == "2100m"  # both that run in the end, and the overhead
    assert "limits.memory" not in found  # the overhead limits nothing by itself


@pytest.mark.parametrize(
    "status, meta, counts",
    [
        ({"phase": "Pending"}, {}, True),
        ({"phase": "Succeeded"}, {}, False),
        ({"phase": "Failed"}, {}, False),
        ({"phase": "Running"}, {"deletionTimestamp": "2025-01-01T11:59:50Z", "deletionGracePeriodSeconds": 10}, True),
        ({"phase": "Running"}, {"deletionTimestamp": "2025-01-01T11:59:49Z", "deletionGracePeriodSeconds": 10}, False),
    ],
)
def test_a_pod_that_has_ended_or_should_have_is_only_an_object(status: Object, meta: Object, counts: bool) -> None:
    obj = pod(container({"cpu": "1"}), status=status, meta=meta)
    assert ("cpu" in used("pods", obj), "pods" in used("pods", obj)) == (counts, counts)
    assert used("pods", obj)["count/pods"] == "1"


@pytest.mark.parametrize(
    "spec, ports, balancers",
    [
        ({"type": "ClusterIP"}, "0", "0"),
        ({"type": "NodePort"}, "2", "0"),
        ({"type": "LoadBalancer"}, "2", "1"),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}, "1", "1"),
        ({"type": "ExternalName"}, "0", "0"),
    ],
)
def test_services_use_node_ports_before_they_have_them(spec: Object, ports: str, balancers: str) -> None:
    obj = {"metadata": {}, "spec": {"ports": [{"port": 1, "nodePort": 30001}, {"port": 2}], **spec}}
    assert used("services", obj) == {
        "count/services": "1",
        "services": "1",
        "services.nodeports": ports,
        "services.loadbalancers": balancers,
    }


def test_claims_use_storage_also_of_their_class() -> None:
    obj: Object = {
        "metadata": {},
        "spec": {"resources": {"requests": {"storage": "1.5Ki"}}, "storageClassName": "gold"},
    }
    assert used("persistentvolumeclaims", obj) == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "1536",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "1536",
    }


def test_other_kinds_are_counted() -> None:
    assert used("secrets", {}) == {"count/secrets": "1", "secrets": "1"}
    assert used("leases.coordination.k8s.io", {}) == {"count/leases.coordination.k8s.io": "1"}
    assert evaluator_of("leases.coordination.k8s.io").tracked(["leases", "count/leases.coordination.k8s.io"]) == [
        "count/leases.coordination.k8s.io"
    ]


def test_which_resources_pods_use() -> None:
    yes = ["pods", "count/pods", "cpu", "requests.memory", "limits.ephemeral-storage", "hugepages-1Gi"]
    yes += ["requests.hugepages-1Gi", "requests.example.com/gpu"]
    no = ["services", "requests.storage", "limits.example.com/gpu", "example.com/gpu", "count/podtemplates"]
    no += ["requests.kubernetes.io/x"]
    assert PODS.tracked([*yes, *no]) == yes


ELSEWHERE = {"topologyKey": "zone", "namespaces": ["other"]}


@pytest.mark.parametrize(
    "scope, spec, qos, inside",
    [
        ("Terminating", {"activeDeadlineSeconds": 5}, "", True),
        ("Terminating", {}, "", False),
        ("NotTerminating", {}, "", True),
        ("NotTerminating", {"activeDeadlineSeconds": 5}, "", False),
        ("BestEffort", {}, "BestEffort", True),
        ("BestEffort", {}, "Burstable", False),
        ("NotBestEffort", {}, "Guaranteed", True),
        ("NotBestEffort", {}, "BestEffort", False),
        ("PriorityClass", {"priorityClassName": "high"}, "", True),
        ("PriorityClass", {}, "", False),
        ("CrossNamespacePodAffinity", {}, "", False),
        (
            "CrossNamespacePodAffinity",
            {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [ELSEWHERE]}}},
            "",
            True,
        ),
        (
            "CrossNamespacePodAffinity",
            {
                "affinity": {
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "namespaceSelector": {}}}
                        ]
                    }
                }
            },
            "",
            True,
        ),
    ],
)
def test_scopes(scope: str, spec: Object, qos: str, inside: bool) -> None:
    assert PODS.matches({"scopes": [scope]}, pod(status={"qosClass": qos}, **spec)) is inside


@pytest.mark.parametrize(
    "operator, values, of_high, of_none",
    [
        ("In", ["high", "low"], True, False),
        ("NotIn", ["low"], True, True),
        ("NotIn", ["high"], False, True),
        ("Exists", [], True, False),
        ("DoesNotExist", [], False, True),
    ],
)
def test_priority_classes_are_selected(operator: str, values: list[str], of_high: bool, of_none: bool) -> None:
    requirement = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    spec = {"scopeSelector": {"matchExpressions": [requirement]}}
    assert PODS.matches(spec, pod(priorityClassName="high")) is of_high
    assert PODS.matches(spec, pod()) is of_none


def test_all_scopes_must_be_met_and_kinds_without_scopes_meet_none() -> None:
    obj = pod(status={"qosClass": "BestEffort"}, activeDeadlineSeconds=1)
    assert PODS.matches({"scopes": ["BestEffort", "Terminating"]}, obj)
    assert not PODS.matches({"scopes": ["BestEffort", "NotTerminating"]}, obj)
    assert evaluator_of("secrets").matches({}, {})
    assert not evaluator_of("secrets").matches({"scopes": ["BestEffort"]}, {})
