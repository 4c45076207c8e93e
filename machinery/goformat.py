"""Values in messages as Go prints them, so that no message shows Python's ``{'a': None}``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from machinery.errors import quote

# Levels of nesting that are shown.
DEPTH = 100


class _Notation(NamedTuple):
    """How one of Go's verbs writes a map, a list and a scalar. Keys are quoted as ``key`` says."""

    map: tuple[str, str, str]  # what begins, separates and ends the members
    list: tuple[str, str, str]
    key: Callable[[str], str]
    scalar: Callable[[Any], str]


def go_value(value: Any) -> str:
    """Return a JSON value as Go's ``%v`` prints it: ``map[a:1 b:[true <nil>]]``."""
    return "".join(_parts(value, _VALUE, DEPTH))


def go_syntax(value: Any) -> str:
    """Return a JSON value as Go's ``%#v`` prints it: ``map[string]interface {}{"a":1}``."""
    return "".join(_parts(value, _SYNTAX, DEPTH))


def _parts(value: Any, notation: _Notation, depth: int) -> Iterator[str]:
    if not depth:
        yield "..."
    elif isinstance(value, dict):
        begin, separator, end = notation.map
        yield begin
        for index, key in enumerate(sorted(value)):
            yield f"{separator if index else ''}{notation.key(key)}:"
            yield from _parts(value[key], notation, depth - 1)
        yield end
    elif isinstance(value, list | tuple):
        begin, separator, end = notation.list
        yield begin
        for index, item in enumerate(value):
            if index:
                yield separator
            yield from _parts(item, notation, depth - 1)
        yield end
    else:
        yield notation.scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _float(value) if isinstance(value, float) else str(value)


def _scalar_syntax(value: Any) -> str:
    if value is None:
        return "interface {}(nil)"
    return quote(value) if isinstance(value, str) else _scalar(value)


_VALUE = _Notation(("map[", " ", "]"), ("[", " ", "]"), str, _scalar)
_SYNTAX = _Notation(("map[string]interface {}{", ", ", "}"), ("[]interface {}{", ", ", "}"), quote, _scalar_syntax)


def _float(number: float) -> str:
    if not math.isfinite(number):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(number, "NaN")
    sign, (digits, exponent) = "-" if math.copysign(1, number) < 0 else "", _shortest(abs(number))
    if -4 <= exponent < 6:
        return sign + _plain(digits, exponent)
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _shortest(number: float) -> tuple[str, int]:
    """Return the fewest digits that mean this number, and the power of ten of the first."""
    mantissa, _, exponent = f"{number!r}e0".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return "0", 0
    zeros = len(whole + fraction) - len(digits)
    return digits.rstrip("0"), len(whole) - 1 - zeros + int(exponent.removesuffix("e0"))


def _plain(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{whole}.{fraction}" if fraction else whole
