"""Each thing that a machine may lack gets one clear line and a way to get it."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from cluster.preflight import Facts, Finding, Level, busy_ports, judge

WELL = Facts()


def worst(**lacking: object) -> Finding:
    return judge(replace(WELL, **lacking))[-1]  # type: ignore[arg-type]


def test_a_good_machine_has_nothing_to_repair() -> None:
    assert {finding.level for finding in judge(WELL)} == {Level.OK}


@pytest.mark.parametrize(
    ("lacking", "level", "text", "remedy"),
    [
        ({"root": False}, Level.FAILURE, "needs root", "sudo"),
        ({"missing_packages": ["docker.io", "etcd-server"]}, Level.REPAIR, "docker.io etcd-server", "apt-get"),
        ({"docker": None}, Level.REPAIR, "no Docker engine", "start"),
        ({"missing_features": ["statistic"]}, Level.FAILURE, "netfilter lacks statistic", "modprobe"),
        ({"docker_rules_elsewhere": True}, Level.WARNING, "legacy tables", "update-alternatives"),
        ({"ip_forward": False}, Level.REPAIR, "IP forwarding", "net.ipv4.ip_forward=1"),
        ({"bridge_nf": False}, Level.REPAIR, "bridged packets", "bridge-nf-call-iptables=1"),
        ({"bridge_nf": None}, Level.REPAIR, "br_netfilter", "modprobe br_netfilter"),
        ({"busy_ports": {6443: "nginx (process 7)"}}, Level.FAILURE, "port 6443 is taken by nginx (process 7)", "stop"),
        (
            {"kube_chains": 9, "chains_are_ours": False, "foreign_programs": ["k3s (process 8)"]},
            Level.FAILURE,
            "another cluster's 9 KUBE chains are in iptables (k3s (process 8))",
            "left alone",
        ),
    ],
)
def test_names_what_is_missing_and_how_to_get_it(
    lacking: dict[str, object], level: Level, text: str, remedy: str
) -> None:
    finding = worst(**lacking)
    assert finding.level is level
    assert text in finding.text
    assert remedy in finding.remedy


def test_chains_of_an_earlier_cluster_of_ours_are_no_obstacle() -> None:
    assert worst(kube_chains=9, chains_are_ours=True).level is Level.OK


def test_without_root_nothing_else_is_said() -> None:
    assert len(judge(Facts(root=False))) == 1


def test_a_failure_comes_last_where_the_eye_falls() -> None:
    findings = judge(replace(WELL, ip_forward=False, busy_ports={10250: "x (process 1)"}))
    assert [finding.level for finding in findings][-2:] == [Level.REPAIR, Level.FAILURE]


def test_a_busy_port_is_found_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert set(busy_ports((port,))) == {port}
    assert busy_ports((port,)) == {}
