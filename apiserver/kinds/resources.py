"""Checks of resource names and amounts (upstream: validateResourceRequirements)."""

from __future__ import annotations

from apiserver.model import checks
from machinery import quantity
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.resourcelists import HUGE_PAGES, REQUESTS, is_extended, is_native

CONTAINER_RESOURCES = ("cpu", "memory", "ephemeral-storage")
INTEGER_RESOURCES = (
    *("pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps"),
    *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
)
QUOTA_RESOURCES = (
    *CONTAINER_RESOURCES,
    *(f"{field}.{name}" for field in ("requests", "limits") for name in CONTAINER_RESOURCES),
    *INTEGER_RESOURCES,
    "requests.storage",
)
STANDARD_RESOURCES = (*QUOTA_RESOURCES, "storage")


def validate_resources(path: str, resources: Object) -> checks.Errors:
    """Check the requests and limits of a container."""
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    good = set()
    for name, amount in limits.items():
        problems = list(_validate_amount(f"{path}.limits[{name}]", name, amount))
        yield from problems
        if not problems:
            good.add(name)
    for name, amount in requests.items():
        if name in good and amount == limits[name]:  # Requests that were not given are copies of the limits.
            continue
        yield from _validate_amount(f"{path}.requests[{name}]", name, amount)
        limit = limits.get(name)
        if limit is None:
            if not may_overcommit(name):
                why = "Limit must be set for non overcommitable resources"
                yield FieldError.required(f"{path}.limits", why)
        elif quantity.parse(amount) != quantity.parse(limit) and not may_overcommit(name):
            yield FieldError.invalid(f"{path}.requests", str(amount), f"must be equal to {name} limit of {limit}")
        elif quantity.parse(amount) > quantity.parse(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield FieldError.invalid(f"{path}.requests", str(amount), why)
    named = {*limits, *requests}
    if any(name.startswith(HUGE_PAGES) for name in named) and not named & {"cpu", "memory"}:
        yield FieldError.forbidden(path, "HugePages require cpu or memory")


def _validate_amount(path: str, name: str, amount: str) -> checks.Errors:
    yield from validate_container_resource_name(path, name)
    yield from validate_quantity(path, name, amount)


def validate_quantity(path: str, name: str, amount: str) -> checks.Errors:
    """Check that an amount is not negative, and an integer if it counts something."""
    value = quantity.parse(amount)
    if value < 0:
        yield FieldError.invalid(path, str(amount), checks.NEGATIVE)
    if value != value.to_integral_value() and (name in INTEGER_RESOURCES or is_extended(name)):
        yield FieldError.invalid(path, str(amount), "must be an integer")


def validate_resource_name(path: str, name: str) -> checks.Errors:
    """Check that a name is a resource of Kubernetes or has a domain as prefix (upstream: validateResourceName)."""
    problems = list(checks.qualified_name(path, name))
    yield from problems
    if not problems and "/" not in name and name not in STANDARD_RESOURCES and not _is_huge_pages(name):
        yield FieldError.invalid(path, name, "must be a standard resource type or fully qualified")


def validate_container_resource_name(path: str, name: str) -> checks.Errors:
    """Check that a container may request the resource (upstream: validateContainerResourceName)."""
    if is_extended(name):
        return
    yield from validate_resource_name(path, name)
    if "/" not in name:
        if name not in CONTAINER_RESOURCES and not name.startswith(HUGE_PAGES):
            yield FieldError.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name):
        yield FieldError.invalid(path, name, "doesn't follow extended resource name standard")


def is_quota_resource(name: str) -> bool:
    """Return True for a resource of Kubernetes that a quota may limit (upstream: IsStandardQuotaResourceName)."""
    return name in QUOTA_RESOURCES or _is_huge_pages(name)


def _is_huge_pages(name: str) -> bool:
    """Return True for ``hugepages-2Mi``, and for ``requests.hugepages-2Mi``, as a quota may also name it."""
    return name.removeprefix(REQUESTS).startswith(HUGE_PAGES)


def may_overcommit(name: str) -> bool:
    """Return True if limits may be above requests, which they may not for resources that are given out whole."""
    return is_native(name) and not name.startswith(HUGE_PAGES)
