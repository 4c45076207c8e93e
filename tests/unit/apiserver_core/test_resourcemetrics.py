"""What nodes and pods use: two readings, and what becomes of them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from apiserver.api import tables
from apiserver.kinds.resourcemetrics import NODE_METRICS, POD_METRICS
from apiserver.streaming.backend import BackendError
from apiserver.streaming.resourcemetrics import (
    NODE,
    WINDOW,
    Kubelets,
    NodeMetricsSource,
    PodMetricsSource,
    UsageRate,
    UsageSample,
    parse,
    rates,
)
from machinery.errors import NotFound

TEXT = """\
# HELP container_cpu_usage_seconds_total [STABLE] Processor time so far, in seconds.
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="a",pod="p"} 4.5 1700000000250
container_cpu_usage_seconds_total{container="side",namespace="a",pod="p"} 1e-05 1700000000250
container_memory_working_set_bytes{container="main",namespace="a",pod="p"} 1048576 1700000000250
container_start_time_seconds{container="main",namespace="a",pod="p"} 1699999000
node_cpu_usage_seconds_total 100 1700000000500
node_memory_working_set_bytes 2.5e+09 1700000000500
pod_cpu_usage_seconds_total{namespace="a",pod="p"} 4.5 1700000000250
resource_scrape_error 0
"""


def test_parse() -> None:
    assert parse(TEXT) == {
        ("a", "p", "main"): UsageSample(1700000000.25, 4.5, 1048576, 1699999000),
        NODE: UsageSample(1700000000.5, 100, 2.5e9, 0),
    }
    assert parse("") == {}


def test_rates() -> None:
    before = {
        NODE: UsageSample(10, 5, 1, 0),
        ("a", "p", "c"): UsageSample(10, 2, 1, 7),
        ("a", "q", "c"): UsageSample(10, 2, 1, 7),
    }
    after = {
        NODE: UsageSample(14, 7, 3, 0),
        ("a", "p", "c"): UsageSample(12, 1, 1, 11),  # started again
        ("a", "q", "c"): UsageSample(10, 2, 1, 7),  # no time has passed
        ("a", "new", "c"): UsageSample(14, 1, 1, 13),
    }
    assert rates(before, after) == {NODE: UsageRate(0.5, 3, 14, 4)}


class Cluster:
    """Two nodes with a pod each, as the reader shows them, and kubelets that tell what they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.slept = 0.0
        self.dead: set[str] = set()
        self.extra = ""
        self.nodes = {name: {"metadata": {"name": name, "labels": {"zone": name}}} for name in ("n1", "n2")}
        self.pods = [self.pod("web", "n1"), self.pod("db", "n2"), self.pod("done", "n1", "Succeeded")]
        self.usage = Kubelets(cast(Any, self), self.ask, sleep=self.sleep, clock=lambda: self.now)

    def pod(self, name: str, node: str, phase: str = "Running") -> dict[str, Any]:
        metadata = {"name": name, "namespace": "a", "labels": {"app": name}}
        return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}}

    def get(self, kind: Any, namespace: str, name: str, *, consistent: bool = False) -> Any:
        if kind.plural == "nodes":
            return self.nodes.get(name)
        return next((pod for pod in self.pods if pod["metadata"]["name"] == name), None)

    def list(self, kind: Any, namespace: str = "", *, consistent: bool = False) -> Any:
        return list(self.nodes.values()) if kind.plural == "nodes" else self.pods

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += seconds

    def ask(self, node: Any) -> str:
        """Half a processor for the node, a quarter for the pod's main container."""
        name = node["metadata"]["name"]
        self.asked.append(name)
        if name in self.dead:
            raise BackendError("dial tcp: connect: connection refused")
        pod = {"n1": "web", "n2": "db"}[name]
        at = round(self.now * 1000)
        labels = f'{{container="main",namespace="a",pod="{pod}"}}'
        return (
            f"node_cpu_usage_seconds_total {self.now / 2} {at}\nnode_memory_working_set_bytes 2147483648 {at}\n"
            f"container_cpu_usage_seconds_total{labels} {self.now / 4} {at}\n"
            f"container_memory_working_set_bytes{labels} 5242880 {at}\n{self.extra}"
        )


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_nodes(cluster: Cluster) -> None:
    found = NodeMetricsSource(cluster.usage).list("")
    assert [node["metadata"]["name"] for node in found] == ["n1", "n2"]
    del found[0]["metadata"]["creationTimestamp"]
    assert found[0] == {
        "kind": "NodeMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "n1", "labels": {"zone": "n1"}},
        "timestamp": found[0]["timestamp"],
        "window": found[0]["window"],
        "usage": {"cpu": "500m", "memory": "2Gi"},
    }
    assert found[0]["window"] == "800ms"


def test_pods(cluster: Cluster) -> None:
    found = PodMetricsSource(cluster.usage).get("a", "web")
    assert cluster.asked == ["n1", "n1"], "no other kubelet is asked"
    assert found["metadata"] | {"creationTimestamp": ""} == {
        "name": "web", "namespace": "a", "labels": {"app": "web"}, "creationTimestamp": "",
    }  # fmt: skip
    assert found["containers"] == [{"name": "main", "usage": {"cpu": "250m", "memory": "5Mi"}}]
    assert [pod["metadata"]["name"] for pod in PodMetricsSource(cluster.usage).list("a")] == ["web", "db"]


def test_a_question_soon_after_another_need_not_wait(cluster: Cluster) -> None:
    metrics = PodMetricsSource(cluster.usage)
    metrics.get("a", "web")
    assert cluster.slept == WINDOW
    cluster.now += 7
    assert metrics.get("a", "web")["window"] == "7s"
    cluster.now += 0.5  # too soon after the last: the one before serves
    assert metrics.get("a", "web")["window"] == "7.5s"
    assert cluster.slept == WINDOW
    cluster.now += 100
    assert metrics.get("a", "web")["window"] == "800ms", "too long ago"
    assert cluster.slept == 2 * WINDOW


def test_a_container_that_is_new_since_makes_for_a_new_measurement(cluster: Cluster) -> None:
    metrics = PodMetricsSource(cluster.usage)
    metrics.get("a", "web")
    cluster.now += 5
    side = '{container="side",namespace="a",pod="web"}'
    cluster.extra = (
        f"container_cpu_usage_seconds_total{side} 1 {cluster.now * 1000:.0f}\n"
        f"container_memory_working_set_bytes{side} 100000 1\n"
    )
    found = metrics.get("a", "web")
    assert (cluster.slept, found["window"]) == (2 * WINDOW, "800ms")
    assert [container["name"] for container in found["containers"]] == ["main"], "its clock stood still"


def test_what_cannot_be_told(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.dead = {"n2"}
    assert [node["metadata"]["name"] for node in NodeMetricsSource(cluster.usage).list("")] == ["n1"]
    assert [pod["metadata"]["name"] for pod in PodMetricsSource(cluster.usage).list("")] == ["web"]
    assert "node n2 does not tell what it uses: dial tcp: connect: connection refused" in caplog.text
    for source, namespace, name, message in (
        (NodeMetricsSource(cluster.usage), "", "n2", 'nodemetrics.metrics.k8s.io "n2" not found'),
        (NodeMetricsSource(cluster.usage), "", "n3", 'nodes "n3" not found'),
        (PodMetricsSource(cluster.usage), "a", "db", 'podmetrics.metrics.k8s.io "a/db" not found'),
        (PodMetricsSource(cluster.usage), "a", "done", 'podmetrics.metrics.k8s.io "a/done" not found'),
        (PodMetricsSource(cluster.usage), "a", "x", 'pods "x" not found'),
    ):
        with pytest.raises(NotFound, match=f"^{message}$"):
            source.get(namespace, name)


def test_columns(cluster: Cluster) -> None:
    pod = PodMetricsSource(cluster.usage).get("a", "web")
    pod["containers"].append({"name": "side", "usage": {"cpu": "1500u", "memory": "512Ki"}})
    table = tables.render(POD_METRICS, [pod], {})
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert table["rows"][0]["cells"] == ["web", "251500u", "5632Ki", "800ms"]
    node = NodeMetricsSource(cluster.usage).get("", "n1")
    assert tables.render(NODE_METRICS, [node], {})["rows"][0]["cells"][:3] == ["n1", "500m", "2Gi"]
