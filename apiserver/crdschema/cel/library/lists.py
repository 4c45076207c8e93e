"""isSorted, sum, min, max, indexOf and lastIndexOf of lists (upstream: apiserver pkg/cel/library/lists.go)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from apiserver.crdschema.cel.declarations import Function, Overload, functions, overload
from apiserver.crdschema.cel.values import Duration, EvaluationError, Uint, checked_int, checked_uint, compare, equal

_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_ZEROS: dict[str, Any] = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": Duration(0)}


def _of_comparable(name: str, call: Callable[[list[Any]], Any], result: str) -> list[Overload]:
    return [overload(f"list_{kind}_{name}", f"list({kind}).() -> {result.format(kind)}", call) for kind in _COMPARABLE]


def _is_sorted(items: list[Any]) -> bool:
    return all(compare(one, other) <= 0 for one, other in pairwise(items))


def _sum(kind: str) -> Callable[[list[Any]], Any]:
    def call(items: list[Any]) -> Any:
        if kind == "duration":
            return Duration(sum(item.nanos for item in items))
        if kind == "double":
            return sum(items, 0.0)
        total = sum(items)
        return checked_int(total) if kind == "int" else checked_uint(total)

    return call


def _extreme(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def call(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if compare(item, best) == sign:
                best = item
        return best

    return call


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((index for index, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((index for index in range(len(items) - 1, -1, -1) if equal(items[index], wanted)), -1)


LISTS: list[Function] = functions(
    ("isSorted", _of_comparable("is_sorted_bool", _is_sorted, "bool")),
    ("sum", [overload(f"list_{kind}_sum_{kind}", f"list({kind}).() -> {kind}", _sum(kind)) for kind in _ZEROS]),
    ("max", _of_comparable("max_self", _extreme("max", 1), "{}")),
    ("min", _of_comparable("min_self", _extreme("min", -1), "{}")),
    ("indexOf", [overload("list_a_index_of_int", "list(A).(A) -> int", _index_of)]),
    ("lastIndexOf", [overload("list_a_last_index_of_int", "list(A).(A) -> int", _last_index_of)]),
)
