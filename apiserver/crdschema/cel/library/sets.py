"""sets.contains, sets.equivalent and sets.intersects (upstream: cel-go ext/sets.go)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.crdschema.cel.declarations import Function, functions, overload
from apiserver.crdschema.cel.values import equal


def _member_test(items: list[Any]) -> Callable[[Any], bool]:
    """Return a test for membership, which is fast for lists of strings."""
    if all(type(item) is str for item in items):
        known = set(items)
        return lambda value: type(value) is str and value in known
    return lambda value: any(equal(value, item) for item in items)


def _contains(items: list[Any], others: list[Any]) -> bool:
    return all(map(_member_test(items), others))


def _intersects(items: list[Any], others: list[Any]) -> bool:
    return any(map(_member_test(items), others))


def _equivalent(items: list[Any], others: list[Any]) -> bool:
    return _contains(items, others) and _contains(others, items)


SETS: list[Function] = functions(
    *(
        (name, [overload(f"list_{name.replace('.', '_')}_list", "(list(T), list(T)) -> bool", call)])
        for name, call in (
            ("sets.contains", _contains),
            ("sets.equivalent", _equivalent),
            ("sets.intersects", _intersects),
        )
    )
)
