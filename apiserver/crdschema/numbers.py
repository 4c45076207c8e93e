"""Numbers of custom resources as Go keeps them: an int64, or else a float64.

Upstream reads a number without a point or exponent as an int64 if it fits, all others as float64s. It writes a float64
without a fraction as an integer, which the next reader takes for an int64. So ``1.0`` is stored as ``1``, and an
integer beyond 64 bits is no valid integer.
"""

from __future__ import annotations

from typing import Any

_LEAST, _MOST = -(2**63), 2**63 - 1
_MOST_EXACT = 2**53 - 1  # up to here a float64 can hold every integer
_TOLERANCE = 1e-9


def normalize(obj: Any) -> None:
    """Bring the numbers in a dict or list into the form in which they are stored, in place."""
    waiting = [obj]
    while waiting:
        container = waiting.pop()
        for key, child in container.items() if type(container) is dict else enumerate(container):
            kind = type(child)
            if kind is dict or kind is list:
                waiting.append(child)
            elif kind is float and child.is_integer() and abs(child) <= _MOST_EXACT:
                container[key] = int(child)
            elif kind is int and not _LEAST <= child <= _MOST:
                container[key] = float(child)


def is_whole(number: float) -> bool:
    """Return True for a float64 that upstream takes for an integer (go-openapi/swag: IsFloat64AJSONInteger)."""
    if abs(number) > _MOST_EXACT:
        return False
    whole = int(number)
    if number == whole:
        return True
    return whole > 0 and (number - whole) / (number + whole) < _TOLERANCE


def is_multiple(number: float, factor: float) -> bool:
    """Return True if a number is a multiple of a positive factor, by upstream's arithmetic.

    Upstream cuts the fraction of the factor off if the number is an integer, and cannot handle factors below 1 then.
    """
    if type(number) is int and factor >= 1:
        return number % int(factor) == 0
    return is_whole(1 / factor * number if factor < 1 else number / factor)


def bound(number: float, limit: float) -> float:
    """Return a limit as upstream compares it with a number: without its fraction if the number is an integer."""
    return int(limit) if type(number) is int else limit


def equals_choice(number: float, choice: Any) -> bool:
    """Return True if a number is this one of an enum; upstream converts the number to the choice's type."""
    if type(choice) is float or type(choice) is int:
        return number == choice if type(choice) is float else int(number) == choice
    return False
