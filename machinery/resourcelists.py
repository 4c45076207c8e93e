"""Calculate with ResourceLists, ``{"cpu": 500m, "memory": 1Gi}`` (upstream: apiserver/pkg/quota/v1/resources.go).

The format of a sum is that of its first summand that is not zero, as in upstream's Quantity.Add.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from machinery.quantity import Quantity, parse_quantity
from machinery.validation import is_qualified_name

ResourceList = dict[str, Quantity]

ZERO = Quantity(Decimal(0), "DecimalSI")
ONE = Quantity(Decimal(1), "DecimalSI")


REQUESTS, HUGE_PAGES = "requests.", "hugepages-"


def is_native(name: str) -> bool:
    """Return True for the name of a resource of Kubernetes' own."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Return True for a resource of somebody else's that a container may request, as ``example.com/gpu``."""
    return not (is_native(name) or name.startswith(REQUESTS) or is_qualified_name(REQUESTS + name))


def parsed(texts: Mapping[str, str] | None) -> ResourceList:
    """Parse the field of an object."""
    return {name: parse_quantity(text) for name, text in (texts or {}).items()}


def written(resources: ResourceList) -> dict[str, str]:
    """Return it as the field of an object."""
    return {name: str(amount) for name, amount in resources.items()}


def add(a: ResourceList, b: ResourceList) -> ResourceList:
    """Return the sum for each resource that one of the two has."""
    return {name: _sum(a.get(name, ZERO), b.get(name, ZERO)) for name in (*a, *(b.keys() - a.keys()))}


def larger(a: ResourceList, b: ResourceList) -> ResourceList:
    """Return the larger amount for each resource that one of the two has."""
    return a | {name: amount for name, amount in b.items() if name not in a or amount.amount > a[name].amount}


def grown(new: ResourceList, old: ResourceList) -> ResourceList:
    """Return by how much ``new`` exceeds ``old``, with only those resources of which it does."""
    more = {name: amount._replace(amount=amount.amount - _amount(old, name)) for name, amount in new.items()}
    return {name: amount for name, amount in more.items() if amount.amount > 0}


def masked(resources: ResourceList, names: Collection[str]) -> ResourceList:
    """Return only the resources with these names."""
    return {name: amount for name, amount in resources.items() if name in names}


def above(resources: ResourceList, limits: ResourceList) -> list[str]:
    """Return the names of the resources of which there is more than the limit."""
    return [name for name, limit in limits.items() if name in resources and resources[name].amount > limit.amount]


def equal(a: ResourceList, b: ResourceList) -> bool:
    """Return whether both have the same amounts of the same resources, in whatever format."""
    return a.keys() == b.keys() and all(a[name].amount == b[name].amount for name in a)


def _sum(a: Quantity, b: Quantity) -> Quantity:
    return Quantity(a.amount + b.amount, a.format if a.amount else b.format)


def _amount(resources: ResourceList, name: str) -> Decimal:
    return resources.get(name, ZERO).amount
