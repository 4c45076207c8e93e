"""Priority and runtime classes: what admission makes of a pod that names one."""

from __future__ import annotations

from typing import Any

import pytest
from unit.apiserver_kinds.test_admission import account, namespace, pod, refused, run

from apiserver.admission.runtimeclass import merge_tolerations
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.priorityclasses import PRIORITY_CLASSES

Object = dict[str, Any]


def priority(name: str, value: int, **fields: Any) -> Object:
    return {"kind": "PriorityClass", "metadata": {"name": name}, "value": value, **fields}


def runtime(name: str = "gvisor", **fields: Any) -> Object:
    return {"kind": "RuntimeClass", "metadata": {"name": name}, "handler": "runsc", **fields}


def create(obj: Object, *there: Object) -> Object:
    run("CREATE", PODS, "", obj, namespace("t"), account(), *there)
    spec: Object = obj["spec"]
    return spec


def refusal(obj: Object, *there: Object) -> str:
    return refused("CREATE", PODS, "", obj, namespace("t"), account(), *there).message


def test_the_default_class_is_for_pods_that_name_none() -> None:
    spec = create(pod(), priority("low", 5, globalDefault=True, preemptionPolicy="Never"), priority("high", 9))
    assert (spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]) == ("low", 5, "Never")


def test_of_two_defaults_the_lower_counts() -> None:
    spec = create(pod(), priority("b", 9, globalDefault=True), priority("a", 5, globalDefault=True))
    assert spec["priorityClassName"] == "a"


def test_without_a_class_a_pod_has_no_priority() -> None:
    spec = create(pod(), priority("high", 9))
    assert "priorityClassName" not in spec
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")


def test_a_pod_may_repeat_what_its_class_says_but_nothing_else() -> None:
    high = priority("high", 9, preemptionPolicy="Never")
    assert create(pod(priorityClassName="high", priority=9, preemptionPolicy="Never"), high)["priority"] == 9
    assert refusal(pod(priorityClassName="high", preemptionPolicy="PreemptLowerPriority"), high) == (
        'pods "web" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in '
        "pod spec; priority admission controller computed Never from the given PriorityClass name"
    )


def test_one_class_at_most_is_the_default() -> None:
    there = priority("low", 5, globalDefault=True)
    error = refused("CREATE", PRIORITY_CLASSES, "", priority("high", 9, globalDefault=True), there)
    assert error.message == (
        'priorityclasses.scheduling.k8s.io "high" is forbidden: '
        "PriorityClass low is already marked as default. Only one default can exist"
    )
    run("UPDATE", PRIORITY_CLASSES, "low", there, there, old=there)
    run("CREATE", PRIORITY_CLASSES, "", priority("high", 9), there)


@pytest.mark.parametrize("name", ["system-node-critical", "system-cluster-critical"])
def test_the_systems_own_classes_stay(name: str) -> None:
    error = refused("DELETE", PRIORITY_CLASSES, name, None)
    assert error.message == (
        f'priorityclasses.scheduling.k8s.io "{name}" is forbidden: '
        "this is a system priority class and cannot be deleted"
    )
    run("DELETE", PRIORITY_CLASSES, "high", None)


def test_a_pod_gets_its_runtimes_overhead_and_nodes() -> None:
    toleration = {"key": "gvisor", "operator": "Exists"}
    scheduling = {"nodeSelector": {"runtime": "gvisor"}, "tolerations": [toleration]}
    spec = create(
        pod(runtimeClassName="gvisor", nodeSelector={"disk": "ssd"}),
        runtime(overhead={"podFixed": {"cpu": "250m"}}, scheduling=scheduling),
    )
    assert spec["overhead"] == {"cpu": "250m"}
    assert spec["nodeSelector"] == {"disk": "ssd", "runtime": "gvisor"}
    assert toleration in spec["tolerations"]


def test_a_class_that_asks_for_nothing_changes_nothing() -> None:
    spec = create(pod(runtimeClassName="gvisor"), runtime(overhead={}))
    assert not {"overhead", "nodeSelector"} & spec.keys()


@pytest.mark.parametrize(
    "spec, classes, why",
    [
        ({"runtimeClassName": "gvisor"}, [], 'pod rejected: RuntimeClass "gvisor" not found'),
        (
            {"runtimeClassName": "gvisor", "nodeSelector": {"a": "1"}},
            [runtime(scheduling={"nodeSelector": {"a": "2"}})],
            "conflict: runtimeClass.scheduling.nodeSelector[a] = 2; pod.spec.nodeSelector[a] = 1",
        ),
        (
            {"runtimeClassName": "gvisor", "overhead": {"cpu": "1"}},
            [runtime(overhead={"podFixed": {"cpu": "2"}})],
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"overhead": {"cpu": "1"}},
            [],
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
    ],
)
def test_a_pod_that_does_not_fit_its_runtime_is_refused(spec: Object, classes: list[Object], why: str) -> None:
    assert refusal(pod(**spec), *classes) == f'pods "web" is forbidden: {why}'


@pytest.mark.parametrize(
    "given, kept",
    [
        ([{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Equal", "value": "b"}], [0]),
        ([{"key": "a", "operator": "Equal", "value": "b"}, {"operator": "Exists"}], [1]),
        ([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}], [0, 1]),
        ([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}, {"key": "a", "operator": "Exists"}], [1]),
        ([{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists"}], [0]),
        (
            [
                {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                {"key": "a", "operator": "Exists", "effect": "NoExecute"},
            ],
            [1],
        ),
    ],
)
def test_tolerations_that_others_include_are_left_out(given: list[Object], kept: list[int]) -> None:
    assert merge_tolerations(given) == [given[index] for index in kept]
