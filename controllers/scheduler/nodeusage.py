"""Keep account of what is used on each node, with the pods that are placed but not yet seen bound.

Upstream: the scheduler's cache (pkg/scheduler/backend/cache). Invariant: a placed pod counts from the moment of the
decision until it has ended or is deleted, so that two decisions never use the same room.

A pod is *nominated* for a node while the pods that it preempts there have not left yet. The room that it needs is
kept for it: it counts as used for all pods whose priority is not higher.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from machinery.objects import Object, is_pod_terminal
from machinery.podrequests import Amounts, HostPort, Requests, add, requests_of


@dataclass(frozen=True)
class Placement:
    """One pod on one node."""

    node: str
    requests: Requests
    pod: Object


@dataclass(frozen=True)
class NodeInfo:
    """What the pods of a node use together; ``score`` is explained at ``Requests``."""

    pods: tuple[Object, ...]
    amounts: Amounts
    score: Amounts
    ports: frozenset[HostPort]


@dataclass(frozen=True)
class Nomination:
    """A pod that waits until its victims have left the node."""

    placement: Placement
    victims: frozenset[str]  # uids


EMPTY = NodeInfo((), {}, {}, frozenset())


class NodeUsage:
    """What is used on all nodes. It is kept current by the pods' events and by the scheduler's decisions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[str, dict[str, Placement]] = {}
        self._where: dict[str, str] = {}
        self._assumed: set[str] = set()
        self._sums: dict[str, NodeInfo] = {}
        self._nominated: dict[str, Nomination] = {}

    def observe(self, old: Object | None, new: Object | None) -> None:
        """Note that a pod was added (``old`` is None), changed, or deleted (``new`` is None)."""
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
                # An earlier process nominated it. Its victims are then recognised by their deletionTimestamp.
                self._nominated[uid] = Nomination(Placement(nominated, requests_of(pod), pod), frozenset())

    def assume(self, pod: Object, node: str) -> None:
        """Count a pod on the node to which it is about to be bound."""
        uid = pod["metadata"]["uid"]
        with self._lock:
            self._assumed.add(uid)
            self._put(uid, node, pod)

    def nominate(self, pod: Object, node: str, victims: Iterable[Object]) -> None:
        """Keep the room that these victims leave on the node for the pod."""
        placement = Placement(node, requests_of(pod), pod)
        uids = frozenset(victim["metadata"]["uid"] for victim in victims)
        with self._lock:
            self._nominated[pod["metadata"]["uid"]] = Nomination(placement, uids)

    def withdraw(self, uid: str) -> None:
        """Keep no room any longer for the pod with this uid."""
        with self._lock:
            self._nominated.pop(uid, None)

    def awaits_victims(self, pod: Object) -> bool:
        """Return True if a victim is still on the node for which the pod is nominated."""
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
        """Return the node on which a pod was placed; None if it was not, or is seen bound."""
        with self._lock:
            return self._where.get(uid) if uid in self._assumed else None

    def forget(self, uid: str) -> None:
        """Remove a pod that was not bound after all. One that is seen bound stays."""
        with self._lock:
            if uid in self._assumed:
                self._remove(uid)

    def of(self, node: str, incoming: Object | None = None) -> NodeInfo:
        """Return what is used on a node. For ``incoming``, the room kept for nominated pods counts as well."""
        with self._lock:
            if waiting := self._waiting(node, incoming):
                return usage_of([*self._nodes.get(node, {}).values(), *waiting])
            if node not in self._sums:
                self._sums[node] = usage_of(self._nodes.get(node, {}).values())
            return self._sums[node]

    def placements(self, node: str, incoming: Object) -> tuple[list[Placement], list[Placement]]:
        """Return the pods on a node, and those nominated for it whose room ``incoming`` must not take."""
        with self._lock:
            return list(self._nodes.get(node, {}).values()), self._waiting(node, incoming)

    def _waiting(self, node: str, incoming: Object | None) -> list[Placement]:
        if incoming is None or not self._nominated:
            return []
        return [
            nomination.placement
            for uid, nomination in self._nominated.items()
            if nomination.placement.node == node
            and uid != incoming["metadata"]["uid"]
            and priority_of(nomination.placement.pod) >= priority_of(incoming)
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
    """Return the pod's priority, 0 if it has none."""
    return int(pod["spec"].get("priority") or 0)


def nominated_node(pod: Object) -> str:
    """Return the name of the node for which the pod is nominated; empty if there is none."""
    return str(pod.get("status", {}).get("nominatedNodeName") or "")


def usage_of(placements: Collection[Placement]) -> NodeInfo:
    """Return what these pods use together."""
    amounts: Amounts = {}
    score: Amounts = {}
    ports: set[HostPort] = set()
    for placement in placements:
        amounts = add(amounts, placement.requests.amounts)
        score = add(score, placement.requests.score)
        ports |= placement.requests.ports
    return NodeInfo(tuple(placement.pod for placement in placements), amounts, score, frozenset(ports))
