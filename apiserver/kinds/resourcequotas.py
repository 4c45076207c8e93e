"""ResourceQuotas: how much a namespace may use (upstream: pkg/registry/core/resourcequota).

What is used, ``status.used``, is raised by admission in the transaction that creates what it counts, and counted anew
by the quota controller.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from apiserver.kinds.cells import AGE, NAME
from apiserver.kinds.resources import is_quota_resource, validate_quantity, validate_resource_name
from apiserver.kinds.strategies import StatusStrategy
from apiserver.kinds.subresources import STATUS
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import upstream
from machinery.errors import FieldError, GoValue, quote
from machinery.objects import Object

POD_RESOURCES = frozenset({"pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
# The resources that a quota with the scope may limit.
SCOPES = {
    "Terminating": POD_RESOURCES,
    "NotTerminating": POD_RESOURCES,
    "BestEffort": frozenset({"pods"}),
    "NotBestEffort": POD_RESOURCES,
    "PriorityClass": POD_RESOURCES,
    "CrossNamespacePodAffinity": POD_RESOURCES,
}
CONTRARY = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_EXISTS_ONLY = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


class ResourceQuotaStrategy(StatusStrategy):
    def validate(self, obj: Object) -> checks.Errors:
        return chain(_validate_spec(obj.get("spec", {})), _validate_status(obj.get("status", {})))

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        spec, before = new.get("spec", {}), old.get("spec", {})
        errors = list(_validate_spec(spec))
        if set(spec.get("scopes", ())) != set(before.get("scopes", ())):
            errors.append(FieldError.invalid("spec.scopes", _scopes(spec), checks.IMMUTABLE))
        return errors

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        return _validate_status(new.get("status", {}))


def _validate_spec(spec: Object) -> checks.Errors:
    yield from _validate_amounts("spec.hard", spec.get("hard", {}))
    hard = [name for name in sorted(spec.get("hard", ())) if is_quota_resource(name)]
    scopes, shown = spec.get("scopes", []), _scopes(spec)
    for scope in scopes:
        yield from _validate_scope("spec.scopes", "spec.scopes", scope, hard, shown, shown)
    yield from _contrary("spec.scopes", scopes, spec)
    if (selector := spec.get("scopeSelector")) is not None:
        yield from _validate_selector(selector.get("matchExpressions", []), hard, spec)


def _validate_selector(requirements: list[Object], hard: list[str], spec: Object) -> checks.Errors:
    path = "spec.scopeSelector.matchExpressions"
    shown = _selector(requirements)
    for requirement in requirements:
        scope, operator = requirement.get("scopeName", ""), requirement.get("operator", "")
        values = requirement.get("values", [])
        yield from _validate_scope(f"{path}.scopeName", path, scope, hard, scope, shown)
        if scope in SCOPES and scope != "PriorityClass" and operator != "Exists":
            yield FieldError.invalid(f"{path}.operator", operator, _EXISTS_ONLY)
        if operator in ("In", "NotIn"):
            if not values:
                why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield FieldError.required(f"{path}.values", why)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield FieldError.invalid(f"{path}.values", values, why)
        else:
            yield FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from _contrary(path, [requirement.get("scopeName", "") for requirement in requirements], spec)


def _validate_scope(
    path: str, whole_path: str, scope: str, hard: list[str], value: str, whole_value: str
) -> checks.Errors:
    if scope not in SCOPES:
        yield FieldError.invalid(path, value, "unsupported scope")
        return
    for name in hard:
        if name not in SCOPES[scope]:
            yield FieldError.invalid(whole_path, whole_value, "unsupported scope applied to resource")


def _contrary(path: str, scopes: Iterable[str], spec: Object) -> checks.Errors:
    for pair in CONTRARY:
        if set(pair) <= set(scopes):
            yield FieldError.invalid(path, _scopes(spec), "conflicting scopes")


def _validate_status(status: Object) -> checks.Errors:
    for field in ("hard", "used"):
        yield from _validate_amounts(f"status.{field}", status.get(field, {}))


def _validate_amounts(path: str, amounts: Object) -> checks.Errors:
    for name, amount in amounts.items():
        at = f"{path}[{name}]"
        yield from validate_resource_name(at, name)
        if "/" not in name and not is_quota_resource(name):
            yield FieldError.invalid(at, name, "must be a standard resource for quota")
        yield from validate_quantity(at, name, amount)


def _scopes(spec: Object) -> GoValue:
    """Return the scopes as upstream's messages show them."""
    scopes = spec.get("scopes")
    if scopes is None:
        return GoValue("[]core.ResourceQuotaScope(nil)")
    return GoValue(f"[]core.ResourceQuotaScope{{{', '.join(map(quote, scopes))}}}")


def _selector(requirements: list[Object]) -> GoValue:
    """Return a scope selector as upstream's messages show it."""
    inner = "core.ScopedResourceSelectorRequirement"
    shown = []
    for requirement in requirements:
        values = requirement.get("values")
        listed = "[]string(nil)" if values is None else f"[]string{{{', '.join(map(quote, values))}}}"
        scope, operator = quote(requirement.get("scopeName", "")), quote(requirement.get("operator", ""))
        shown.append(f"{inner}{{ScopeName:{scope}, Operator:{operator}, Values:{listed}}}")
    return GoValue(f"core.ScopeSelector{{MatchExpressions:[]{inner}{{{', '.join(shown)}}}}}")


def _column(obj: Object, limits: bool) -> str:
    """Return a cell such as ``pods: 1/2, secrets: 0/10``, of limits of containers only or of all the others."""
    status = obj.get("status", {})
    hard, used = status.get("hard", {}), status.get("used", {})
    names = [name for name in sorted(hard) if name.startswith("limits.") == limits]
    return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)


RESOURCE_QUOTAS = Kind(
    *upstream("", "ResourceQuota"),
    short_names=("quota",),
    subresources=(STATUS,),
    strategy=ResourceQuotaStrategy(),
    columns=(
        NAME,
        AGE,
        Column("Request", lambda obj: _column(obj, limits=False), description="Requests and counts: used/hard."),
        Column("Limit", lambda obj: _column(obj, limits=True), description="Limits of containers: used/hard."),
    ),
)
