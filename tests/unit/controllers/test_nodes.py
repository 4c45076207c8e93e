"""Taints by condition, silence, tolerations, and pods that have outlived their node."""

from __future__ import annotations

import math
from typing import Any

import pytest

from controllers.nodes.nodelifecycle import NodeHealth, silent_conditions, wanted_taints
from controllers.nodes.podgc import surplus
from machinery.objects import Object
from machinery.taints import tolerated_seconds, tolerates

AT = "2026-01-01T01:00:00Z"
OTHERS = {"key": "dedicated", "value": "db", "effect": "NoExecute"}


def keys(taints: list[Object]) -> list[str]:
    return [f"{each['key'].removeprefix('node.kubernetes.io/')}:{each['effect']}" for each in taints]


@pytest.mark.parametrize(
    ("ready", "evict", "expected"),
    [
        ("True", True, []),
        ("False", True, ["not-ready:NoSchedule", "not-ready:NoExecute"]),
        ("False", False, ["not-ready:NoSchedule"]),
        ("Unknown", True, ["unreachable:NoSchedule", "unreachable:NoExecute"]),
        (None, True, []),
    ],
)
def test_taints_follow_readiness(node: Any, ready: str | None, evict: bool, expected: list[str]) -> None:
    assert keys(wanted_taints(node(ready=ready), evict=evict, at=AT)) == expected


def test_taints_of_others_stay_and_ours_keep_their_time(node: Any) -> None:
    since = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "timeAdded": "2025-12-31T00:00:00Z"}
    stale = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    taints = wanted_taints(node(ready="False", taints=[OTHERS, since, stale]), evict=True, at=AT)
    assert taints == [OTHERS, since, {"key": since["key"], "effect": "NoSchedule", "timeAdded": AT}]
    assert wanted_taints(node(taints=[OTHERS, since]), evict=True, at=AT) == [OTHERS]


def test_pressure_and_cordon(node: Any) -> None:
    pressed = node(unschedulable=True)
    pressed["status"]["conditions"].append({"type": "DiskPressure", "status": "True"})
    assert keys(wanted_taints(pressed, evict=True, at=AT)) == ["disk-pressure:NoSchedule", "unschedulable:NoSchedule"]


def test_a_silent_node_is_unknown_in_every_way(node: Any) -> None:
    conditions = {each["type"]: each for each in silent_conditions(node(), AT)}
    assert set(conditions) == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
    assert all(each["status"] == "Unknown" for each in conditions.values())
    assert conditions["Ready"]["message"] == "Kubelet stopped posting node status."
    assert conditions["Ready"]["lastTransitionTime"] == AT
    assert conditions["DiskPressure"]["message"] == "Kubelet never posted node status."
    again = silent_conditions({**node(), "status": {"conditions": list(conditions.values())}}, "later")
    assert again == list(conditions.values())


TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
    ],
)
def test_tolerates(toleration: Object, expected: bool) -> None:
    assert tolerates(toleration, TAINT) is expected


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0),
        ([{"operator": "Exists"}], math.inf),
        ([{"operator": "Exists", "tolerationSeconds": 300}], 300),
        ([{"operator": "Exists", "tolerationSeconds": -5}], 0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 9}], 0),
        (
            [
                {"key": "k", "operator": "Exists", "tolerationSeconds": 9},
                {"key": "dedicated", "operator": "Exists", "tolerationSeconds": 5},
            ],
            5,
        ),
    ],
)
def test_how_long_a_pod_may_stay(pod: Any, tolerations: list[Object], seconds: float) -> None:
    assert tolerated_seconds(pod(tolerations=tolerations), [TAINT, OTHERS]) == seconds


def test_a_pod_stays_where_nothing_evicts(pod: Any) -> None:
    assert tolerated_seconds(pod(), []) == math.inf


def test_the_oldest_ended_pods_are_too_many(pod: Any) -> None:
    pods = [
        pod(name, phase="Failed", created=f"2026-01-0{day}T00:00:00Z") for name, day in (("c", 3), ("a", 1), ("b", 2))
    ]
    assert [each["metadata"]["name"] for each in surplus(pods, 1)] == ["a", "b"]
    assert surplus(pods, 3) == []
    assert surplus(pods, 0) == [], "0 keeps all"


@pytest.mark.parametrize(
    ("looks", "seen"),
    [
        ([(13.0, "t1"), (26.0, "t1"), (40.0, "t1")], 0.0),  # silent indeed
        ([(13.0, "t1"), (26.0, "t2"), (40.0, "t2")], 40.0),  # the lease is renewed, but the watch does not tell
        ([(13.0, "t1"), (26.0, None), (40.0, "t1")], 26.0),  # the API server did not answer
        ([(13.0, "t1"), (90.0, "t1")], 90.0),  # this process did not run
    ],
)
def test_who_could_not_see_does_not_conclude(looks: list[tuple[float, str | None]], seen: float) -> None:
    health = NodeHealth(("t1", ""), 0.0, 0.0)
    for moment, renew_time in looks:
        health.take_look(renew_time, moment, 13.3)
    assert health.seen == seen
