"""Decide which pods are deleted first if there are too many (upstream: ActivePodsWithRanks in pkg/controller).

The first of these criteria in which two pods differ decides; the pod that is named first is deleted first:

1. not bound to a node, before bound
2. phase Pending, before Unknown, before Running
3. not ready, before ready
4. lower ``controller.kubernetes.io/pod-deletion-cost``
5. on a node with more ready pods of the same owner
6. ready for a shorter time. Ages are compared by their power of two, so that among pods of about the same age it is
   not always the youngest that is deleted.
7. more restarts
8. created later (by powers of two as well)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from machinery.objects import Object, annotations_of, get_condition, is_pod_ready, parse_time

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def pods_to_delete(pods: Sequence[Object], count: int, now: datetime | None = None) -> list[Object]:
    """Return the ``count`` pods to delete, in the order in which to delete them."""
    if count >= len(pods):
        return list(pods)
    now = now or datetime.now(UTC)
    siblings = ready_per_node(pods)
    return sorted(pods, key=lambda pod: rank(pod, siblings, now))[:count]


def ready_per_node(pods: Iterable[Object]) -> Counter[str]:
    """Count the ready pods of each node."""
    return Counter(pod["spec"].get("nodeName", "") for pod in pods if is_pod_ready(pod))


def rank(pod: Object, siblings: Counter[str], now: datetime) -> tuple[Any, ...]:
    """Return the sort key of a pod; the smallest is deleted first. ``siblings`` is what ``ready_per_node`` returns.

    The uid decides between equal pods, so that a retry chooses the same ones.
    """
    node = pod["spec"].get("nodeName", "")
    ready = is_pod_ready(pod)
    return (
        bool(node),
        PHASE_ORDER.get(pod.get("status", {}).get("phase", "Pending"), 0),
        ready,
        deletion_cost(pod),
        -siblings[node],
        _magnitude(_ready_since(pod), now) if ready else 0,
        -_restarts(pod),
        _magnitude(pod["metadata"].get("creationTimestamp"), now),
        pod["metadata"].get("uid", ""),
    )


def deletion_cost(pod: Object) -> int:
    """Return the pod's annotated cost; 0 if there is none, or none that is a number."""
    text = annotations_of(pod).get(DELETION_COST, "")
    try:
        return int(text)
    except ValueError:
        return 0


def _ready_since(pod: Object) -> str | None:
    condition = get_condition(pod, "Ready")
    return condition.get("lastTransitionTime") if condition else None


def _magnitude(timestamp: str | None, now: datetime) -> int:
    """Return the exponent of the largest power of two of nanoseconds in an age; -1 if there is no timestamp."""
    if not timestamp:
        return -1
    age = (now - parse_time(timestamp)).total_seconds() * 1e9
    return int(math.log2(age)) if age >= 1 else 0


def _restarts(pod: Object) -> int:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return max((status.get("restartCount", 0) for status in statuses), default=0)
