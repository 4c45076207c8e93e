"""kubectl top, with both kubectls, on the statistics of real containers; and what a kubelet's own metrics say."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from integration.streaming.conftest import Api, Host, Kubectl
from prometheus_client.parser import text_string_to_metric_families

from apiserver.streaming.resourcemetrics import WINDOW
from kubelet.sync.metrics import SYNCS
from machinery.objects import Object

pytestmark = pytest.mark.docker

GROUP = "/apis/metrics.k8s.io/v1beta1"
BUSY = ["sh", "-c", "while :; do :; done"]


@pytest.fixture(scope="module")
def busy(host: Host, api: Api) -> Iterator[str]:
    """A pod of two containers, of which one computes without end: until these tests have ended."""
    host.start("busy", BUSY)
    pod = host.start("busy", ["sleep", "infinity"], container="idle")
    pod["metadata"]["labels"] = {"app": "busy"}
    api.add_pod(pod)
    yield "busy"
    host.remove("busy")
    api.request("DELETE", "/api/v1/namespaces/default/pods/busy?gracePeriodSeconds=0")


def lines(done: Any) -> list[list[str]]:
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    return [line.split() for line in done.stdout.decode().splitlines()]


def test_top_pods(kubectl: Kubectl, busy: str) -> None:
    head, row = lines(kubectl.run("top", "pods", "-l", "app=busy"))
    assert head == ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert row[0] == busy
    # Others want the machine's processors too.
    assert 50 < int(row[1].removesuffix("m")) <= 1100
    assert re.fullmatch(r"\d+Mi", row[2])
    assert lines(kubectl.run("top", "pod", busy))[1][0] == busy
    assert [busy] == [
        row[1] for row in lines(kubectl.run("top", "pods", "-A")) if row[0] == "default" and row[1] == busy
    ]


def test_top_pods_by_container(kubectl: Kubectl, busy: str) -> None:
    head, *rows = lines(kubectl.run("top", "pod", busy, "--containers"))
    assert head == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    used = {name: int(cpu.removesuffix("m")) for pod, name, cpu, _ in rows if pod == busy}
    assert used.keys() == {"main", "idle"}
    assert used["idle"] < 20 < used["main"]


def test_top_nodes(kubectl: Kubectl, busy: str) -> None:
    head, *rows = lines(kubectl.run("top", "nodes"))
    row = next(row for row in rows if row[0] == "streaming-node")
    # The columns of percents have brackets since kubectl 1.33.
    assert [word.replace("(%)", "%") for word in head] == ["NAME", "CPU(cores)", "CPU%", "MEMORY(bytes)", "MEMORY%"]
    assert int(row[1].removesuffix("m")) > 50
    assert re.fullmatch(r"\d+%", row[2]) and re.fullmatch(r"\d+Mi", row[3]) and re.fullmatch(r"\d+%", row[4])


def test_what_cannot_be_told(kubectl: Kubectl, api: Api, busy: str) -> None:
    assert kubectl.run("top", "pod", "nobody").stderr == b'Error from server (NotFound): pods "nobody" not found\n'
    node: Object = {
        "metadata": {"name": "dead"},
        "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
    }
    node["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 1}}
    node["status"]["allocatable"] = {"cpu": "1", "memory": "1Gi"}
    try:
        created = json.loads(api.request("POST", "/api/v1/nodes", node)[1])
        assert api.request("PUT", "/api/v1/nodes/dead/status", created | {"status": node["status"]})[0] == 200
        rows = lines(kubectl.run("top", "nodes"))
        assert "streaming-node" in [row[0] for row in rows], "one dead node hides no other"
        if kubectl.generation != "1.20":  # which leaves it out
            assert ["dead", "<unknown>", "<unknown>", "<unknown>", "<unknown>"] in rows
        alone = kubectl.run("top", "node", "dead")
        assert b'nodemetrics.metrics.k8s.io "dead" not found' in alone.stderr
    finally:
        api.request("DELETE", "/api/v1/nodes/dead")


def test_the_api(kubectl: Kubectl, api: Api, busy: str) -> None:
    def get(path: str) -> Any:
        code, text = api.request("GET", path)
        assert code == 200, text
        return json.loads(text)

    resources = get(GROUP)["resources"]
    assert [(r["name"], r["kind"], r["namespaced"], r["verbs"]) for r in resources] == [
        ("nodes", "NodeMetrics", False, ["get", "list"]),
        ("pods", "PodMetrics", True, ["get", "list"]),
    ]
    found = get(f"{GROUP}/pods?labelSelector=app%3Dbusy")
    assert (found["kind"], found["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    [pod] = found["items"]
    assert pod["metadata"]["labels"] == {"app": "busy"}
    assert re.fullmatch(r"[\d.]+m?s", pod["window"])
    assert get(f"{GROUP}/namespaces/default/pods?fieldSelector=metadata.name%3Dno")["items"] == []
    assert "streaming-node" in [node["metadata"]["name"] for node in get(f"{GROUP}/nodes")["items"]]
    assert api.request("GET", f"{GROUP}/pods?watch=1")[0] == 405
    assert api.request("DELETE", f"{GROUP}/nodes/streaming-node")[0] == 405
    table = lines(kubectl.run("get", "pods.metrics.k8s.io", busy))
    assert table[0] == ["NAME", "CPU", "MEMORY", "WINDOW"]
    if kubectl.generation != "1.20":  # which looks for a Node in this group
        explained = kubectl.run("explain", "nodes.usage", "--api-version=metrics.k8s.io/v1beta1")
        assert b"How much is used of each resource" in explained.stdout


def test_a_second_question_does_not_wait(api: Api, busy: str) -> None:
    api.request("GET", f"{GROUP}/namespaces/default/pods/{busy}")
    time.sleep(WINDOW)  # what must pass between two readings
    started = time.monotonic()
    code, _ = api.request("GET", f"{GROUP}/namespaces/default/pods/{busy}")
    assert code == 200
    assert time.monotonic() - started < 0.9 * WINDOW


def test_a_kubelets_metrics(api: Api, busy: str) -> None:
    code, text = api.request("GET", "/api/v1/nodes/streaming-node/proxy/metrics/resource")
    assert code == 200
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    cpu: dict[str, Any] = {
        s.labels["container"]: s for s in families["container_cpu_usage_seconds"].samples if s.labels["pod"] == busy
    }
    assert cpu["main"].value > cpu["idle"].value
    assert abs(cpu["main"].timestamp - time.time()) < 10
    for name in ("node_cpu_usage_seconds", "node_memory_working_set_bytes", "pod_memory_working_set_bytes"):
        assert families[name].samples[0].value > 0
    code, text = api.request("GET", "/api/v1/nodes/streaming-node/proxy/metrics/cadvisor")
    assert code == 200
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    mine = [s for s in families["container_cpu_usage_seconds"].samples if s.labels["pod"] == busy]
    assert {(s.labels["namespace"], s.labels["container"]) for s in mine} == {("default", "main"), ("default", "idle")}
    assert families["machine_memory_bytes"].samples[0].value > 1e8
    SYNCS.observe(0.1, ("sync",))  # as a kubelet with pods does; this one runs in the test's process
    code, text = api.request("GET", "/api/v1/nodes/streaming-node/proxy/metrics")
    assert code == 200
    assert b'kubelet_pod_worker_duration_seconds_count{operation_type="sync"}' in text
