"""The condition of a PodDisruptionBudget, which evictions and the disruption controller both keep.

Upstream: component-helpers, pkg/apis/policy/v1 (pdbhelper).
"""

from __future__ import annotations

from machinery.objects import Object, set_condition

DISRUPTION_ALLOWED = "DisruptionAllowed"
SUFFICIENT, INSUFFICIENT, SYNC_FAILED = "SufficientPods", "InsufficientPods", "SyncFailed"


def set_disruption_allowed(budget: Object) -> None:
    """Make the condition DisruptionAllowed agree with ``status.disruptionsAllowed``, in place."""
    status = budget["status"]
    allowed = status.get("disruptionsAllowed", 0) > 0
    set_condition(
        budget,
        DISRUPTION_ALLOWED,
        "True" if allowed else "False",
        SUFFICIENT if allowed else INSUFFICIENT,
        observedGeneration=status.get("observedGeneration", 0),
    )
