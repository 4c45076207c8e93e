"""Makes room for an important pod: which less important ones have to go, and on which node.

Upstream: pkg/scheduler/framework/preemption and plugins/defaultpreemption. Budgets do not exist here, so none is
disrupted. All of this decides only; the scheduler acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from controllers.scheduler.misfit import Misfit
from controllers.scheduler.nodeusage import NodeUsage, Placement, priority_of
from machinery.objects import Object

NEVER = "not eligible due to preemptionPolicy=Never."
WAITS = "not eligible due to a terminating pod on the nominated node."
# Makes every priority positive, so that of two sums the one with fewer pods tends to be the smaller.
_OFFSET = 2**31
# Whether the pod fits on a node on which these are.
Fits = Callable[[Object, Sequence[Placement]], bool]


class Candidate(NamedTuple):
    """A node, and who has to leave it, the most important first."""

    node: str
    victims: tuple[Object, ...]


def ineligible(pod: Object, usage: NodeUsage) -> str:
    """Why a pod may not preempt others now; empty when it may."""
    if pod["spec"].get("preemptionPolicy") == "Never":
        return NEVER
    return WAITS if usage.awaits_victims(pod) else ""


def choose(
    pod: Object, nodes: Iterable[Object], misfits: Mapping[str, Misfit], usage: NodeUsage, fits: Fits
) -> Candidate | None:
    """The node on which preempting costs least; None when it helps nowhere."""
    found: list[Candidate] = []
    for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
        name = node["metadata"]["name"]
        if name in misfits and not misfits[name].helpless:
            victims = victims_on(pod, node, usage, fits)
            if victims:
                found.append(Candidate(name, victims))
    return min(found, key=_cost, default=None)


def victims_on(pod: Object, node: Object, usage: NodeUsage, fits: Fits) -> tuple[Object, ...]:
    """The fewest that must leave this node, and the least important: all could go, and then as many stay as fit."""
    there, nominated = usage.placements(node["metadata"]["name"], pod)
    lesser = [placement for placement in there if priority_of(placement.pod) < priority_of(pod)]
    staying = [*nominated, *(placement for placement in there if placement not in lesser)]
    if not lesser or not fits(node, staying):
        return ()
    victims: list[Object] = []
    for placement in sorted(lesser, key=lambda placement: _importance(placement.pod)):
        if fits(node, [*staying, placement]):
            staying.append(placement)
        else:
            victims.append(placement.pod)
    return tuple(victims)


def _importance(pod: Object) -> tuple[int, str]:
    """The more important first: by priority, then who has run longer."""
    return -priority_of(pod), _started(pod)


def _started(pod: Object) -> str:
    return str(pod.get("status", {}).get("startTime") or pod["metadata"]["creationTimestamp"])


class _Late(str):
    """A time of which the later is the smaller."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _cost(candidate: Candidate) -> tuple[int, int, int, _Late]:
    """The highest priority, all priorities, how many; and of the highest, those that began last."""
    victims = candidate.victims
    highest = priority_of(victims[0])
    began = min(_started(victim) for victim in victims if priority_of(victim) == highest)
    return highest, sum(priority_of(victim) + _OFFSET for victim in victims), len(victims), _Late(began)
