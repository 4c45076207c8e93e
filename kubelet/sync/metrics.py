"""What ``/metrics`` tells of the kubelet, under upstream's names (pkg/kubelet/metrics)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from kubelet.model.runtime import RuntimeContainer
from machinery.metrics import METRICS, Sample

SYNCS = METRICS.histogram(
    "kubelet_pod_worker_duration_seconds", "[ALPHA] How long a look at one pod took.", ("operation_type",)
)


def show(node: str, containers: Callable[[], Iterable[RuntimeContainer]]) -> None:
    """Add what is looked up when somebody asks; ``containers`` are all that the pods have."""

    def running_pods() -> Iterator[Sample]:
        yield Sample((), sum(found.sandbox and found.running for found in containers()))

    def states() -> Iterator[Sample]:
        counted = Counter(found.state for found in containers() if not found.sandbox)
        return (Sample((state,), count) for state, count in sorted(counted.items()))

    METRICS.read("kubelet_running_pods", "gauge", "[ALPHA] Pods with a running sandbox.", (), running_pods)
    METRICS.read("kubelet_running_containers", "gauge", "[ALPHA] Containers, by state.", ("container_state",), states)
    METRICS.read("kubelet_node_name", "gauge", "[ALPHA] The node.", ("node",), lambda: [Sample((node,), 1)])
