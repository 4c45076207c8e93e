"""What a running cluster shows of itself: kubectl top, every component's metrics, requests in the log."""

from __future__ import annotations

import re
import urllib.request

from e2e.harness import Cluster, Kubectl, eventually
from prometheus_client.parser import text_string_to_metric_families

from cluster.settings import CONTROLLERS_HEALTH_PORT, KUBELET_HEALTH_PORT, PROXY_HEALTH_PORT


def metrics(text: str) -> dict[str, float]:
    """Name → the sum of its samples."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_top(kubectl: Kubectl, sise: Kubectl) -> None:
    rows = kubectl("top", "nodes", "--no-headers").split()
    assert re.fullmatch(r"\d+m", rows[1]) and re.fullmatch(r"\d+%", rows[2]) and re.fullmatch(r"\d+Mi", rows[3])
    shown = kubectl("top", "pods", "-n", "namingthings", "--containers", "--no-headers").split()
    assert shown[0].startswith("sise-") and shown[1] == "sise"
    assert re.fullmatch(r"\d+m", shown[2]) and re.fullmatch(r"[1-9]\d*Mi", shown[3])


def test_metrics_of_every_component(newest: Kubectl, sise: Kubectl) -> None:
    server = metrics(newest("get", "--raw", "/metrics"))
    assert server["apiserver_request_total"] > 10
    assert server["apiserver_longrunning_requests"] > 10  # the components' watches

    def component(port: int) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return metrics(answer.read().decode())

    for port in (CONTROLLERS_HEALTH_PORT, KUBELET_HEALTH_PORT, PROXY_HEALTH_PORT):
        found = component(port)
        assert found["rest_client_requests_total"] > 0
        assert found["process_resident_memory_bytes"] > 1e6
    controllers = component(CONTROLLERS_HEALTH_PORT)
    assert controllers["scheduler_schedule_attempts_total"] > 0
    assert controllers["workqueue_adds_total"] >= controllers["workqueue_work_duration_seconds_count"] > 0
    assert component(PROXY_HEALTH_PORT)["kubeproxy_sync_proxy_rules_duration_seconds_count"] > 0
    kubelet = component(KUBELET_HEALTH_PORT)
    assert (kubelet["kubelet_running_pods"], kubelet["kubelet_running_containers"]) >= (1, 1)
    node = newest("get", "nodes", "--output=name").strip().removeprefix("node/")
    assert metrics(newest("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics"))["kubelet_running_pods"] >= 1


def test_requests_are_shown_while_one_wants_to_see_them(cluster: Cluster, newest: Kubectl) -> None:
    def log(*words: str) -> str:
        return cluster.must("logs", "apiserver", "--no-follow", "--lines=500", *words)

    log("--verbosity=3")
    newest("get", "configmaps", "--namespace=kube-public")
    eventually(lambda: "GET /api/v1/namespaces/kube-public/configmaps?limit=500 200, " in log())
    line = next(line for line in log().splitlines() if "kube-public/configmaps?limit=500 200" in line)
    assert re.search(r"\d ms, \d+ B, for admin with kubectl/v1\.\d+", line)
    log("--verbosity=0")
