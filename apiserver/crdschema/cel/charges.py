"""What a call costs when it is made (upstream: cel-go interpreter/runtimecost.go, pkg/cel/library/cost.go)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from apiserver.crdschema.cel.estimates import COMPARED_BY_SIZE, PATTERN, TRAVERSAL
from apiserver.crdschema.cel.values import Opaque, size

Charge = Callable[[Sequence[Any]], int]


def _traversed(index: int, factor: int = 1) -> Charge:
    return lambda args: math.ceil(size(args[index]) * factor * TRAVERSAL)


def _pattern(args: Sequence[Any]) -> int:
    return math.ceil((1 + size(args[0])) * TRAVERSAL) * math.ceil(size(args[1]) * PATTERN)


def _compared(args: Sequence[Any]) -> int:
    one, other = args
    if isinstance(one, Opaque):
        return 1
    return math.ceil(min(size(one), size(other)) * TRAVERSAL)


def _concatenated(args: Sequence[Any]) -> int:
    return math.ceil((size(args[0]) + size(args[1])) * TRAVERSAL)


def _contained(args: Sequence[Any]) -> int:
    return math.ceil(size(args[0]) * TRAVERSAL) * math.ceil(size(args[1]) * TRAVERSAL)


def _join(args: Sequence[Any]) -> int:
    separators = size(args[1]) * max(0, len(args[0]) - 1) if len(args) > 1 else 0
    return math.ceil((sum(map(size, args[0])) + separators) * 2 * TRAVERSAL)


def _sets(factor: int) -> Charge:
    return lambda args: size(args[0]) * size(args[1]) * factor + 1


def _visited(args: Sequence[Any]) -> int:
    return _visit(args[0])


def _visit(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return int(len(value) * TRAVERSAL)
    if isinstance(value, list):
        return sum(map(_visit, value))
    if isinstance(value, dict):
        return sum(map(_visit, value)) + sum(map(_visit, value.values()))
    return 1


def _contains_ip(args: Sequence[Any]) -> int:
    cost = math.ceil(2 * size(args[0]) * TRAVERSAL)
    return cost + (math.ceil(size(args[1]) * TRAVERSAL) if isinstance(args[1], str) else 0)


def _contains_cidr(args: Sequence[Any]) -> int:
    return _contains_ip(args) + math.ceil(size(args[0]) * TRAVERSAL) + 1


def _validate(args: Sequence[Any]) -> int:
    pattern = getattr(args[0], "pattern_size", 0)
    return math.ceil((1 + size(args[1])) * TRAVERSAL) * math.ceil(pattern * PATTERN)


_BY_FUNCTION: dict[str, Charge] = {
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _visited),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim"), _traversed(0)),
    **dict.fromkeys(("quantity", "isQuantity", "cidr", "isIP", "isCIDR"), _traversed(0)),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _traversed(0, 2)),
    **dict.fromkeys(("find", "findAll"), _pattern),
    "join": _join,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    "sets.contains": _sets(1),
    "sets.intersects": _sets(1),
    "sets.equivalent": _sets(2),
}
_BY_OVERLOAD: dict[str, Charge] = {
    **dict.fromkeys(("starts_with_string", "ends_with_string", "string_to_bytes", "bytes_to_string"), _traversed(0)),
    **dict.fromkeys(COMPARED_BY_SIZE, _compared),
    **dict.fromkeys(("add_string", "add_bytes"), _concatenated),
    "in_list": lambda args: size(args[1]),
    "matches_string": _pattern,
    "matches": _pattern,
    "contains_string": _contained,
    "string_to_ip": _traversed(0),
    "string_format": _traversed(0),
    "strings_quote": _traversed(0),
}


def charge(function: str, overload: str) -> Charge | None:
    """Return the function from a call's values to its cost, None for calls that cost one."""
    return _BY_FUNCTION.get(function) or _BY_OVERLOAD.get(overload)
