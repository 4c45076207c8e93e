"""Arithmetic on lists of resources, ``{"cpu": 500m, "memory": 1Gi}`` (upstream: apiserver/pkg/quota/v1/resources.go).

A sum is written in the format of its first part that is not zero, as upstream's Quantity does.
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
    """From an object's field."""
    return {name: parse_quantity(text) for name, text in (texts or {}).items()}


def written(resources: ResourceList) -> dict[str, str]:
    """As an object has it."""
    return {name: str(amount) for name, amount in resources.items()}


def add(a: ResourceList, b: ResourceList) -> ResourceList:
    """The sum by resource."""
    return {name: _sum(a.get(name, ZERO), b.get(name, ZERO)) for name in (*a, *(b.keys() - a.keys()))}


def larger(a: ResourceList, b: ResourceList) -> ResourceList:
    """The larger amount by resource."""
    return a | {name: amount for name, amount in b.items() if name not in a or amount.amount > a[name].amount}


def grown(new: ResourceList, old: ResourceList) -> ResourceList:
    """By how much ``new`` is more, only the resources of which it is."""
    more = {name: amount._replace(amount=amount.amount - _amount(old, name)) for name, amount in new.items()}
    return {name: amount for name, amount in more.items() if amount.amount > 0}


def masked(resources: ResourceList, names: Collection[str]) -> ResourceList:
    """Only these."""
    return {name: amount for name, amount in resources.items() if name in names}


def above(resources: ResourceList, limits: ResourceList) -> list[str]:
    """Of which there is more than the limit."""
    return [name for name, limit in limits.items() if name in resources and resources[name].amount > limit.amount]


def equal(a: ResourceList, b: ResourceList) -> bool:
    """The same amounts of the same resources, however written."""
    return a.keys() == b.keys() and all(a[name].amount == b[name].amount for name in a)


def _sum(a: Quantity, b: Quantity) -> Quantity:
    return Quantity(a.amount + b.amount, a.format if a.amount else b.format)


def _amount(resources: ResourceList, name: str) -> Decimal:
    return resources.get(name, ZERO).amount
