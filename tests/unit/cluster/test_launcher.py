"""Small decisions of the launcher: restart delays, missing packages, command lines, progress."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cluster import packages
from cluster.components import components
from cluster.progress import Progress
from cluster.record import ClusterRecord
from cluster.settings import State
from cluster.supervisor import restart_delay

RECORD = ClusterRecord("abcd", "vm", "172.17.0.1", "172.17.0.0/16")


def test_restart_delays_double_up_to_ten_seconds() -> None:
    assert [restart_delay(failures) for failures in (1, 2, 3, 7, 8, 100)] == [0.1, 0.2, 0.4, 6.4, 10.0, 10.0]


@pytest.mark.parametrize(
    ("absent", "wanted"),
    [
        (set(), []),
        ({"dockerd", "kubectl"}, ["docker.io", "kubernetes-client"]),
        ({"etcd"}, ["etcd-server"]),
    ],
)
def test_packages_are_missing_with_their_programs(absent: set[str], wanted: list[str]) -> None:
    assert packages.missing(lambda program: None if program in absent else f"/usr/bin/{program}") == wanted


def test_components_start_in_order_and_listen_nowhere_else() -> None:
    table = components(State(Path("/s")), RECORD)
    assert [component.name for component in table] == ["etcd", "apiserver", "controllers", "kubelet", "proxy"]
    for component in table:
        for flag in component.argv:
            assert "0.0.0.0" not in flag
    binds = [flag for flag in table[1].argv if flag.startswith("--bind-address")]
    assert binds == ["--bind-address=127.0.0.1", "--bind-address=172.17.0.1"]
    assert not any("http" in flag for flag in table[0].argv)  # etcd: unix sockets alone


def test_a_step_shows_its_seconds_and_notes() -> None:
    out = io.StringIO()
    progress = Progress(out)
    with progress.step("images") as step:
        step.note("built")
    assert out.getvalue().split() == ["images", "0.00", "s", "built"]
    with pytest.raises(ValueError), progress.step("etcd"):
        raise ValueError
    assert out.getvalue().endswith("failed\n")
