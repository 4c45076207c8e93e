"""Turn a container's resources into settings of its control group, as upstream does. Pure."""

from __future__ import annotations

from kubelet.model import podspec
from kubelet.model.runtime import ResourceLimits
from machinery import quantity
from machinery.objects import Object
from machinery.pods import qos_class

SHORTEST_QUOTA = 1000  # microseconds in each period of 100 ms
FEWEST_SHARES = 2


def limits(pod: Object, spec: podspec.Spec, node_memory: int) -> ResourceLimits:
    resources = spec.get("resources", {})
    most, asked = resources.get("limits", {}), resources.get("requests", {})
    cpu_limit = quantity.milli_value(most.get("cpu") or 0)
    cpu = quantity.milli_value(asked["cpu"]) if "cpu" in asked else cpu_limit
    memory = quantity.value(most.get("memory") or 0)
    request = quantity.value(asked["memory"]) if "memory" in asked else memory
    return ResourceLimits(
        cpu_shares=max(cpu * 1024 // 1000, FEWEST_SHARES),
        cpu_quota=max(cpu_limit * 100, SHORTEST_QUOTA) if cpu_limit else 0,
        memory=memory,
        oom_score_adj=oom_score_adj(qos_class(pod["spec"]), request, node_memory),
    )


def oom_score_adj(qos: str, memory_request: int, node_memory: int) -> int:
    """Return the oom_score_adj: the higher, the sooner the kernel kills the process when memory runs out.

    Upstream goes below zero for Guaranteed pods, which needs a right that not every kernel grants. Zero keeps the
    order.
    """
    if qos == "Guaranteed":
        return 0
    if qos == "BestEffort":
        return 1000
    share = 1000 - 1000 * memory_request // max(node_memory, 1)
    return min(max(share, 3), 999)
