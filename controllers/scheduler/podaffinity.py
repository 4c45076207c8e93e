"""Check required affinity and anti-affinity between pods (upstream: plugins/interpodaffinity of pkg/scheduler).

A topology is a node label with its value: all nodes that have both count as one place. Anti-affinity works in both
directions: a pod keeps away from others, and pods on the nodes keep a new one away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from controllers.scheduler.misfit import Misfit
from machinery.objects import Object, labels_of
from machinery.selectors import from_label_selector

# A topology: a node label and its value.
Place = tuple[str, str]
NamespaceLabels = Callable[[str], Mapping[str, str]]

AFFINITY = Misfit(("node(s) didn't match pod affinity rules",))
ANTI_AFFINITY = Misfit(("node(s) didn't match pod anti-affinity rules",), unresolvable=False)
EXISTING_ANTI_AFFINITY = Misfit(("node(s) didn't satisfy existing pods anti-affinity rules",), unresolvable=False)


@dataclass(frozen=True)
class PodAffinity:
    """What the placed pods mean for a new pod. It is computed once for a decision, and asked for each node.

    - ``wanted_keys``: the labels that affinity names; ``wanted``: the places in which its pods are.
    - ``first_of_its_kind``: no pod matches the affinity yet, and the new pod matches it itself, so any node will do.
    - ``avoided``: places that the pod's own anti-affinity excludes.
    - ``refusing``: places that the anti-affinity of placed pods excludes.
    """

    wanted_keys: tuple[str, ...]
    wanted: frozenset[Place]
    first_of_its_kind: bool
    avoided: frozenset[Place]
    refusing: frozenset[Place]

    def unfit(self, node: Object) -> Misfit | None:
        """Return why the pod must not be on this node, None if it may."""
        labels = labels_of(node)
        places = set(labels.items())
        if not all(name in labels for name in self.wanted_keys):
            return AFFINITY
        near = all((name, labels[name]) in self.wanted for name in self.wanted_keys)
        if not near and not self.first_of_its_kind:
            return AFFINITY
        if places & self.avoided:
            return ANTI_AFFINITY
        return EXISTING_ANTI_AFFINITY if places & self.refusing else None


def pod_affinity(
    pod: Object, placed: Iterable[tuple[Object, Object]], namespace_labels: NamespaceLabels
) -> PodAffinity:
    """Compute a pod's affinity. ``placed`` are the pods that have a node, each with it."""
    towards, away = required_terms(pod, "podAffinity"), required_terms(pod, "podAntiAffinity")
    wanted: set[Place] = set()
    avoided: set[Place] = set()
    refusing: set[Place] = set()
    for other, node in placed:
        labels = labels_of(node)
        if towards and all(matches(term, pod, other, namespace_labels) for term in towards):
            wanted |= {(key, labels[key]) for key in topology_keys(towards) if key in labels}
        for term in away:
            if term["topologyKey"] in labels and matches(term, pod, other, namespace_labels):
                avoided.add((term["topologyKey"], labels[term["topologyKey"]]))
        for term in required_terms(other, "podAntiAffinity"):
            if term["topologyKey"] in labels and matches(term, other, pod, namespace_labels):
                refusing.add((term["topologyKey"], labels[term["topologyKey"]]))
    # The first of several pods that must be together could otherwise never be scheduled.
    first = not wanted and all(matches(term, pod, pod, namespace_labels) for term in towards)
    return PodAffinity(topology_keys(towards), frozenset(wanted), first, frozenset(avoided), frozenset(refusing))


def required_terms(pod: Object, kind: str) -> list[Object]:
    """Return the required terms of ``podAffinity`` or ``podAntiAffinity``."""
    affinity = pod["spec"].get("affinity", {}).get(kind, {})
    return list(affinity.get("requiredDuringSchedulingIgnoredDuringExecution", ()))


def has_affinity(pod: Object) -> bool:
    """Return True if the pod's node depends on other pods."""
    return bool(required_terms(pod, "podAffinity") or required_terms(pod, "podAntiAffinity"))


def topology_keys(terms: Iterable[Object]) -> tuple[str, ...]:
    """Return the node labels that the terms name."""
    return tuple(str(term["topologyKey"]) for term in terms)


def matches(term: Object, owner: Object, other: Object, namespace_labels: NamespaceLabels) -> bool:
    """Return True if a term of ``owner`` selects ``other`` by namespace and labels."""
    return in_namespaces(term, owner, other["metadata"]["namespace"], namespace_labels) and (
        term.get("labelSelector") is not None and from_label_selector(term["labelSelector"]).matches(labels_of(other))
    )


def in_namespaces(term: Object, owner: Object, namespace: str, namespace_labels: NamespaceLabels) -> bool:
    """Return True if a term of ``owner`` selects pods of this namespace: by default, its own."""
    names, selector = term.get("namespaces", ()), term.get("namespaceSelector")
    if not names and selector is None:
        return bool(namespace == owner["metadata"]["namespace"])
    if namespace in names:
        return True
    return selector is not None and from_label_selector(selector).matches(namespace_labels(namespace))
