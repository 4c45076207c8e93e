"""LimitRanges: what a container, pod or claim gets and may ask for (upstream: pkg/registry/core/limitrange)."""

from __future__ import annotations

import uuid
from decimal import Decimal
from functools import cache

from apiserver.kinds.resources import may_overcommit, validate_container_resource_name, validate_resource_name
from apiserver.model import checks
from apiserver.model.kind import Kind, Strategy
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.quantity import parse_quantity
from machinery.resourcelists import ResourceList

CONTAINER, POD, CLAIM = "Container", "Pod", "PersistentVolumeClaim"
_BOUNDS = ("max", "min")
_DEFAULTS = ("default", "defaultRequest")
_RATIO = "maxLimitRequestRatio"
# An amount that may not be greater than a second one, the field of the error, the amount that it shows, and what its
# message calls the second one.
_ORDER = (
    ("min", "max", "min", "min", "max"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "default request"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "max"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default limit"),
    ("min", "default", "default", "min", "default"),
    ("default", "max", "default", "max", "max"),
)


class LimitRangeStrategy(Strategy):
    create_on_update = True

    def default(self, obj: Object) -> None:
        for item in obj.get("spec", {}).get("limits", ()):
            if item.get("type") == CONTAINER:
                _default(item)

    def prepare_create(self, obj: Object) -> None:
        if not obj["metadata"].get("name"):
            obj["metadata"]["name"] = str(uuid.uuid4())

    def validate(self, obj: Object) -> checks.Errors:
        seen: set[str] = set()
        for index, item in enumerate(obj.get("spec", {}).get("limits", [])):
            path, type_ = f"spec.limits[{index}]", item.get("type", "")
            yield from _validate_type(f"{path}.type", type_)
            if type_ in seen:
                yield FieldError.duplicate(f"{path}.type", type_)
            seen.add(type_)
            yield from _validate_names(path, type_, item)
            if type_ == CLAIM and not any("storage" in item.get(bound, {}) for bound in _BOUNDS):
                why = "either minimum or maximum storage value is required, but neither was provided"
                yield FieldError.required(f"{path}.limits", why)
            fields = (*_BOUNDS, _RATIO) if type_ == POD else (*_BOUNDS, *_DEFAULTS, _RATIO)
            parse = cache(parse_quantity)  # Defaults are copies, so that most amounts occur three times.
            given = {field: {name: parse(text) for name, text in item.get(field, {}).items()} for field in fields}
            for name in sorted({name for amounts in given.values() for name in amounts}):
                yield from _validate_amounts(path, name, given)


def _default(item: Object) -> None:
    """Fill in the default limit from the maximum, and the default request from the limit, or else the minimum."""
    limits, requests = item.get("default", {}), item.get("defaultRequest", {})
    limits = {**(item.get("max", {})), **limits}
    requests = {**(item.get("min", {})), **limits, **requests}
    for field, values in (("default", limits), ("defaultRequest", requests)):
        if values:
            item[field] = values


def _validate_type(path: str, type_: str) -> checks.Errors:
    problems = list(checks.qualified_name(path, type_))
    yield from problems
    if not problems and "/" not in type_ and type_ not in (CONTAINER, POD, CLAIM):
        yield FieldError.invalid(path, type_, "must be a standard limit type or fully qualified")


def _validate_names(path: str, type_: str, item: Object) -> checks.Errors:
    check = validate_container_resource_name if type_ in (POD, CONTAINER) else validate_resource_name
    good: set[str] = set()
    for field in (*_BOUNDS, *_DEFAULTS, _RATIO):
        names = item.get(field, {})
        if type_ == POD and field in _DEFAULTS:
            if names:
                yield FieldError.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        for name in names:
            if name in good:
                continue
            problems = list(check(f"{path}.{field}[{name}]", name))
            yield from problems
            if not problems:
                good.add(name)


def _validate_amounts(path: str, name: str, given: dict[str, ResourceList]) -> checks.Errors:
    """Check that minimum, default request, default and maximum of a resource are in this order."""
    amount = {field: amounts[name] for field, amounts in given.items() if name in amounts}

    for first, second, field, shown, words in _ORDER:
        if first in amount and second in amount and amount[first].amount > amount[second].amount:
            what = "default request" if first == "defaultRequest" else first
            why = f"{what} value {amount[first]} is greater than {words} value {amount[second]}"
            yield FieldError.invalid(f"{path}.{field}[{name}]", str(amount[shown]), why)
    if _RATIO in amount:
        yield from _validate_ratio(f"{path}.{_RATIO}[{name}]", amount)
    both = all(field in amount for field in _DEFAULTS)
    if both and not may_overcommit(name) and amount["default"].amount != amount["defaultRequest"].amount:
        limit, request = amount["default"], amount["defaultRequest"]
        why = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        yield FieldError.invalid(f"{path}.defaultRequest[{name}]", str(request), why)


def _validate_ratio(path: str, amount: ResourceList) -> checks.Errors:
    ratio = amount[_RATIO]
    if ratio.amount < 1:
        yield FieldError.invalid(path, str(ratio), f"ratio {ratio} is less than 1")
    least, most = (amount[bound].amount if bound in amount else None for bound in ("min", "max"))
    if least and most is not None and ratio.amount > most / least:
        why = f"ratio {ratio} is greater than max/min = {float(Decimal(most) / least):f}"
        yield FieldError.invalid(path, str(ratio), why)


LIMIT_RANGES = Kind(*upstream("", "LimitRange"), short_names=("limits",), strategy=LimitRangeStrategy())
