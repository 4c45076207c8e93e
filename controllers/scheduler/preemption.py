"""Decide which pods of lower priority must leave which node so that a pod fits. No I/O.

Upstream: pkg/scheduler/framework/preemption and plugins/defaultpreemption. Unlike there, PodDisruptionBudgets are
not taken into account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from controllers.scheduler.misfit import Misfit
from controllers.scheduler.nodeusage import NodeUsage, Placement, priority_of
from machinery.objects import Object

NEVER = "not eligible due to preemptionPolicy=Never."
WAITS = "not eligible due to a terminating pod on the nominated node."
# It makes every priority positive, so that a sum over fewer pods tends to be smaller.
_OFFSET = 2**31
# Returns True if the pod fits on the node when only these pods are on it.
Fits = Callable[[Object, Sequence[Placement]], bool]


class Candidate(NamedTuple):
    """A node, and the pods that must leave it, the most important first."""

    node: str
    victims: tuple[Object, ...]


def ineligible(pod: Object, usage: NodeUsage) -> str:
    """Return why the pod must not preempt others now; empty if it may."""
    if pod["spec"].get("preemptionPolicy") == "Never":
        return NEVER
    return WAITS if usage.awaits_victims(pod) else ""


def choose(
    pod: Object, nodes: Iterable[Object], misfits: Mapping[str, Misfit], usage: NodeUsage, fits: Fits
) -> Candidate | None:
    """Return the node on which preemption costs least, with the victims; None if it helps on no node."""
    found: list[Candidate] = []
    for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
        name = node["metadata"]["name"]
        if name in misfits and not misfits[name].unresolvable:
            victims = victims_on(pod, node, usage, fits)
            if victims:
                found.append(Candidate(name, victims))
    return min(found, key=_cost, default=None)


def victims_on(pod: Object, node: Object, usage: NodeUsage, fits: Fits) -> tuple[Object, ...]:
    """Return the pods that must leave this node so that the pod fits: as few and as unimportant as possible.

    First all pods of lower priority are taken off; then, beginning with the most important, each that still fits is put
    back. The result is empty if the pod does not fit even without all of them.
    """
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
    """Return a sort key by which the more important pod comes first: by priority, then by how long it has run."""
    return -priority_of(pod), _started(pod)


def _started(pod: Object) -> str:
    return str(pod.get("status", {}).get("startTime") or pod["metadata"]["creationTimestamp"])


class _Late(str):
    """A timestamp that sorts in reverse: the later one is smaller."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _cost(candidate: Candidate) -> tuple[int, int, int, _Late]:
    """Return upstream's criteria, the most important first: the highest priority among the victims, the sum of their
    priorities, their number, and of those with the highest priority the earliest start (late is better).
    """
    victims = candidate.victims
    highest = priority_of(victims[0])
    began = min(_started(victim) for victim in victims if priority_of(victim) == highest)
    return highest, sum(priority_of(victim) + _OFFSET for victim in victims), len(victims), _Late(began)
