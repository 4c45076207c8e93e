"""Values in messages as Go prints them, so that no message shows Python's ``{'a': None}``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from machinery.errors import quote

# Levels of nesting that are shown.
DEPTH = 100


def go_value(value: Any) -> str:
    """Return a JSON value as Go's ``%v`` prints it: ``map[a:1 b:[true <nil>]]``."""
    return "".join(_parts(value, DEPTH))


def go_syntax(value: Any) -> str:
    """Return a JSON value as Go's ``%#v`` prints it: ``map[string]interface {}{"a":1}``."""
    return "".join(_syntax(value, DEPTH))


def _syntax(value: Any, depth: int) -> Iterator[str]:
    if not depth:
        yield "..."
    elif isinstance(value, dict):
        yield "map[string]interface {}{"
        for index, key in enumerate(sorted(value)):
            yield f"{', ' if index else ''}{quote(key)}:"
            yield from _syntax(value[key], depth - 1)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "[]interface {}{"
        for index, item in enumerate(value):
            if index:
                yield ", "
            yield from _syntax(item, depth - 1)
        yield "}"
    elif value is None:
        yield "interface {}(nil)"
    else:
        yield quote(value) if isinstance(value, str) else go_value(value)


def _parts(value: Any, depth: int) -> Iterator[str]:
    if not depth:
        yield "..."
    elif isinstance(value, dict):
        yield "map["
        for index, key in enumerate(sorted(value)):
            yield f"{' ' if index else ''}{key}:"
            yield from _parts(value[key], depth - 1)
        yield "]"
    elif isinstance(value, list | tuple):
        yield "["
        for index, item in enumerate(value):
            if index:
                yield " "
            yield from _parts(item, depth - 1)
        yield "]"
    elif value is None:
        yield "<nil>"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, float):
        yield _float(value)
    else:
        yield str(value)


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
