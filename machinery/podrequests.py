"""Compute what a pod needs of its node: resources and host ports.

Upstream: staging/src/k8s.io/component-helpers/resource. Amounts are integers in the unit in which upstream's scheduler
compares them: thousandths of a cpu, and whole units of everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from machinery import pods
from machinery.objects import Container, Object, PodSpec
from machinery.pods import every_container
from machinery.quantity import milli_value, value

Amounts = dict[str, int]
# Host IP ("0.0.0.0" stands for all), protocol, port.
HostPort = tuple[str, str, int]

ANY_ADDRESS = "0.0.0.0"
# What a container without requests counts as when nodes are compared; otherwise such pods would all go to one node.
ASSUMED_CPU = 100
ASSUMED_MEMORY = 200 * 1024 * 1024


@dataclass(frozen=True)
class Requests:
    """What one pod needs.

    ``amounts`` decides whether the pod fits. ``score`` decides between the nodes on which it fits: it has only cpu and
    memory, with upstream's assumption for containers that request none.
    """

    amounts: Amounts = field(default_factory=dict)
    score: Amounts = field(default_factory=dict)
    ports: frozenset[HostPort] = frozenset()


def amounts_of(quantities: Mapping[str, str] | None) -> Amounts:
    """Return quantities as integers."""
    return {name: milli_value(text) if name == "cpu" else value(text) for name, text in (quantities or {}).items()}


def requests_of(pod: Object) -> Requests:
    """Return the sum over the containers, or what an init container needs if that is more, plus the overhead."""
    spec: PodSpec = pod["spec"]
    assumed = {"cpu": ASSUMED_CPU, "memory": ASSUMED_MEMORY}
    overhead = amounts_of(spec.get("overhead"))
    amounts = add(_total(spec, {}), overhead)
    score = add(_total(spec, assumed), overhead)
    return Requests(
        {name: amount for name, amount in amounts.items() if amount},
        {name: score.get(name, 0) for name in assumed},
        frozenset(_host_ports(spec)),
    )


def _total(spec: PodSpec, assumed: Amounts) -> Amounts:
    def requested(container: Container) -> Amounts:
        resources = container.get("resources", {})
        # The API server copies limits to requests when it creates a pod; a static pod's are as written.
        return {**assumed, **amounts_of({**resources.get("limits", {}), **resources.get("requests", {})})}

    return pods.total(spec, requested, {}, add, larger)


def _host_ports(spec: PodSpec) -> Iterator[HostPort]:
    for container in every_container(spec):
        for port in container.get("ports", ()):
            number = port.get("hostPort") or (port["containerPort"] if spec.get("hostNetwork") else 0)
            if number:
                yield port.get("hostIP") or ANY_ADDRESS, port.get("protocol", "TCP"), number


def add(a: Amounts, b: Amounts) -> Amounts:
    """Return the sum of each resource."""
    return {name: a.get(name, 0) + b.get(name, 0) for name in {*a, *b}}


def larger(a: Amounts, b: Amounts) -> Amounts:
    """Return the larger amount of each resource."""
    return {name: max(a.get(name, 0), b.get(name, 0)) for name in {*a, *b}}


def ports_collide(wanted: HostPort, used: HostPort) -> bool:
    """Return True if both are the same protocol and port, on the same address or on all."""
    return wanted[1:] == used[1:] and (wanted[0] == used[0] or ANY_ADDRESS in (wanted[0], used[0]))


def insufficient(wanted: Amounts, used: Amounts, room: Amounts) -> list[str]:
    """Return the resources of which there is not enough for ``wanted`` beside ``used``, in upstream's order."""
    return sorted((name for name in wanted if wanted[name] > room[name] - used.get(name, 0)), key=_resource_order)


def _resource_order(name: str) -> tuple[int, str]:
    first = ("cpu", "memory", "ephemeral-storage")
    return (first.index(name) if name in first else len(first), name)
