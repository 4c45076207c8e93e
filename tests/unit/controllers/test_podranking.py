from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controllers.workloads.podranking import pods_to_delete

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param({}, {"node": "n"}, id="unbound before bound"),
        pytest.param({"node": "n", "phase": "Pending"}, {"node": "n", "phase": "Unknown"}, id="pending before unknown"),
        pytest.param({"node": "n", "phase": "Unknown"}, {"node": "n"}, id="unknown before running"),
        pytest.param({"node": "n"}, {"node": "n", "ready": True}, id="not ready before ready"),
        pytest.param({"node": "n", "restarts": 2}, {"node": "n", "restarts": 1}, id="more restarts first"),
        pytest.param(
            {"node": "n", "ready": True, "ready_since": "2026-01-01T23:00:00Z"},
            {"node": "n", "ready": True, "ready_since": "2026-01-01T10:00:00Z"},
            id="ready for a shorter time first",
        ),
        pytest.param({"created": "2026-01-01T23:50:00Z"}, {"created": "2026-01-01T00:00:00Z"}, id="younger first"),
        pytest.param(
            {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}, {}, id="cheaper to delete first"
        ),
        pytest.param(
            {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "cheap"}, "restarts": 1},
            {},
            id="a cost that is no number counts as none",
        ),
        pytest.param(
            {"node": "n", "phase": "Pending", "restarts": 0},
            {"node": "n", "phase": "Running", "restarts": 9},
            id="an earlier rule decides alone",
        ),
    ],
)
def test_order(pod: Any, first: dict[str, Any], then: dict[str, Any]) -> None:
    # The names would decide the other way round.
    expected, other = pod("z", **first), pod("a", **then)
    assert pods_to_delete([other, expected], 1, NOW) == [expected]


def test_the_fuller_node_gives_up_a_pod(pod: Any) -> None:
    crowded = [pod(name, node="crowded", ready=True) for name in ("b", "c")]
    assert pods_to_delete([pod("a", node="roomy", ready=True), *crowded], 1, NOW) == [crowded[0]]


def test_pods_of_about_the_same_age_go_by_uid_so_that_a_retry_chooses_alike(pod: Any) -> None:
    young = pod("a", created="2026-01-01T10:00:00Z", uid="2")
    old = pod("b", created="2026-01-01T09:59:59Z", uid="1")
    assert pods_to_delete([young, old], 1, NOW) == [old]


def test_all_of_them(pod: Any) -> None:
    pods = [pod("a"), pod("b")]
    assert pods_to_delete(pods, 5, NOW) == pods
