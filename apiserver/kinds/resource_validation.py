"""Checks of resource names and amounts (upstream: validateResourceRequirements)."""

from __future__ import annotations

from decimal import Decimal

from apiserver.kinds import checks
from machinery import quantity
from machinery.errors import FieldError
from machinery.objects import Object

CONTAINER_RESOURCES = ("cpu", "memory", "ephemeral-storage")
STANDARD_RESOURCES = (
    *CONTAINER_RESOURCES,
    *(f"{field}.{name}" for field in ("requests", "limits") for name in CONTAINER_RESOURCES),
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps",
    "persistentvolumeclaims", "storage", "requests.storage", "services.nodeports", "services.loadbalancers",
)  # fmt: skip
HUGE_PAGES = "hugepages-"


def validate_resources(path: str, resources: Object) -> checks.Errors:
    """Requests and limits of a container."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, amount in limits.items():
        yield from _validate_amount(f"{path}.limits[{name}]", name, amount)
    for name, amount in requests.items():
        yield from _validate_amount(f"{path}.requests[{name}]", name, amount)
        limit = limits.get(name)
        if limit is None:
            if not _may_overcommit(name):
                why = "Limit must be set for non overcommitable resources"
                yield FieldError.required(f"{path}.limits", why)
        elif _amount(amount) != _amount(limit) and not _may_overcommit(name):
            yield FieldError.invalid(f"{path}.requests", str(amount), f"must be equal to {name} limit of {limit}")
        elif _amount(amount) > _amount(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield FieldError.invalid(f"{path}.requests", str(amount), why)
    named = {*limits, *requests}
    if any(name.startswith(HUGE_PAGES) for name in named) and not named & {"cpu", "memory"}:
        yield FieldError.forbidden(path, "HugePages require cpu or memory")


def _validate_amount(path: str, name: str, amount: str) -> checks.Errors:
    yield from _validate_name(path, name)
    yield from validate_quantity(path, name, amount)


def validate_quantity(path: str, name: str, amount: str) -> checks.Errors:
    """Not negative, and whole where only whole ones make sense."""
    value = _amount(amount)
    if value < 0:
        yield FieldError.invalid(path, str(amount), checks.NEGATIVE)
    if ("/" in name or name in ("pods", "services")) and value != value.to_integral_value():
        yield FieldError.invalid(path, str(amount), "must be an integer")


def _validate_name(path: str, name: str) -> checks.Errors:
    problems = list(checks.qualified_name(path, name))
    yield from problems
    if problems:
        return
    if "/" not in name:
        huge = name.startswith(HUGE_PAGES)
        if name not in STANDARD_RESOURCES and not huge:
            yield FieldError.invalid(path, name, "must be a standard resource type or fully qualified")
        if name not in CONTAINER_RESOURCES and not huge:
            yield FieldError.invalid(path, name, "must be a standard resource for containers")
    elif name.startswith("requests."):
        yield FieldError.invalid(path, name, "doesn't follow extended resource name standard")


def _may_overcommit(name: str) -> bool:
    native = "/" not in name or name.partition("/")[0].endswith("kubernetes.io")
    return native and not name.startswith(HUGE_PAGES)


def _amount(amount: str) -> Decimal:
    return quantity.parse(amount)
