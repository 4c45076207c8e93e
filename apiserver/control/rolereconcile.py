"""What a stored role or binding lacks of its default, and the rules of aggregated roles. These are pure functions.

Upstream: component-helpers/auth/rbac/reconciliation and pkg/controller/clusterroleaggregation. Reconciling only adds:
what an administrator has added stays, and an object that she has annotated with autoupdate "false" is not changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from apiserver.authorization.covering import uncovered
from apiserver.authorization.defaults import AUTOUPDATE
from apiserver.authorization.rules import Rule
from machinery.objects import Object
from machinery.selectors import from_label_selector


def is_protected(existing: Object) -> bool:
    """Return whether an administrator has switched off reconciling for the object."""
    return (existing["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false"


def reconciled_role(existing: Object, wanted: Object) -> Object:
    """Return the role with all that the wanted one has; equal to the existing one if nothing is missing."""
    role = _with_metadata(existing, wanted)
    missing = uncovered(existing.get("rules") or (), wanted.get("rules") or ())
    if missing:
        role["rules"] = [*(existing.get("rules") or ()), *missing]
    rule, before = wanted.get("aggregationRule"), existing.get("aggregationRule")
    if rule is None:
        role.pop("aggregationRule", None)
    else:
        role["aggregationRule"] = {"clusterRoleSelectors": _union(before, rule, "clusterRoleSelectors")}
    return role


def reconciled_binding(existing: Object, wanted: Object) -> Object | None:
    """Return the binding with all wanted subjects; None if it binds another role and must be replaced."""
    if existing.get("roleRef") != wanted["roleRef"]:
        return None
    binding = _with_metadata(existing, wanted)
    if subjects := _union(existing, wanted, "subjects"):
        binding["subjects"] = subjects
    return binding


def _with_metadata(existing: Object, wanted: Object) -> Object:
    metadata = dict(existing["metadata"])
    for field in ("labels", "annotations"):
        metadata[field] = {**(wanted["metadata"].get(field) or {}), **(metadata.get(field) or {})}
    return {**existing, "metadata": metadata}


def _union(existing: Object | None, wanted: Object, field: str) -> list[Object]:
    there = (existing or {}).get(field) or []
    known = {orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in there}
    new = (each for each in wanted.get(field) or () if orjson.dumps(each, option=orjson.OPT_SORT_KEYS) not in known)
    return [*there, *new]


def aggregated_rules(role: Object, roles: Iterable[Object]) -> list[Rule]:
    """Return the rules of all roles that an aggregated one selects, in the order of their names, each once."""
    others: Sequence[Object] = sorted(
        (other for other in roles if other["metadata"]["name"] != role["metadata"]["name"]),
        key=lambda other: str(other["metadata"]["name"]),
    )
    found: dict[bytes, Rule] = {}
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        selects = from_label_selector(selector)
        for other in others:
            if selects.matches(other["metadata"].get("labels")):
                for rule in other.get("rules") or ():
                    found.setdefault(orjson.dumps(rule, option=orjson.OPT_SORT_KEYS), rule)
    return list(found.values())
