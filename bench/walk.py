"""Measure the seconds of each step of the walk-through, on the cluster that a kubeconfig names.

The clock starts when ``kubectl`` is called, and stops when the kernel's rules or an answer through the VIP show the
result, which is what a person at the terminal waits for.
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
POLL_SECONDS = 0.01  # there is no event to wait for when the kernel's rules change; a result is late by half of this


@dataclass(frozen=True)
class MeasuredCluster:
    """How to reach a cluster: the ``kubectl`` binary, the kubeconfig's path; and the image of the echo app."""

    kubectl: str
    kubeconfig: str
    image: str

    def run(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output. Raises CalledProcessError."""
        command = [self.kubectl, "--kubeconfig", self.kubeconfig, *args]
        return subprocess.run(command, input=stdin, check=True, text=True, stdout=subprocess.PIPE).stdout


def manifests(image: str) -> str:
    """Return the article's namespace, ReplicationController and Service, as one JSON List."""
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
    """Return whether Docker has no container of the benchmark's pods, of any cluster."""
    client = docker.APIClient()
    try:
        return not client.containers(all=True, filters={"label": f"io.kubernetes.pod.namespace={NAMESPACE}"})
    finally:
        client.close()


def endpoints_in_rules() -> int:
    """Return how many endpoints the kernel's nat table has for the benchmark's Service."""
    return len(endpoint_rules())


def vip_answers() -> bool:
    """Return whether an HTTP request to the Service's VIP is answered now."""
    try:
        with urllib.request.urlopen(f"http://{VIP}/endpoint0", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def until(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as the condition holds. Raises TimeoutError, which names ``what`` was waited for."""
    deadline = time.monotonic() + STEP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not reached in {STEP_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def steps(cluster: MeasuredCluster) -> Iterator[tuple[str, float]]:
    """Play the walk-through once, yield (row, seconds) after each step, and delete everything at the end.

    It begins when Docker has removed the containers of the previous run, which would slow it down.
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


def replace_all_pods(cluster: MeasuredCluster) -> None:
    """Delete every pod of the app, and return when the endpoints in the rules are others than before."""
    before = endpoint_rules()
    cluster.run("-n", NAMESPACE, "delete", "pods", "--selector=app=sise", "--wait=false")
    until(lambda: endpoint_rules() != before, "the deleted pod leaves the rules")


def endpoint_rules() -> list[str]:
    """Return the rules of the benchmark's Service that translate to an endpoint."""
    rules = subprocess.run(["iptables-save", "-t", "nat"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return [line for line in rules.splitlines() if f"{NAMESPACE}/simpleservice" in line and "DNAT" in line]
