"""What a rule of a role allows, and how rules are shown. These are pure functions of PolicyRules as dicts.

Upstream: pkg/apis/rbac/v1/evaluation_helpers.go and pkg/registry/rbac/validation/policy_compact.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from apiserver.model.attributes import Attributes
from machinery.errors import quote
from machinery.objects import Object

ALL = "*"
Rule = Object

_NONE: tuple[str, ...] = ()


def allows(rule: Rule, asked: Attributes) -> bool:
    """Return whether the rule allows what is asked."""
    names = rule.get("resourceNames")
    return matches(rule, asked) and (not names or asked.name in names)


def matches(rule: Rule, asked: Attributes) -> bool:
    """Return whether the rule allows it for some names at least: its ``resourceNames`` are not looked at."""
    if not _has(rule.get("verbs"), asked.verb):
        return False
    if not asked.is_resource:
        return any(_url_covers(url, asked.path) for url in rule.get("nonResourceURLs") or _NONE)
    resources = rule.get("resources") or _NONE
    return _has(rule.get("apiGroups"), asked.group) and _has_resource(resources, asked.resource, asked.subresource)


def _has(values: Collection[str] | None, wanted: str) -> bool:
    return values is not None and (wanted in values or ALL in values)


def _has_resource(resources: Collection[str], resource: str, subresource: str) -> bool:
    if ALL in resources:
        return True
    if not subresource:
        return resource in resources
    return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


def _url_covers(url: str, path: str) -> bool:
    """Return whether a URL of a rule allows a path: ``/api/*`` allows all that begins with ``/api/``."""
    return url == path or (url.endswith(ALL) and path.startswith(url.rstrip(ALL)))


# --- showing -----------------------------------------------------------------------------------------------------


def describe_all(rules: Iterable[Rule]) -> list[str]:
    """Return the texts of rules, sorted; rules that differ in nothing but their verbs are shown as one."""
    return sorted({describe(rule) for rule in _compact(rules)})


def _compact(rules: Iterable[Rule]) -> list[Rule]:
    others: list[Rule] = []
    simple: dict[tuple[str, str, str | None], Rule] = {}
    for rule in rules:
        names = rule.get("resourceNames") or [None]
        if "nonResourceURLs" in rule or len(rule["apiGroups"]) != 1 or len(rule["resources"]) != 1 or len(names) != 1:
            others.append(rule)
            continue
        key = (rule["apiGroups"][0], rule["resources"][0], names[0])
        known = simple.get(key)
        if known is None:
            simple[key] = {**rule, "verbs": list(rule["verbs"])}
        else:
            known["verbs"] += rule["verbs"]
    return [*others, *simple.values()]


_PARTS = (
    ("APIGroups", "apiGroups"),
    ("Resources", "resources"),
    ("NonResourceURLs", "nonResourceURLs"),
    ("ResourceNames", "resourceNames"),
    ("Verbs", "verbs"),
)


def describe(rule: Rule) -> str:
    """Return a rule as upstream shows it: ``{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}``."""
    return "{" + ", ".join(f"{go}:{listed(rule[part])}" for go, part in _PARTS if rule.get(part)) + "}"


def listed(texts: Iterable[str]) -> str:
    """Return texts as Go's ``%q`` shows a list: ``["a" "b"]``."""
    return f"[{' '.join(map(quote, texts))}]"
