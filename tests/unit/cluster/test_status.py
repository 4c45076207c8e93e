"""The few lines of ``make status``."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.settings import State
from cluster.status import Part, Report, duration, render

STATE = State(Path("/state"))
WELL = Report(
    [Part("supervisor", 1, 0, 0, "", 9_000_000, ""), Part("etcd", 2, 940, 0, "", 21_000_000, "")],
    version="v1.32.0",
    node="vm",
    node_ready=True,
    docker="20.10",
    pods=3,
    pods_ready=2,
    containers=6,
)


def test_shows_what_runs_since_when_and_how_much_memory() -> None:
    lines = render(WELL, STATE, 1000).splitlines()
    assert lines[0] == "mini-Minishift is well"
    assert lines[3].split() == ["etcd", "healthy", "1m", "21", "MB", "2", "0"]
    assert "Kubernetes v1.32.0, Docker 20.10, 30 MB in all" in lines[5]
    assert "node vm Ready, 2 of 3 pods ready, 6 containers" in lines[6]
    assert "https://127.0.0.1:6443" in lines[7] and "/state/kubeconfig" in lines[7]


def test_trouble_is_named_with_where_to_look() -> None:
    sick = Part("kubelet", 3, 990, 2, "was killed by SIGKILL", 0, "Connection refused\nmore")
    report = WELL._replace(parts=[*WELL.parts, sick])
    assert not report.well
    text = render(report, STATE, 1000)
    assert text.startswith("mini-Minishift is NOT well")
    assert "2 (it was killed by SIGKILL)" in text
    assert "    Connection refused: make logs C=kubelet" in text


def test_of_a_list_of_checks_the_failed_one_is_shown() -> None:
    part = Part("apiserver", 3, 990, 0, "", 0, "[+]ping ok\n[-]etcd failed: refused\nreadyz check failed")
    assert "    [-]etcd failed: refused: make logs" in render(WELL._replace(parts=[part]), STATE, 1000)


def test_all_is_well_only_with_a_ready_node() -> None:
    assert WELL.well
    assert not WELL._replace(node_ready=False).well
    assert not WELL._replace(parts=[]).well


def test_a_stopped_cluster_says_how_to_start_it() -> None:
    assert "make up" in render(Report([]), STATE, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m"), (61, "1m1s"), (3600, "1h"), (5400, "1h30m"), (90000, "1d1h")],
)
def test_durations_are_as_kubectl_shows_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
