"""Times the steps of the walk-through against whatever cluster a kubeconfig names.

The clock starts when ``kubectl`` is called and stops when the kernel's rules, or an answer through the
VIP, show the result: what a person at the terminal would wait for.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import docker

NAMESPACE = "mini-bench"
VIP = "172.30.40.156"
STEP_SECONDS = 90.0  # a step slower than this has failed
LOOK_SECONDS = 0.01  # between two looks at the kernel's rules, which cannot be waited for


@dataclass(frozen=True)
class Cluster:
    """Where and how to reach a cluster: ``kubectl`` binary, kubeconfig path, and the image of the echo app."""

    kubectl: str
    kubeconfig: str
    image: str

    def run(self, *args: str, stdin: str | None = None) -> str:
        """Runs kubectl and returns its output; raises CalledProcessError when it fails."""
        command = [self.kubectl, "--kubeconfig", self.kubeconfig, *args]
        return subprocess.run(command, input=stdin, check=True, text=True, stdout=subprocess.PIPE).stdout


def manifests(image: str) -> str:
    """The namespace, ReplicationController and Service of the article, as one JSON list."""
    labels = {"app": "sise"}
    container = {"name": "sise", "image": image, "imagePullPolicy": "IfNotPresent", "ports": [{"containerPort": 9876}]}
    pod_spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "metadata": {"name": "sise", "namespace": NAMESPACE},
            "spec": {"replicas": 1, "selector": labels, "template": {"metadata": {"labels": labels}, "spec": pod_spec}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "simpleservice", "namespace": NAMESPACE},
            "spec": {"clusterIP": VIP, "selector": labels, "ports": [{"port": 80, "targetPort": 9876}]},
        },
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def nothing_left() -> bool:
    """Whether no container of the benchmark's pods is left, of whichever cluster."""
    client = docker.APIClient()
    try:
        return not client.containers(all=True, filters={"label": f"io.kubernetes.pod.namespace={NAMESPACE}"})
    finally:
        client.close()


def endpoints_in_rules() -> int:
    """How many endpoints the kernel's nat table holds for the benchmark's Service."""
    rules = subprocess.run(["iptables-save", "-t", "nat"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return sum(
        "KUBE-SEP" in line and f"{NAMESPACE}/simpleservice" in line and "DNAT" in line for line in rules.splitlines()
    )


def vip_answers() -> bool:
    """Whether the Service's VIP serves a page now."""
    try:
        with urllib.request.urlopen(f"http://{VIP}/endpoint0", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def until(condition: Callable[[], bool], what: str) -> None:
    """Returns as soon as the condition holds; raises TimeoutError naming what was waited for."""
    deadline = time.monotonic() + STEP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not reached in {STEP_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def steps(cluster: Cluster) -> Iterator[tuple[str, float]]:
    """Plays the walk-through once and yields (row, seconds) as each step ends; leaves nothing behind.

    It begins when Docker has removed the containers of the time before.
    """
    until(nothing_left, "the containers of an earlier run are removed")

    def timed(row: str, act: Callable[[], object], seen: Callable[[], bool]) -> tuple[str, float]:
        start = time.monotonic()
        act()
        until(seen, row)
        return row, time.monotonic() - start

    def scale(replicas: int) -> Callable[[], object]:
        return lambda: cluster.run("-n", NAMESPACE, "scale", f"--replicas={replicas}", "rc/sise")

    yield timed("vip", lambda: cluster.run("apply", "-f", "-", stdin=manifests(cluster.image)), vip_answers)
    yield timed("scale-2", scale(2), lambda: endpoints_in_rules() == 2)
    yield timed("scale-10", scale(10), lambda: endpoints_in_rules() == 10)
    yield timed("scale-1", scale(1), lambda: endpoints_in_rules() == 1)
    yield timed("heal", lambda: replace_all_pods(cluster), vip_answers)
    yield timed("namespace", lambda: cluster.run("delete", "namespace", NAMESPACE), lambda: True)


def replace_all_pods(cluster: Cluster) -> None:
    """Deletes every pod of the app and returns once the old endpoint has left the rules, or a new one came."""
    before = rule_targets()
    cluster.run("-n", NAMESPACE, "delete", "pods", "--selector=app=sise", "--wait=false")
    until(lambda: rule_targets() != before, "the deleted pod leaves the rules")


def rule_targets() -> list[str]:
    """The DNAT rules of the benchmark's Service."""
    rules = subprocess.run(["iptables-save", "-t", "nat"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return [line for line in rules.splitlines() if f"{NAMESPACE}/simpleservice" in line and "DNAT" in line]
