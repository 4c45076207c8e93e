"""Why a node will not do for a pod, in upstream's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NO_HELP = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True)
class Misfit:
    """The objections of one node.

    ``helpless``: evicting other pods would not change it (upstream: UnschedulableAndUnresolvable).
    """

    reasons: tuple[str, ...]
    helpless: bool = True


def explain(misfits: Mapping[str, Misfit], ineligible: str = "", *, preempts: bool = False) -> str:
    """Upstream's FitError: how many nodes object for which reason, and why evicting pods will not help, unless it does.

    ``ineligible`` says that the pod may not have others evicted.
    """
    total = len(misfits)
    if not total:
        return "no nodes available to schedule pods"
    message = _histogram(total, (reason for misfit in misfits.values() for reason in misfit.reasons))
    if preempts:
        return message
    if ineligible:
        return f"{message} preemption: {ineligible}"
    hopes = (NO_HELP if misfit.helpless else NO_VICTIMS for misfit in misfits.values())
    return f"{message} preemption: {_histogram(total, hopes)}"


def _histogram(total: int, reasons: Iterable[str]) -> str:
    counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return f"0/{total} nodes are available: {', '.join(counted)}."
