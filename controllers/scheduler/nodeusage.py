"""What is taken on each node, including pods that the scheduler has placed but not yet seen bound.

Upstream: scheduler cache. Invariant: a placed pod counts from the moment of the decision until it has ended or
is deleted, so two decisions never give away the same room. Room that is being made for a pod (it is nominated) counts
too, for those that are not more important.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from controllers.scheduler.podrequests import Amounts, HostPort, Requests, add, requests_of
from machinery.objects import Object, is_pod_terminal


@dataclass(frozen=True)
class Placement:
    """One pod on one node."""

    node: str
    requests: Requests
    pod: Object


@dataclass(frozen=True)
class Usage:
    """The sum over a node's pods."""

    pods: tuple[Object, ...]
    amounts: Amounts
    score: Amounts
    ports: frozenset[HostPort]


@dataclass(frozen=True)
class Nomination:
    """A pod that waits until its victims have left."""

    placement: Placement
    victims: frozenset[str]  # uids


EMPTY = Usage((), {}, {}, frozenset())


class NodeUsage:
    """Kept current by the pods' informer (``observe``) and by the scheduler's own decisions (``assume``)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[str, dict[str, Placement]] = {}
        self._where: dict[str, str] = {}
        self._assumed: set[str] = set()
        self._sums: dict[str, Usage] = {}
        self._nominated: dict[str, Nomination] = {}

    def observe(self, old: Object | None, new: Object | None) -> None:
        """A pod was added, changed or deleted."""
        pod = new if new is not None else old
        if pod is None:
            return
        uid = pod["metadata"]["uid"]
        node = pod["spec"].get("nodeName")
        with self._lock:
            if old is not None and old["metadata"]["uid"] != uid:
                self._remove(old["metadata"]["uid"])
            if new is None or is_pod_terminal(pod):
                self._remove(uid)
            elif node:
                self._assumed.discard(uid)
                self._put(uid, node, pod)
            elif (nominated := nominated_node(pod)) and uid not in self._nominated:
                # By an earlier scheduler: its victims are known by their being deleted.
                self._nominated[uid] = Nomination(Placement(nominated, requests_of(pod), pod), frozenset())

    def assume(self, pod: Object, node: str) -> None:
        """Counts a pod on the node where it is about to be bound."""
        uid = pod["metadata"]["uid"]
        with self._lock:
            self._assumed.add(uid)
            self._put(uid, node, pod)

    def nominate(self, pod: Object, node: str, victims: Iterable[Object]) -> None:
        """Keeps the room that these victims leave on a node for the pod."""
        placement = Placement(node, requests_of(pod), pod)
        uids = frozenset(victim["metadata"]["uid"] for victim in victims)
        with self._lock:
            self._nominated[pod["metadata"]["uid"]] = Nomination(placement, uids)

    def withdraw(self, uid: str) -> None:
        """No room is made for this pod any longer."""
        with self._lock:
            self._nominated.pop(uid, None)

    def awaits_victims(self, pod: Object) -> bool:
        """Somebody has yet to leave the node that the pod is nominated for."""
        with self._lock:
            nomination = self._nominated.get(pod["metadata"]["uid"])
            if nomination is None:
                return False
            there = self._nodes.get(nomination.placement.node, {})
            return any(
                uid in nomination.victims
                or (other.pod["metadata"].get("deletionTimestamp") and priority_of(other.pod) < priority_of(pod))
                for uid, other in there.items()
            )

    def assumed_on(self, uid: str) -> str | None:
        """The node of a pod that was placed and not seen bound yet."""
        with self._lock:
            return self._where.get(uid) if uid in self._assumed else None

    def forget(self, uid: str) -> None:
        """The pod was not bound after all; one that has been seen bound stays."""
        with self._lock:
            if uid in self._assumed:
                self._remove(uid)

    def of(self, node: str, comer: Object | None = None) -> Usage:
        """What is taken on a node, from the view of a pod that comes."""
        with self._lock:
            if waiting := self._waiting(node, comer):
                return usage_of([*self._nodes.get(node, {}).values(), *waiting])
            if node not in self._sums:
                self._sums[node] = usage_of(self._nodes.get(node, {}).values())
            return self._sums[node]

    def placements(self, node: str, comer: Object) -> tuple[list[Placement], list[Placement]]:
        """The pods on a node, and those that room is being made for before ``comer``."""
        with self._lock:
            return list(self._nodes.get(node, {}).values()), self._waiting(node, comer)

    def _waiting(self, node: str, comer: Object | None) -> list[Placement]:
        if comer is None or not self._nominated:
            return []
        return [
            nomination.placement
            for uid, nomination in self._nominated.items()
            if nomination.placement.node == node
            and uid != comer["metadata"]["uid"]
            and priority_of(nomination.placement.pod) >= priority_of(comer)
        ]

    def _put(self, uid: str, node: str, pod: Object) -> None:
        self._nominated.pop(uid, None)
        previous = self._nodes.get(self._where.get(uid, ""), {}).get(uid)
        same = previous is not None and previous.node == node and previous.pod["spec"] == pod["spec"]
        requests = previous.requests if same and previous is not None else requests_of(pod)
        self._remove_placement(uid)
        self._nodes.setdefault(node, {})[uid] = Placement(node, requests, pod)
        self._where[uid] = node
        self._sums.pop(node, None)

    def _remove(self, uid: str) -> None:
        self._assumed.discard(uid)
        self._nominated.pop(uid, None)
        self._remove_placement(uid)

    def _remove_placement(self, uid: str) -> None:
        node = self._where.pop(uid, None)
        if node is None:
            return
        self._sums.pop(node, None)
        del self._nodes[node][uid]
        if not self._nodes[node]:
            del self._nodes[node]


def priority_of(pod: Object) -> int:
    """How important a pod is."""
    return int(pod["spec"].get("priority") or 0)


def nominated_node(pod: Object) -> str:
    """The node on which room is being made for a pod."""
    return str(pod.get("status", {}).get("nominatedNodeName") or "")


def usage_of(placements: Collection[Placement]) -> Usage:
    """The sum over some pods."""
    amounts: Amounts = {}
    score: Amounts = {}
    ports: set[HostPort] = set()
    for placement in placements:
        amounts = add(amounts, placement.requests.amounts)
        score = add(score, placement.requests.score)
        ports |= placement.requests.ports
    return Usage(tuple(placement.pod for placement in placements), amounts, score, frozenset(ports))
