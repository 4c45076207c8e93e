from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controllers.shared.ownership import claim
from controllers.workloads.replicationcontroller import BURST, ReplicaPlan, available_in, new_status, plan
from machinery.errors import Forbidden
from machinery.selectors import from_map

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("replicas", "have", "expected"),
    [
        (2, 0, ReplicaPlan(create=2)),
        (None, 0, ReplicaPlan(create=1)),
        (2, 2, ReplicaPlan()),
        (0, 0, ReplicaPlan()),
        (BURST + 1, 0, ReplicaPlan(create=BURST)),
    ],
)
def test_plan_creates_what_is_missing(
    rc: Any, pod: Any, replicas: int | None, have: int, expected: ReplicaPlan
) -> None:
    assert plan(rc(replicas), [pod(f"p{n}") for n in range(have)]) == expected


def test_plan_deletes_the_surplus_and_pods_that_are_not_ready_first(rc: Any, pod: Any) -> None:
    ready, starting = pod("ready", node="n", ready=True), pod("starting", node="n", ready=False)
    assert plan(rc(1), [ready, starting]) == ReplicaPlan(delete=(starting,))
    assert set(map(id, plan(rc(0), [ready, starting]).delete)) == {id(ready), id(starting)}


def test_status_counts(rc: Any, pod: Any) -> None:
    pods = [
        pod("a", ready=True),
        pod("b", ready=True, ready_since="2026-01-01T00:00:55Z"),
        pod("c", labels={"app": "x", "more": "y"}, ready=False),
    ]
    owner = rc(3, minReadySeconds=30)
    owner["spec"]["template"]["metadata"]["labels"] = {"app": "x", "more": "y"}
    assert new_status(owner, pods, None, NOW) == {
        "replicas": 3,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "observedGeneration": 3,
    }
    assert [available_in(each, 30, NOW) for each in pods[:2]] == [0, 25]


def test_status_without_pods_says_so(rc: Any) -> None:
    assert new_status(rc(0), [], None, NOW) == {"replicas": 0, "observedGeneration": 3}


def test_a_failure_is_a_condition_until_the_next_success(rc: Any, pod: Any) -> None:
    error = Forbidden("exceeded quota")
    status = new_status(rc(2), [], error, NOW)
    [condition] = status["conditions"]
    assert {name: condition[name] for name in ("type", "status", "reason", "message")} == {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    again = new_status(rc(2, status=status), [], Forbidden("another message"), NOW)
    assert again["conditions"] == [condition]
    assert "conditions" not in new_status(rc(2, status=again), [], None, NOW)
    assert new_status(rc(0), [pod()], error, NOW)["conditions"][0]["reason"] == "FailedDelete"


def test_claim(rc: Any, pod: Any) -> None:
    mine, other = rc(), rc()
    other["metadata"]["uid"] = "somebody-else"
    pods = {
        "owned": pod("owned", owner=mine),
        "orphan": pod("orphan"),
        "strayed": pod("strayed", owner=mine, labels={"app": "y"}),
        "foreign": pod("foreign", owner=other),
        "stranger": pod("stranger", labels={}),
        "ending": pod("ending", deleting=True),
    }
    claims = claim(mine, from_map({"app": "x"}), pods.values())
    assert claims.owned == [pods["owned"]]
    assert claims.adopt == [pods["orphan"]]
    assert claims.release == [pods["strayed"]]


def test_claim_changes_nothing_for_an_owner_that_is_being_deleted(rc: Any, pod: Any) -> None:
    mine = rc(deleting=True)
    pods = [pod("owned", owner=mine), pod("orphan"), pod("strayed", owner=mine, labels={})]
    claims = claim(mine, from_map({"app": "x"}), pods)
    assert (claims.owned, claims.adopt, claims.release) == ([pods[0]], [], [])
