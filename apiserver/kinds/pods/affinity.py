"""Checks of where a pod wants to run: affinities and topology spread (upstream: validateAffinity and its callees)."""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.model import checks
from machinery.errors import FieldError
from machinery.objects import Object

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
WEIGHT = "must be in the range 1-100"


def validate_affinity(path: str, affinity: Object) -> checks.Errors:
    """Check node affinity, pod affinity and pod anti-affinity."""
    node = affinity.get("nodeAffinity", {})
    if node.get(REQUIRED) is not None:
        yield from validate_node_selector(f"{path}.nodeAffinity.{REQUIRED}", node[REQUIRED])
    for index, term in enumerate(node.get(PREFERRED, ())):
        at = f"{path}.nodeAffinity.{PREFERRED}[{index}]"
        yield from _weight(at, term)
        yield from _node_term(f"{at}.preference", term.get("preference", {}))
    for field in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(field, {})
        for index, term in enumerate(pods.get(REQUIRED, ())):
            yield from _pod_term(f"{path}.{field}.{REQUIRED}[{index}]", term)
        for index, term in enumerate(pods.get(PREFERRED, ())):
            at = f"{path}.{field}.{PREFERRED}[{index}]"
            yield from _weight(at, term)
            yield from _pod_term(f"{at}.podAffinityTerm", term.get("podAffinityTerm", {}))


def _weight(path: str, term: Object) -> checks.Errors:
    if not 1 <= term.get("weight", 0) <= 100:
        yield FieldError.invalid(f"{path}.weight", term.get("weight", 0), WEIGHT)


def validate_node_selector(path: str, selector: Object) -> checks.Errors:
    """Check a node selector: it has terms, of which one must hold."""
    terms = selector.get("nodeSelectorTerms", ())
    if not terms:
        yield FieldError.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from _node_term(f"{path}.nodeSelectorTerms[{index}]", term)


def _node_term(path: str, term: Object) -> checks.Errors:
    for index, requirement in enumerate(term.get("matchExpressions", ())):
        yield from checks.selector_requirement(f"{path}.matchExpressions[{index}]", requirement, OPERATORS)
    for index, requirement in enumerate(term.get("matchFields", ())):
        at = f"{path}.matchFields[{index}]"
        if requirement.get("operator") not in ("In", "NotIn"):
            yield FieldError.invalid(f"{at}.operator", requirement.get("operator", ""), "not a valid selector operator")
        elif len(requirement.get("values", ())) != 1:
            why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            yield FieldError.required(f"{at}.values", why)
        if requirement.get("key") != "metadata.name":
            yield FieldError.invalid(f"{at}.key", requirement.get("key", ""), "not a valid field selector key")


def _pod_term(path: str, term: Object) -> checks.Errors:
    yield from checks.label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    yield from checks.label_selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for index, namespace in enumerate(term.get("namespaces", ())):
        yield from checks.label(f"{path}.namespace[{index}]", namespace)
    if not term.get("topologyKey"):
        yield FieldError.required(f"{path}.topologyKey", "can not be empty")
    else:
        yield from checks.qualified_name(f"{path}.topologyKey", term["topologyKey"])


def validate_spread(path: str, constraints: Iterable[Object]) -> checks.Errors:
    """Check topology spread constraints."""
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        at, key, action = f"{path}[{index}]", constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")
        if constraint.get("maxSkew", 0) <= 0:
            yield FieldError.invalid(f"{at}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero")
        if not key:
            yield FieldError.required(f"{at}.topologyKey", "can not be empty")
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            yield FieldError.not_supported(f"{at}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, action) in seen:
            yield FieldError.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        seen.add((key, action))
        yield from checks.label_selector(f"{at}.labelSelector", constraint.get("labelSelector"))
