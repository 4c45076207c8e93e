from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controllers.workloads.disruption import (
    differs,
    disrupted,
    expected_and_desired,
    failed_status,
    healthy,
    new_status,
    scaled,
)
from machinery.objects import Object, get_condition

AT = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
BUDGET: Object = {"metadata": {"name": "pdb", "namespace": "ns", "generation": 4}, "spec": {}}


@pytest.mark.parametrize(
    ("value", "total", "expected"),
    [(3, 10, 3), ("50%", 10, 5), ("50%", 7, 4), ("1%", 7, 1), ("0%", 7, 0), ("28%", 25, 7)],
)
def test_scaled(value: int | str, total: int, expected: int) -> None:
    assert scaled(value, total) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 2}, (3, 2)),  # an integer is about the pods that are there
        ({"minAvailable": "50%"}, (5, 3)),
        ({"maxUnavailable": 1}, (5, 4)),
        ({"maxUnavailable": "30%"}, (5, 3)),
        ({"maxUnavailable": 9}, (5, 0)),
        ({"minAvailable": 0}, (3, 0)),
        ({}, (3, 0)),
    ],
)
def test_expected_and_desired(spec: Object, expected: tuple[int, int]) -> None:
    assert expected_and_desired(spec, 3, 5) == expected


def test_disrupted(pod: Any) -> None:
    recorded = {
        "young": "2026-01-01T11:59:00Z",
        "old": "2026-01-01T11:57:00Z",
        "going": "2026-01-01T11:59:30Z",
        "gone": "2026-01-01T11:59:30Z",
    }
    pods = [pod("young"), pod("old"), pod("going", deleting=True), pod("other")]
    found = disrupted(recorded, pods, AT)
    assert found.waiting == {"young": "2026-01-01T11:59:00Z"}
    assert [each["metadata"]["name"] for each in found.overdue] == ["old"]
    assert found.recheck == 60


def test_healthy(pod: Any) -> None:
    pods = [
        pod("a", ready=True),
        pod("b", ready=False),
        pod("c", ready=True, deleting=True),
        pod("d", ready=True),
        pod("e"),
    ]
    assert healthy(pods, {"d": "2026-01-01T11:59:00Z"}) == 1


@pytest.mark.parametrize(
    ("counts", "allowed", "reason"),
    [
        ((5, 3, 5), 2, "SufficientPods"),
        ((3, 3, 5), 0, "InsufficientPods"),
        ((1, 3, 5), 0, "InsufficientPods"),
        ((5, 0, 0), 0, "InsufficientPods"),  # nothing is expected, so nothing may be disrupted
    ],
)
def test_new_status(counts: tuple[int, int, int], allowed: int, reason: str) -> None:
    current, desired, expected = counts
    status = new_status(BUDGET, current, desired, expected, {})
    assert status["disruptionsAllowed"] == allowed
    assert (status["currentHealthy"], status["desiredHealthy"], status["expectedPods"]) == counts
    assert status["observedGeneration"] == 4
    assert "disruptedPods" not in status
    condition = get_condition({"status": status}, "DisruptionAllowed")
    assert condition is not None
    assert condition["reason"] == reason and condition["status"] == str(allowed > 0)
    assert condition["observedGeneration"] == 4


def test_a_status_is_written_only_if_it_differs() -> None:
    status = new_status(BUDGET, 5, 3, 5, {"a": "2026-01-01T11:59:00Z"})
    written = {**BUDGET, "status": status}
    assert differs(status, BUDGET)
    assert not differs(new_status(written, 5, 3, 5, {"a": "2026-01-01T11:59:00Z"}), written)
    assert differs(new_status(written, 5, 3, 5, {}), written)
    assert differs(new_status({**written, "metadata": {**BUDGET["metadata"], "generation": 5}}, 5, 3, 5, {}), written)
    assert "conditions" not in BUDGET.get("status", {}), "a cached object is never changed"


def test_a_failure_allows_no_disruption() -> None:
    status = new_status(BUDGET, 5, 3, 5, {})
    failed = failed_status({**BUDGET, "status": status}, ValueError("no scale"))
    assert failed["disruptionsAllowed"] == 0 and failed["currentHealthy"] == 5
    condition = get_condition({"status": failed}, "DisruptionAllowed")
    assert condition is not None
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "SyncFailed", "no scale")
    assert status["disruptionsAllowed"] == 2
