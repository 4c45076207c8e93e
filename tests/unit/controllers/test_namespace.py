from __future__ import annotations

from controllers.namespaces.namespace import NO_PROBLEM, Remains, conditions
from machinery.resources import PODS, SERVICES, Resource

AT, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")


def test_all_is_well() -> None:
    found = conditions([], Remains(), AT)
    assert [(each["type"], each["status"], each["reason"]) for each in found] == [
        (type_, "False", reason) for type_, (reason, _) in NO_PROBLEM.items()
    ]


def test_what_remains_is_named() -> None:
    remains = Remains()
    remains.add(SLICES, [{"metadata": {}}])
    remains.add(PODS, [{"metadata": {"finalizers": ["b", "a"]}}, {"metadata": {"finalizers": ["a"]}}])
    remains.add(SERVICES, [])
    assert remains
    found = {each["type"]: each for each in conditions([], remains, AT)}
    assert found["NamespaceContentRemaining"]["message"] == (
        "Some resources are remaining: endpointslices.discovery.k8s.io has 1 resource instances, "
        "pods. has 2 resource instances"
    )
    assert found["NamespaceFinalizersRemaining"]["message"] == (
        "Some content in the namespace has finalizers remaining: a in 2 resource instances, b in 1 resource instances"
    )
    assert found["NamespaceDeletionContentFailure"]["status"] == "False"


def test_failures_are_told() -> None:
    remains = Remains(failures=["two", "one"], discovery="no answer")
    found = {each["type"]: each for each in conditions([], remains, AT)}
    assert found["NamespaceDeletionContentFailure"]["message"] == (
        "Failed to delete all resource types, 2 remaining: one, two"
    )
    assert found["NamespaceDeletionDiscoveryFailure"]["message"] == "no answer"
    assert remains


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = conditions([{"type": "Mine", "status": "True"}], Remains(discovery="no answer"), AT)
    after = {each["type"]: each for each in conditions(before, Remains(), LATER)}
    assert after["NamespaceDeletionDiscoveryFailure"]["lastTransitionTime"] == LATER
    assert after["NamespaceContentRemaining"]["lastTransitionTime"] == AT
    assert after["Mine"] == {"type": "Mine", "status": "True"}
