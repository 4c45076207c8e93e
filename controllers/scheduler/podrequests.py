"""What a pod takes from its node: resources and host ports.

Upstream: staging/src/k8s.io/component-helpers/resource. Amounts are integers in the unit that upstream's
scheduler compares: thousandths for cpu, whole ones for all else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from machinery import pods
from machinery.objects import Container, Object, PodSpec
from machinery.pods import every_container
from machinery.quantity import milli_value, value

Amounts = dict[str, int]
# Host IP ("0.0.0.0" for all), protocol, port.
HostPort = tuple[str, str, int]

ANY_ADDRESS = "0.0.0.0"
# What a container without requests counts as when nodes are compared, so that such pods spread too.
ASSUMED_CPU = 100
ASSUMED_MEMORY = 200 * 1024 * 1024


@dataclass(frozen=True)
class Requests:
    """One pod's demands; ``score`` is cpu and memory with upstream's assumptions for containers that state none."""

    amounts: Amounts = field(default_factory=dict)
    score: Amounts = field(default_factory=dict)
    ports: frozenset[HostPort] = frozenset()


def amounts_of(quantities: Mapping[str, str] | None) -> Amounts:
    """Quantities as integers."""
    return {name: milli_value(text) if name == "cpu" else value(text) for name, text in (quantities or {}).items()}


def requests_of(pod: Object) -> Requests:
    """The sum of the containers, or what an init container needs while it runs if that is more; plus the overhead."""
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
    """The sum by resource."""
    return {name: a.get(name, 0) + b.get(name, 0) for name in {*a, *b}}


def larger(a: Amounts, b: Amounts) -> Amounts:
    """The larger by resource."""
    return {name: max(a.get(name, 0), b.get(name, 0)) for name in {*a, *b}}


def ports_collide(wanted: HostPort, used: HostPort) -> bool:
    """The same protocol and port on the same address, where "all addresses" overlaps with each."""
    return wanted[1:] == used[1:] and (wanted[0] == used[0] or ANY_ADDRESS in (wanted[0], used[0]))
