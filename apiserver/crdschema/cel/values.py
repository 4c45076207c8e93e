"""CEL's values as Python's: what is equal, what is less, what type a value has (upstream: cel-go common/types).

bool, int, float, str, bytes and None are Python's own, lists are lists and maps are dicts (the keys true and false are
replaced by TRUE_KEY and FALSE_KEY, as for Python they equal 1 and 0). The rest are the classes of this file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.types import Type

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1
NANOS = 1_000_000_000
# Year 1 and the end of year 9999, in seconds since 1970.
_FIRST_SECOND, _LAST_SECOND = -62135596800, 253402300799


class EvaluationError(Exception):
    """An error of an expression at work, which logical operators may absorb."""


class Uint(int):
    """An unsigned integer."""


class Key:
    """A boolean key of a map."""

    def __init__(self, value: bool) -> None:
        self.value = value


TRUE_KEY, FALSE_KEY = Key(True), Key(False)


@dataclass(frozen=True, order=True, slots=True)
class Timestamp:
    """A moment, in nanoseconds since 1970."""

    nanos: int

    def __post_init__(self) -> None:
        if not _FIRST_SECOND <= self.nanos // NANOS <= _LAST_SECOND:
            raise EvaluationError("timestamp overflow")


@dataclass(frozen=True, order=True, slots=True)
class Duration:
    """A length of time, in nanoseconds."""

    nanos: int

    def __post_init__(self) -> None:
        if not INT_MIN <= self.nanos <= INT_MAX:
            raise EvaluationError("duration overflow")


@dataclass(frozen=True, slots=True)
class Optional:
    """An optional value; ``present`` tells an optional null from none."""

    value: Any = None
    present: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optional) or self.present != other.present:
            return False
        return not self.present or equal(self.value, other.value)

    __hash__ = None  # type: ignore[assignment]


NONE = Optional()


class Opaque:
    """A value of a library's own type, such as an IP address. Equality is the subclass's."""

    type: Type
    size = 1


class Invalid:
    """A value that is not of the type that it is declared to have: whatever is done with it is an error."""

    def __init__(self, message: str) -> None:
        self._message = message

    def error(self) -> EvaluationError:
        return EvaluationError(self._message)

    def _fail(self, *_: object) -> Any:
        raise self.error()

    __eq__ = __lt__ = __gt__ = __add__ = __radd__ = __len__ = __hash__ = _fail
    __getattr__ = _fail


def type_of(value: Any) -> Type:
    """Return a value's type as the program sees it; the element types of lists and maps are not told."""
    match value:
        case bool():
            return types.BOOL
        case Uint():
            return types.UINT
        case int():
            return types.INT
        case float():
            return types.DOUBLE
        case str():
            return types.STRING
        case bytes():
            return types.BYTES
        case None:
            return types.NULL
        case list():
            return Type("list")
        case dict():
            return Type("map")
        case Timestamp():
            return types.TIMESTAMP
        case Duration():
            return types.DURATION
        case Optional():
            return Type("opaque", "optional_type")
        case Type():
            return Type("type")
        case Opaque():
            return value.type
    return types.DYN


def equal(one: Any, other: Any) -> bool:
    """Return True if two values are equal. Numbers are equal across types, and other types are unequal."""
    if one is other:
        return not isinstance(one, float) or one == one
    kind, its = type(one), type(other)
    if kind is bool or its is bool:
        return kind is its and bool(one == other)
    if isinstance(one, list) and isinstance(other, list):
        if kind is not list:
            # A list of type set or map compares in its own way.
            return bool(one.equals(other))  # type: ignore[attr-defined]
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(key in other and equal(value, other[key]) for key, value in one.items())
    if isinstance(one, Type) and isinstance(other, Type):
        return one.runtime_name == other.runtime_name
    if isinstance(one, Type) or isinstance(other, Type):
        return False
    return bool(one == other)


def compare(one: Any, other: Any) -> int:
    """Return -1, 0 or 1 for values that have an order. Raises EvaluationError for others, NaN included."""
    kind, its = type(one), type(other)
    numeric = (int, float, Uint)
    if (kind in numeric and its in numeric) or (kind is its and kind in (str, bytes, bool, Timestamp, Duration)):
        if one != one or other != other:
            raise EvaluationError("NaN values cannot be ordered")
        if kind is str:
            one, other = one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass")
        return int(one > other) - int(one < other)
    raise EvaluationError("no such overload")


def size(value: Any) -> int:
    """Return the size by which costs are counted: the length of what has one, else 1."""
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    return value.size if isinstance(value, Opaque) else 1


def to_key(value: Any) -> Any:
    """Return a value as a key of a dict."""
    if value is True:
        return TRUE_KEY
    return FALSE_KEY if value is False else value


def from_key(key: Any) -> Any:
    return key.value if isinstance(key, Key) else key


def keys(mapping: dict[Any, Any]) -> Iterable[Any]:
    """Return a map's keys as values."""
    return map(from_key, mapping)


def checked_int(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("integer overflow")
    return value


def checked_uint(value: int) -> Uint:
    if not 0 <= value <= UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


def shown(value: float) -> str:
    """Return a number as Go's strconv.FormatFloat(value, 'g', -1, 64)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0"
    power = point - 1
    if power < -4 or power >= 6:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    return f"{sign}{digits[:point]}.{digits[point:]}"
