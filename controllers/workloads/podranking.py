"""Which pods go first when there are too many (upstream: ActivePodsWithRanks in pkg/controller).

Not scheduled < pending < unknown < running, not ready < ready, lower pod-deletion-cost, more ready siblings on
the same node, ready for a shorter time (on a scale of powers of two, so that the choice among pods of about the
same age does not always fall on the youngest), more restarts, created later.
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
    """The ``count`` pods that are missed least, in the order in which they should go."""
    if count >= len(pods):
        return list(pods)
    now = now or datetime.now(UTC)
    siblings = ready_per_node(pods)
    return sorted(pods, key=lambda pod: rank(pod, siblings, now))[:count]


def ready_per_node(pods: Iterable[Object]) -> Counter[str]:
    """How many ready pods each node has."""
    return Counter(pod["spec"].get("nodeName", "") for pod in pods if is_pod_ready(pod))


def rank(pod: Object, siblings: Counter[str], now: datetime) -> tuple[Any, ...]:
    """A sort key: the smaller, the sooner the pod goes. The uid decides between equals, so a retry chooses alike."""
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
    """The annotated cost, 0 where there is none or none that can be read."""
    text = annotations_of(pod).get(DELETION_COST, "")
    try:
        return int(text)
    except ValueError:
        return 0


def _ready_since(pod: Object) -> str | None:
    condition = get_condition(pod, "Ready")
    return condition.get("lastTransitionTime") if condition else None


def _magnitude(timestamp: str | None, now: datetime) -> int:
    """The age in powers of two of nanoseconds; no time at all counts as brand-new."""
    if not timestamp:
        return -1
    age = (now - parse_time(timestamp)).total_seconds() * 1e9
    return int(math.log2(age)) if age >= 1 else 0


def _restarts(pod: Object) -> int:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return max((status.get("restartCount", 0) for status in statuses), default=0)
