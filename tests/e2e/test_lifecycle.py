"""up, stop, status and down: the same cluster comes back, and nothing is left in the end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from e2e.harness import Cluster, Kubectl, eventually, vip_answers

from cluster import lock, processes, record
from cluster.docker import Engine
from cluster.settings import CLUSTER_LABEL, State


def containers(cluster: Cluster) -> set[str]:
    """The running ones of this very cluster."""
    known = record.load(cluster.state)
    assert known is not None
    return {found["Id"] for found in Engine().containers(f"{CLUSTER_LABEL}={known.id}", running_only=True)}


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def uids(kubectl: Kubectl) -> dict[str, str]:
    listed = kubectl.json("get", "pods,services,replicationcontrollers")
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["uid"] for item in listed["items"]}


def test_a_second_up_changes_nothing(cluster: Cluster, sise: Kubectl) -> None:
    # Pods of the tests before may still be on their way out; the sandbox and the container of sise's pod remain.
    eventually(lambda: len(containers(cluster)) == 2)
    before = cluster.processes(), containers(cluster), uids(sise), Path(os.environ["KUBECONFIG"]).read_text()
    cluster.must("up")
    assert (cluster.processes(), containers(cluster), uids(sise), Path(os.environ["KUBECONFIG"]).read_text()) == before


def test_status_is_zero_only_when_all_is_well(cluster: Cluster) -> None:
    text = cluster.must("status")
    assert "mini-Minishift is well" in text
    assert all(name in text for name in ("etcd", "apiserver", "controllers", "kubelet", "proxy", "v1.32", " MB in all"))
    kubelet = cluster.processes()["kubelet"]
    os.kill(kubelet.pid, signal.SIGSTOP)
    try:
        result = cluster.run("status")
        assert result.returncode == 1
        assert "make logs C=kubelet" in result.stdout
    finally:
        os.kill(kubelet.pid, signal.SIGCONT)


def test_stop_keeps_the_objects_and_up_brings_back_the_pods(cluster: Cluster, sise: Kubectl) -> None:
    before = uids(sise)
    cluster.must("stop")
    assert str(cluster.state.root) not in processes.marked().values()
    assert containers(cluster) == set()
    assert cluster.run("status").returncode == 3
    cluster.must("up")
    eventually(vip_answers)
    assert uids(sise) == before


def test_after_a_killed_supervisor_up_finds_the_pods_untouched(cluster: Cluster, sise: Kubectl) -> None:
    before = containers(cluster), uids(sise)
    holder = lock.holder()
    assert holder is not None
    orphans = list(cluster.processes().values())
    os.kill(holder.supervisor.pid, signal.SIGKILL)
    for orphan in orphans:
        assert processes.wait_gone(orphan, 15)
    cluster.must("up")
    eventually(vip_answers)
    assert (containers(cluster), uids(sise)) == before


def test_a_second_cluster_is_refused_while_one_runs(cluster: Cluster, tmp_path: Path) -> None:
    result = Cluster(State(tmp_path)).run("up")
    assert result.returncode == 1
    assert str(cluster.state.root) in result.stderr


def test_leftovers_of_a_killed_cluster_in_another_clone_are_cleared(
    cluster: Cluster, sise: Kubectl, tmp_path: Path
) -> None:
    holder = lock.holder()
    assert holder is not None
    os.kill(holder.supervisor.pid, signal.SIGKILL)
    assert processes.wait_gone(holder.supervisor, 10)
    left = containers(cluster)
    other = Cluster(State(tmp_path / "other"))
    try:
        other.must("up")
        assert left and not containers(cluster)
        assert "simpleservice" not in output("iptables-save")
        assert Kubectl(sise.path, other.kubeconfig)("get", "namespaces").find("namingthings") == -1
    finally:
        other.must("down", "--keep-images")
    cluster.must("up")
    eventually(vip_answers)


def test_down_leaves_nothing(cluster: Cluster, sise: Kubectl) -> None:
    known = record.load(cluster.state)
    assert known is not None
    cluster.must("down")
    assert "KUBE-" not in output("iptables-save")
    assert Engine().containers(f"{CLUSTER_LABEL}={known.id}") == []
    assert "172.30." not in output("ip", "route")
    assert "kube-" not in output("ip", "link")
    assert str(cluster.state.root) not in processes.marked().values()
    assert str(cluster.state.root) not in Path("/proc/self/mountinfo").read_text()
    assert not cluster.state.root.exists()
    assert not Path(os.environ["KUBECONFIG"]).exists()
    assert Engine().image_labels("mini-minishift/sise:0.4.0") is None
    cluster.must("down")  # and once more, with nothing there


def test_another_clusters_chains_are_named_and_left_alone(home: Cluster) -> None:
    home.must("down", "--keep-images")
    subprocess.run(["iptables", "-t", "nat", "-N", "KUBE-SERVICES"], check=True)
    try:
        result = home.run("up")
        assert result.returncode == 1
        assert "another cluster's 1 KUBE chains" in result.stderr
        assert ":KUBE-SERVICES" in output("iptables-save", "-t", "nat")
    finally:
        subprocess.run(["iptables", "-t", "nat", "-X", "KUBE-SERVICES"], check=True)
