"""Decide whether a pod tolerates the taints of a node, and for how long.

Upstream: k8s.io/component-helpers/scheduling/corev1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from machinery.objects import Object

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def tolerates(toleration: Object, taint: Object) -> bool:
    """Return True if the toleration covers the taint.

    An empty effect or key covers all, and the operator Exists covers any value.
    """
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(pod: Object, taints: Iterable[Object], effects: Iterable[str]) -> Object | None:
    """Return the first taint with one of these effects that the pod does not tolerate, None if there is none."""
    tolerations = pod["spec"].get("tolerations", ())
    wanted = set(effects)
    for taint in taints:
        if taint["effect"] in wanted and not any(tolerates(each, taint) for each in tolerations):
            return taint
    return None


def tolerated_seconds(pod: Object, taints: Iterable[Object]) -> float:
    """Return how long the pod may stay under these NoExecute taints: 0 if not at all, infinity if for ever."""
    shortest = math.inf
    for taint in taints:
        matching = [each for each in pod["spec"].get("tolerations", ()) if tolerates(each, taint)]
        if not matching:
            return 0
        # As upstream, only the first matching toleration counts.
        seconds = matching[0].get("tolerationSeconds")
        if seconds is not None:
            shortest = min(shortest, max(seconds, 0))
    return shortest


def same_taint(a: Object, b: Object) -> bool:
    """Return True if key and effect are equal; the value does not matter."""
    return bool(a["key"] == b["key"] and a["effect"] == b["effect"])
