"""What is taken on each node, including pods that the scheduler has placed but not yet seen bound.

Upstream: scheduler cache. Invariant: a placed pod counts from the moment of the decision until it has ended or
is deleted, so two decisions never give away the same room.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from controllers.podrequests import Amounts, HostPort, Requests, add, requests_of
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


EMPTY = Usage((), {}, {}, frozenset())


class NodeUsage:
    """Kept current by the pods' informer (``observe``) and by the scheduler's own decisions (``assume``)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[str, dict[str, Placement]] = {}
        self._where: dict[str, str] = {}
        self._assumed: set[str] = set()
        self._sums: dict[str, Usage] = {}

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

    def assume(self, pod: Object, node: str) -> None:
        """Counts a pod on the node where it is about to be bound."""
        uid = pod["metadata"]["uid"]
        with self._lock:
            self._assumed.add(uid)
            self._put(uid, node, pod)

    def assumed_on(self, uid: str) -> str | None:
        """The node of a pod that was placed and not seen bound yet."""
        with self._lock:
            return self._where.get(uid) if uid in self._assumed else None

    def forget(self, uid: str) -> None:
        """The pod was not bound after all; one that has been seen bound stays."""
        with self._lock:
            if uid in self._assumed:
                self._remove(uid)

    def of(self, node: str) -> Usage:
        """What is taken on a node."""
        with self._lock:
            if node not in self._sums:
                self._sums[node] = _sum(self._nodes.get(node, {}))
            return self._sums[node]

    def _put(self, uid: str, node: str, pod: Object) -> None:
        previous = self._nodes.get(self._where.get(uid, ""), {}).get(uid)
        same = previous is not None and previous.node == node and previous.pod["spec"] == pod["spec"]
        requests = previous.requests if same and previous is not None else requests_of(pod)
        self._remove_placement(uid)
        self._nodes.setdefault(node, {})[uid] = Placement(node, requests, pod)
        self._where[uid] = node
        self._sums.pop(node, None)

    def _remove(self, uid: str) -> None:
        self._assumed.discard(uid)
        self._remove_placement(uid)

    def _remove_placement(self, uid: str) -> None:
        node = self._where.pop(uid, None)
        if node is None:
            return
        self._sums.pop(node, None)
        del self._nodes[node][uid]
        if not self._nodes[node]:
            del self._nodes[node]


def _sum(placements: dict[str, Placement]) -> Usage:
    amounts: Amounts = {}
    score: Amounts = {}
    ports: set[HostPort] = set()
    for placement in placements.values():
        amounts = add(amounts, placement.requests.amounts)
        score = add(score, placement.requests.score)
        ports |= placement.requests.ports
    return Usage(tuple(placement.pod for placement in placements.values()), amounts, score, frozenset(ports))
