"""Find out whether a pod fits on a node, and how well (upstream: pkg/scheduler/framework/plugins).

The filters run in upstream's order. The first that fails names the reason, which becomes part of the
FailedScheduling event; so the reasons are worded as upstream's.
"""

from __future__ import annotations

from collections.abc import Callable

from controllers.scheduler.misfit import Misfit
from controllers.scheduler.nodeusage import NodeInfo
from machinery.nodeaffinity import matches_node_affinity, preferred_weight
from machinery.objects import Object, get_condition
from machinery.podrequests import Requests, amounts_of, insufficient, ports_collide
from machinery.quantity import value
from machinery.taints import NOT_READY, UNREACHABLE, UNSCHEDULABLE, same_taint, tolerates, untolerated

Filter = Callable[[Object, Requests, Object, NodeInfo], "Misfit | None"]


def unfit(pod: Object, requests: Requests, node: Object, usage: NodeInfo) -> Misfit | None:
    """Return the first reason why the pod does not fit on this node, None if it fits."""
    return next((misfit for check in FILTERS if (misfit := check(pod, requests, node, usage)) is not None), None)


def check_unschedulable(pod: Object, requests: Requests, node: Object, usage: NodeInfo) -> Misfit | None:
    """Refuse a cordoned node, unless the pod tolerates the taint that stands for cordoning."""
    if not node.get("spec", {}).get("unschedulable"):
        return None
    taint = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    if any(tolerates(each, taint) for each in pod["spec"].get("tolerations", ())):
        return None
    return Misfit(("node(s) were unschedulable",))


def check_taints(pod: Object, requests: Requests, node: Object, usage: NodeInfo) -> Misfit | None:
    """Refuse a node with a NoSchedule or NoExecute taint that the pod does not tolerate."""
    taint = untolerated(pod, effective_taints(node), ("NoSchedule", "NoExecute"))
    if taint is None:
        return None
    return Misfit((f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}",))


def effective_taints(node: Object) -> list[Object]:
    """Return the node's taints, with the taint of a node that is not Ready.

    The node lifecycle controller adds that taint a little later.
    """
    taints = list(node.get("spec", {}).get("taints", ()))
    ready = get_condition(node, "Ready")
    status = ready["status"] if ready else "False"
    if status != "True":
        implied = {"key": UNREACHABLE if status == "Unknown" else NOT_READY, "effect": "NoSchedule"}
        if not any(same_taint(each, implied) for each in taints):
            taints.append(implied)
    return taints


def check_affinity(pod: Object, requests: Requests, node: Object, usage: NodeInfo) -> Misfit | None:
    """Refuse a node that nodeSelector or the required node affinity does not match."""
    return None if matches_node_affinity(pod, node) else Misfit(("node(s) didn't match Pod's node affinity/selector",))


def check_ports(pod: Object, requests: Requests, node: Object, usage: NodeInfo) -> Misfit | None:
    """Refuse a node on which a host port of the pod is taken."""
    if any(ports_collide(wanted, used) for wanted in requests.ports for used in usage.ports):
        return Misfit(("node(s) didn't have free ports for the requested pod ports",), unresolvable=False)
    return None


def check_resources(pod: Object, requests: Requests, node: Object, usage: NodeInfo) -> Misfit | None:
    """Refuse a node without room for one more pod, or for one of the requested resources."""
    allocatable = node.get("status", {}).get("allocatable", {})
    reasons = []
    if len(usage.pods) + 1 > value(allocatable.get("pods", 0)):
        reasons.append("Too many pods")
    room = amounts_of({name: allocatable.get(name, "0") for name in requests.amounts})
    reasons += [f"Insufficient {name}" for name in insufficient(requests.amounts, usage.amounts, room)]
    return Misfit(tuple(reasons), unresolvable=False) if reasons else None


FILTERS: tuple[Filter, ...] = (check_unschedulable, check_taints, check_affinity, check_ports, check_resources)


def score(pod: Object, requests: Requests, node: Object, usage: NodeInfo) -> tuple[float, float, float]:
    """Return how well a pod fits on a node, as a tuple; the larger, the better.

    First counts the weight of preferred node affinity, then how few PreferNoSchedule taints the pod does not tolerate,
    then which share of cpu and memory would stay free.
    """
    taints = node.get("spec", {}).get("taints", ())
    intolerable = sum(untolerated(pod, [taint], ["PreferNoSchedule"]) is not None for taint in taints)
    allocatable = node.get("status", {}).get("allocatable", {})
    room = amounts_of({name: allocatable.get(name, "0") for name in ("cpu", "memory")})
    free = [
        max(room[name] - usage.score.get(name, 0) - requests.score.get(name, 0), 0) / room[name]
        for name in room
        if room[name]
    ]
    return preferred_weight(pod, node), -intolerable, sum(free) / len(free) if free else 0.0
