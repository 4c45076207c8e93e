"""The functions and operators of the language itself, and of optional values (upstream: cel-go common/stdlib)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import datetime
from typing import Any

from apiserver.crdschema import regex
from apiserver.crdschema.cel import conversions, values
from apiserver.crdschema.cel.declarations import Function, Overload, functions, overload
from apiserver.crdschema.cel.values import (
    NONE,
    Duration,
    EvaluationError,
    Optional,
    Timestamp,
    checked_int,
    checked_uint,
    compare,
    equal,
    to_key,
)

_MILLI = 1_000_000
_SECOND = values.NANOS
_NUMBERS = ("int", "uint", "double")


_Binary = Callable[[Any, Any], Any]


def _arithmetic(name: str, call: _Binary, *, doubles: _Binary | None) -> list[Overload]:
    found = [
        overload(f"{name}_int64", "(int, int) -> int", lambda a, b: checked_int(call(a, b))),
        overload(f"{name}_uint64", "(uint, uint) -> uint", lambda a, b: checked_uint(call(int(a), int(b)))),
    ]
    if doubles is not None:
        found.append(overload(f"{name}_double", "(double, double) -> double", doubles))
    return found


def _quotient(one: int, other: int) -> int:
    if other == 0:
        raise EvaluationError("division by zero")
    quotient = abs(one) // abs(other)
    return quotient if (one < 0) == (other < 0) else -quotient


def _remainder(one: int, other: int) -> int:
    if other == 0:
        raise EvaluationError("modulus by zero")
    return one - other * _quotient(one, other)


def _divide(one: float, other: float) -> float:
    if other:
        return one / other
    return math.nan if not one or math.isnan(one) else math.copysign(math.inf, one) * math.copysign(1.0, other)


def _negated(value: float) -> float:
    return -value if isinstance(value, float) else checked_int(-value)


def _ordered(name: str, test: Callable[[int], bool]) -> list[Overload]:
    def call(one: Any, other: Any) -> bool:
        return test(compare(one, other))

    def numeric(one: float, other: float) -> bool:
        return one == one and other == other and test((one > other) - (one < other))

    kinds = {"bool": "bool", "int": "int64", "uint": "uint64", "double": "double", "string": "string",
             "bytes": "bytes", "timestamp": "timestamp", "duration": "duration"}  # fmt: off
    found = [
        overload(f"{name}_{its}", f"({kind}, {kind}) -> bool", numeric if kind in _NUMBERS else call)
        for kind, its in kinds.items()
    ]
    for one in _NUMBERS:
        for other in _NUMBERS:
            if one != other:
                identity = f"{name}_{kinds[one]}_{kinds[other]}"
                found.append(overload(identity, f"({one}, {other}) -> bool", numeric))
    return found


def _negation(value: Any) -> bool:
    if not isinstance(value, bool):
        raise EvaluationError("no such overload")
    return not value


def _in_list(value: Any, items: list[Any]) -> bool:
    if type(value) is str:
        return value in items
    return any(equal(value, item) for item in items)


def _index_list(items: list[Any], index: Any) -> Any:
    if isinstance(index, float):
        if not index.is_integer():
            raise EvaluationError(f"invalid_argument: unsupported index value: {values.shown(index)}")
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int):
        raise EvaluationError("no such overload")
    if not 0 <= index < len(items):
        raise EvaluationError(f"index out of bounds: {int(index)}")
    return usable(items[index])


def _index_map(mapping: dict[Any, Any], key: Any) -> Any:
    found = lookup(mapping, key)
    if found is NONE:
        raise EvaluationError(f"no such key: {conversions.to_string(key)}")
    return usable(found.value)


def usable(value: Any) -> Any:
    """Return a value that was read from a list, map or optional. Raises EvaluationError if it is invalid."""
    if type(value) is values.Invalid:
        raise value.error()
    return value


def lookup(mapping: dict[Any, Any], key: Any) -> Optional:
    """Return the value of a key, NONE if the map does not have it."""
    try:
        return Optional(mapping[to_key(key)], present=True)
    except (KeyError, TypeError):
        return NONE


def _optional_item(items: list[Any], index: int) -> Optional:
    return Optional(items[index], present=True) if 0 <= index < len(items) else NONE


def _unwrapped(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Apply a lookup to what an optional contains."""
    return lambda target, key: function(target.value, key) if target.present else NONE


def _value(target: Optional) -> Any:
    if not target.present:
        raise EvaluationError("optional.none() dereference")
    return usable(target.value)


def _is_zero(value: Any) -> bool:
    if isinstance(value, (Timestamp, Duration)):
        return value.nanos == (values._FIRST_SECOND * _SECOND if isinstance(value, Timestamp) else 0)
    return value is None or (isinstance(value, (bool, int, float, str, bytes, list, dict)) and not value)


def _matches(text: str, pattern: str) -> bool:
    try:
        return regex.compiled(pattern).search(text) is not None
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _of_time(read: Callable[[datetime], int]) -> Callable[..., int]:
    return lambda value, zone="": read(conversions.moment_in(value, zone))


def _getter(name: str, read: Callable[[datetime], int], *, of_duration: int = 0) -> tuple[str, list[Overload]]:
    found = [
        overload(f"timestamp_to_{name}", "timestamp.() -> int", _of_time(read)),
        overload(f"timestamp_to_{name}_with_tz", "timestamp.(string) -> int", _of_time(read)),
    ]
    if of_duration:
        found.append(
            overload(f"duration_to_{name}", "duration.() -> int", lambda value: _quotient(value.nanos, of_duration))
        )
    return name, found


def _milliseconds() -> tuple[str, list[Overload]]:
    def of_time(value: Timestamp, zone: str = "") -> int:
        conversions.moment_in(value, zone)
        return value.nanos % _SECOND // _MILLI

    return "getMilliseconds", [
        overload("timestamp_to_milliseconds", "timestamp.() -> int", of_time),
        overload("timestamp_to_milliseconds_with_tz", "timestamp.(string) -> int", of_time),
        overload("duration_to_milliseconds", "duration.() -> int", lambda value: _quotient(value.nanos, _MILLI)),
    ]


def _conversions() -> list[tuple[str, list[Overload]]]:
    table: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
        "bool": (conversions.to_bool, ("bool", "string")),
        "bytes": (conversions.to_bytes, ("bytes", "string")),
        "double": (conversions.to_double, ("double", "int", "uint", "string")),
        "duration": (conversions.to_duration, ("duration", "int", "string")),
        "int": (conversions.to_int, ("int", "double", "duration", "string", "timestamp", "uint")),
        "string": (
            conversions.to_string,
            ("string", "bool", "bytes", "double", "duration", "int", "timestamp", "uint", "net.IP", "net.CIDR"),
        ),
        "timestamp": (conversions.to_timestamp, ("timestamp", "int", "string")),
        "uint": (conversions.to_uint, ("uint", "double", "int", "string")),
    }
    found = [
        (name, [overload(f"{kind}_to_{name}", f"({kind}) -> {name}", call) for kind in kinds])
        for name, (call, kinds) in table.items()
    ]
    found.append(("dyn", [overload("to_dyn", "(A) -> dyn", lambda value: value)]))
    found.append(("type", [overload("type", "(A) -> type(A)", values.type_of)]))
    return found


CONVERSIONS = frozenset(("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"))


def _never(*_: Any) -> Any:
    raise AssertionError("the program evaluates this operator itself")


STANDARD: list[Function] = functions(
    ("_?_:_", [overload("conditional", "(bool, A, A) -> A", _never)]),
    ("_&&_", [overload("logical_and", "(bool, bool) -> bool", _never)]),
    ("_||_", [overload("logical_or", "(bool, bool) -> bool", _never)]),
    ("@not_strictly_false", [overload("not_strictly_false", "(bool) -> bool", _never)]),
    ("!_", [overload("logical_not", "(bool) -> bool", _negation)]),
    ("_==_", [overload("equals", "(A, A) -> bool", equal)]),
    ("_!=_", [overload("not_equals", "(A, A) -> bool", lambda a, b: not equal(a, b))]),
    (
        "@in",
        [
            overload("in_list", "(A, list(A)) -> bool", _in_list),
            overload("in_map", "(A, map(A, B)) -> bool", lambda key, mapping: lookup(mapping, key).present),
        ],
    ),
    ("_<_", _ordered("less", lambda order: order < 0)),
    ("_<=_", _ordered("less_equals", lambda order: order <= 0)),
    ("_>_", _ordered("greater", lambda order: order > 0)),
    ("_>=_", _ordered("greater_equals", lambda order: order >= 0)),
    (
        "_+_",
        [
            overload("add_bytes", "(bytes, bytes) -> bytes", operator.add),
            overload("add_double", "(double, double) -> double", operator.add),
            overload("add_duration_duration", "(duration, duration) -> duration",
                     lambda a, b: Duration(a.nanos + b.nanos)),
            overload("add_duration_timestamp", "(duration, timestamp) -> timestamp",
                     lambda a, b: Timestamp(a.nanos + b.nanos)),
            overload("add_timestamp_duration", "(timestamp, duration) -> timestamp",
                     lambda a, b: Timestamp(a.nanos + b.nanos)),
            overload("add_int64", "(int, int) -> int", lambda a, b: checked_int(a + b)),
            overload("add_list", "(list(A), list(A)) -> list(A)", operator.add),
            overload("add_string", "(string, string) -> string", operator.add),
            overload("add_uint64", "(uint, uint) -> uint", lambda a, b: checked_uint(a + b)),
        ],
    ),
    (
        "_-_",
        [
            *_arithmetic("subtract", operator.sub, doubles=operator.sub),
            overload("subtract_duration_duration", "(duration, duration) -> duration",
                     lambda a, b: Duration(a.nanos - b.nanos)),
            overload("subtract_timestamp_duration", "(timestamp, duration) -> timestamp",
                     lambda a, b: Timestamp(a.nanos - b.nanos)),
            overload("subtract_timestamp_timestamp", "(timestamp, timestamp) -> duration",
                     lambda a, b: Duration(a.nanos - b.nanos)),
        ],
    ),
    ("_*_", _arithmetic("multiply", operator.mul, doubles=operator.mul)),
    ("_/_", _arithmetic("divide", _quotient, doubles=_divide)),
    ("_%_", _arithmetic("modulo", _remainder, doubles=None)),
    ("-_", [overload("negate_double", "(double) -> double", _negated),
            overload("negate_int64", "(int) -> int", _negated)]),
    (
        "_[_]",
        [
            overload("index_list", "(list(A), int) -> A", _index_list),
            overload("index_map", "(map(A, B), A) -> B", _index_map),
            overload("optional_list_index_int", "(optional(list(V)), int) -> optional(V)", _unwrapped(_optional_item)),
            overload("optional_map_index_value", "(optional(map(K, V)), K) -> optional(V)", _unwrapped(lookup)),
        ],
    ),
    (
        "_[?_]",
        [
            overload("list_optindex_optional_int", "(list(V), int) -> optional(V)", _optional_item),
            overload("optional_list_optindex_optional_int", "(optional(list(V)), int) -> optional(V)",
                     _unwrapped(_optional_item)),
            overload("map_optindex_optional_value", "(map(K, V), K) -> optional(V)", lookup),
            overload("optional_map_optindex_optional_value", "(optional(map(K, V)), K) -> optional(V)",
                     _unwrapped(lookup)),
        ],
    ),
    (
        "size",
        [
            overload(f"{prefix}{kind}", f"{form.format(its)} -> int", len)
            for prefix, form in (("size_", "({})"), ("member_size_", "{}.()"))
            for kind, its in {"bytes": "bytes", "list": "list(A)", "map": "map(A, B)", "string": "string"}.items()
        ],
    ),
    ("contains", [overload("contains_string", "string.(string) -> bool", lambda text, part: part in text)]),
    ("endsWith", [overload("ends_with_string", "string.(string) -> bool", str.endswith)]),
    ("startsWith", [overload("starts_with_string", "string.(string) -> bool", str.startswith)]),
    (
        "matches",
        [
            overload("matches", "(string, string) -> bool", _matches),
            overload("matches_string", "string.(string) -> bool", _matches),
        ],
    ),
    _getter("getFullYear", lambda moment: moment.year),
    _getter("getMonth", lambda moment: moment.month - 1),
    _getter("getDayOfYear", lambda moment: moment.timetuple().tm_yday - 1),
    _getter("getDate", lambda moment: moment.day),
    _getter("getDayOfMonth", lambda moment: moment.day - 1),
    _getter("getDayOfWeek", lambda moment: moment.isoweekday() % 7),
    _getter("getHours", lambda moment: moment.hour, of_duration=3600 * _SECOND),
    _getter("getMinutes", lambda moment: moment.minute, of_duration=60 * _SECOND),
    _getter("getSeconds", lambda moment: moment.second, of_duration=_SECOND),
    _milliseconds(),
    *_conversions(),
)  # fmt: off

OPTIONALS: list[Function] = functions(
    ("optional.of", [overload("optional_of", "(V) -> optional(V)", lambda value: Optional(value, present=True))]),
    (
        "optional.ofNonZeroValue",
        [overload("optional_ofNonZeroValue", "(V) -> optional(V)",
                  lambda value: NONE if _is_zero(value) else Optional(value, present=True))],
    ),
    ("optional.none", [overload("optional_none", "() -> optional(V)", lambda: NONE)]),
    ("value", [overload("optional_value", "optional(V).() -> V", _value)]),
    ("hasValue", [overload("optional_hasValue", "optional(V).() -> bool", lambda target: target.present)]),
    ("or", [overload("optional_or_optional", "optional(V).(optional(V)) -> optional(V)", _never)]),
    ("orValue", [overload("optional_orValue_value", "optional(V).(V) -> V", _never)]),
)  # fmt: off
