"""Required affinity and anti-affinity between pods (upstream: pkg/scheduler/framework/plugins/interpodaffinity).

A topology is a node label and its value: all nodes that share it count as one place. An anti-affinity binds both
sides, the pod that comes and the pods that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from controllers.scheduler.misfit import Misfit
from machinery.objects import Object, labels_of
from machinery.selectors import from_label_selector

# A node label and its value.
Place = tuple[str, str]
NamespaceLabels = Callable[[str], Mapping[str, str]]

AFFINITY = Misfit(("node(s) didn't match pod affinity rules",))
ANTI_AFFINITY = Misfit(("node(s) didn't match pod anti-affinity rules",), helpless=False)
EXISTING_ANTI_AFFINITY = Misfit(("node(s) didn't satisfy existing pods anti-affinity rules",), helpless=False)


@dataclass(frozen=True)
class PodAffinity:
    """What the pods that are there mean for one that comes; made once a decision, asked once a node."""

    wanted_keys: tuple[str, ...]
    wanted: frozenset[Place]
    first_of_its_kind: bool
    avoided: frozenset[Place]
    refusing: frozenset[Place]

    def unfit(self, node: Object) -> Misfit | None:
        """Why the pod may not be on this node."""
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
    """``placed`` are the pods that are there, each with its node."""
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
    # The first of pods that want to be together must be allowed to be alone.
    first = not wanted and all(matches(term, pod, pod, namespace_labels) for term in towards)
    return PodAffinity(topology_keys(towards), frozenset(wanted), first, frozenset(avoided), frozenset(refusing))


def required_terms(pod: Object, kind: str) -> list[Object]:
    """The terms that scheduling must fulfil."""
    affinity = pod["spec"].get("affinity", {}).get(kind, {})
    return list(affinity.get("requiredDuringSchedulingIgnoredDuringExecution", ()))


def has_affinity(pod: Object) -> bool:
    """Other pods decide where this one may be."""
    return bool(required_terms(pod, "podAffinity") or required_terms(pod, "podAntiAffinity"))


def topology_keys(terms: Iterable[Object]) -> tuple[str, ...]:
    """The node labels that the terms speak of."""
    return tuple(str(term["topologyKey"]) for term in terms)


def matches(term: Object, owner: Object, other: Object, namespace_labels: NamespaceLabels) -> bool:
    """The term of ``owner`` means ``other``: by namespace (its own if it names none) and labels."""
    return in_namespaces(term, owner, other["metadata"]["namespace"], namespace_labels) and (
        term.get("labelSelector") is not None and from_label_selector(term["labelSelector"]).matches(labels_of(other))
    )


def in_namespaces(term: Object, owner: Object, namespace: str, namespace_labels: NamespaceLabels) -> bool:
    """The term looks at pods of this namespace."""
    names, selector = term.get("namespaces", ()), term.get("namespaceSelector")
    if not names and selector is None:
        return bool(namespace == owner["metadata"]["namespace"])
    if namespace in names:
        return True
    return selector is not None and from_label_selector(selector).matches(namespace_labels(namespace))
