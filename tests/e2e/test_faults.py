"""Whatever is killed while the walk-through runs, the walk-through ends as the article says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.harness import VIP, Cluster, Kubectl, eventually, vip_answers

from cluster.settings import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "demo"))
import play
import transcript

PATIENCE = 60.0
# Before these commands the component is killed: while a pod comes, before the rules are looked at, while a second
# pod comes, while all goes.
MOMENTS = ("kubectl get pods", "iptables-save | grep simpleservice", "kubectl scale", "kubectl delete namespace naming")


@pytest.fixture
def old_path(kubectls: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl that exists on the PATH."""
    (tmp_path / "kubectl").symlink_to(kubectls.get("1.32") or next(iter(kubectls.values())))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize("victim", ["etcd", "apiserver", "controllers", "kubelet", "proxy"])
def test_the_walkthrough_survives_a_kill(cluster: Cluster, victim: str, old_path: None, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
    values: transcript.Values = {}
    for step in transcript.parse((REPOSITORY / "demo" / "walkthrough.txt").read_text()):
        if step.command.startswith(MOMENTS) and step.expected != ["..."]:
            kill(cluster, victim)
            if victim in ("etcd", "apiserver"):
                # A person whose command is refused types it again; what was half done would print other words.
                eventually(lambda: play.run("kubectl get --raw /readyz", kubeconfig) == "ok")
        patient = step._replace(seconds=max(step.seconds, PATIENCE)) if repeatable(step) else step
        command = transcript.fill(step.command, values)
        printed, matched = play.run_until_it_matches(patient, command, kubeconfig, values)
        assert matched is not None, f"$ {command}\n{transcript.difference(step, printed, values)}"
        values = matched
    eventually(lambda: cluster.run("status").returncode == 0)


def repeatable(step: transcript.Step) -> bool:
    """Prints the same words when it is typed again."""
    return not step.command.startswith(("kubectl apply", "kubectl delete"))


def kill(cluster: Cluster, victim: str) -> None:
    """kill -9, and the supervisor's new one has begun."""
    before = eventually(lambda: cluster.processes().get(victim))
    os.kill(before.pid, signal.SIGKILL)
    eventually(lambda: cluster.processes().get(victim, before) != before)


def rules() -> list[str]:
    saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    return [line for line in saved.splitlines() if "simpleservice" in line]


def test_a_killed_container_is_started_again(sise: Kubectl) -> None:
    import docker

    pod = sise.json("get", "pods", "--selector=app=sise")["items"][0]
    identifier = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("docker://")
    client = docker.from_env()
    client.containers.get(identifier).kill()
    client.close()
    name = pod["metadata"]["name"]
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}{.status.containerStatuses[0].ready}"
    eventually(lambda: sise("get", "pod", name, "--output", restarts) == "1true")
    eventually(vip_answers)


def test_flushed_rules_are_made_again(sise: Kubectl) -> None:
    before = eventually(lambda: rules() if len(rules()) == 4 else None)
    subprocess.run(["iptables", "-t", "nat", "-F"], check=True)
    eventually(lambda: rules() == before)
    eventually(vip_answers)


def test_a_vip_without_endpoints_is_refused_at_once(sise: Kubectl) -> None:
    sise("scale", "rc/sise", "--replicas=0")
    eventually(lambda: len(rules()) == 1)
    refused = subprocess.run(["curl", "-s", "-m", "2", VIP], check=False)
    assert refused.returncode == 7  # "failed to connect", not 28, "timed out"
    sise("scale", "rc/sise", "--replicas=1")
    eventually(vip_answers)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"image": "nobody.invalid/none:1"}, "ErrImagePull|ImagePullBackOff"),
        ({"image": "nobody.invalid/none:1", "imagePullPolicy": "Never"}, "ErrImageNeverPull"),
        ({"command": ["sh", "-c", "exit 3"]}, "CrashLoopBackOff"),
        ({"command": ["/no/such/program"]}, "RunContainerError|CrashLoopBackOff|StartError"),
    ],
)
def test_a_pod_that_cannot_run_says_why(kubectl: Kubectl, overrides: dict[str, object], reason: str) -> None:
    import json
    import re

    container = {"name": "c", "image": "mini-minishift/busybox:1", **overrides}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    kubectl("create", "--filename=-", stdin=json.dumps(pod))
    waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    eventually(lambda: re.fullmatch(reason, kubectl("get", "pod", "p", "--output", waiting)))


def test_a_pod_whose_probe_fails_is_no_endpoint(kubectl: Kubectl) -> None:
    import json

    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    container = {
        "name": "c",
        "image": "mini-minishift/busybox:1",
        "command": ["sleep", "1000"],
        "readinessProbe": probe,
        "livenessProbe": {**probe, "failureThreshold": 1},
    }
    meta = {"name": "p", "labels": {"app": "p"}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    kubectl("create", "--filename=-", stdin=json.dumps(pod))
    kubectl("expose", "pod", "p", "--port=80")
    not_ready = "jsonpath={.subsets[*].notReadyAddresses[*].targetRef.name}"
    eventually(lambda: kubectl("get", "endpoints", "p", "--output", not_ready) == "p")
    # The liveness probe fails as well, so the container is started again.
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}"
    eventually(lambda: int(kubectl("get", "pod", "p", "--output", restarts) or 0) >= 1)
