"""The reasons why a pod does not fit on a node, and the message that sums them up, in upstream's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True)
class Misfit:
    """Why a pod does not fit on one node.

    ``unresolvable`` means that evicting other pods would not change that (upstream: UnschedulableAndUnresolvable).
    """

    reasons: tuple[str, ...]
    unresolvable: bool = True


def explain(misfits: Mapping[str, Misfit], ineligible: str = "", *, preempts: bool = False) -> str:
    """Return upstream's FitError: on how many nodes the pod does not fit for which reason.

    Unless the pod preempts others, the message also says why preemption does not help. ``ineligible`` is the reason why
    the pod must not preempt, "" if it may.
    """
    total = len(misfits)
    if not total:
        return "no nodes available to schedule pods"
    message = _histogram(total, (reason for misfit in misfits.values() for reason in misfit.reasons))
    if preempts:
        return message
    if ineligible:
        return f"{message} preemption: {ineligible}"
    hopes = (NOT_HELPFUL if misfit.unresolvable else NO_VICTIMS for misfit in misfits.values())
    return f"{message} preemption: {_histogram(total, hopes)}"


def _histogram(total: int, reasons: Iterable[str]) -> str:
    counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return f"0/{total} nodes are available: {', '.join(counted)}."
