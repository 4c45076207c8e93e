"""Parse resource quantities (``500m``, ``1.5Gi``, ``1e3``) to Decimal, and write them in upstream's canonical form.

Upstream's rules (apimachinery ``api/resource``): there are three formats, and a quantity is written in the one in which
it was read. It is written as a whole number, with the largest suffix that makes that possible: 1.5Gi is 1536Mi. Amounts
are rounded up to nanos, and limited to 2^63-1.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_UP, Decimal, localcontext
from typing import Literal, NamedTuple

Format = Literal["BinarySI", "DecimalSI", "DecimalExponent"]

# What upstream's parser reads, unlike the expression in its message: every part may be absent, but not all of them.
_PATTERN = re.compile(r"([+-]?[0-9]*(?:\.[0-9]*)?)((?:[eEinumkKMGTP]+[-+]?[0-9]*|[-+][0-9]*)?)")
_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX_OF = {power: suffix for suffix, power in _DECIMAL_SUFFIXES.items()}
_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_NANO = Decimal("1e-9")
_MOST = Decimal(2**63 - 1)


class Quantity(NamedTuple):
    """An amount, and the format in which it was read and is written."""

    amount: Decimal
    format: Format

    def __str__(self) -> str:
        return format_quantity(self.amount, self.format)


def parse(text: str | int | float) -> Decimal:
    """Return the amount of a quantity. Raises ValueError with upstream's message."""
    return parse_quantity(text).amount


def canonical(text: str | int | float) -> str:
    """Return a quantity as upstream stores and prints it. Raises ValueError."""
    return str(parse_quantity(text))


def value(text: str | int | float) -> int:
    """Return the amount in whole units, rounded up (upstream: Quantity.Value). Raises ValueError."""
    return int(parse(text).to_integral_value(ROUND_CEILING))


def milli_value(text: str | int | float) -> int:
    """Return the amount in thousandths, rounded up (upstream: Quantity.MilliValue). Raises ValueError."""
    return int((parse(text) * 1000).to_integral_value(ROUND_CEILING))


def parse_quantity(text: str | int | float) -> Quantity:
    """Return amount and format of a quantity, which may be a JSON number. Raises ValueError."""
    text = str(text)
    match = _PATTERN.fullmatch(text)
    if match is None or not text:
        raise ValueError(_WRONG_FORMAT)
    number, suffix = match.groups()
    with localcontext() as context:
        context.prec = 60
        scale, format = _suffix(suffix)
        digits = number.strip("+-.")
        if not digits and format == "BinarySI":
            raise ValueError("unable to parse numeric part of quantity")
        amount = Decimal(number if digits else 0) * scale
        limit = _MOST if amount >= 0 else -_MOST
        if abs(amount) > _MOST:
            return Quantity(limit, format)
        if amount != amount.quantize(_NANO, ROUND_UP):
            amount = amount.quantize(_NANO, ROUND_UP)
    return Quantity(amount, format)


def _suffix(suffix: str) -> tuple[Decimal, Format]:
    if suffix in _DECIMAL_SUFFIXES:
        return Decimal(10) ** _DECIMAL_SUFFIXES[suffix], "DecimalSI"
    if suffix in _BINARY_SUFFIXES:
        return Decimal(1024) ** _BINARY_SUFFIXES.index(suffix), "BinarySI"
    if exponent := re.fullmatch(r"[eE]([-+]?[0-9]{1,4})", suffix):
        return Decimal(10) ** int(exponent[1]), "DecimalExponent"
    raise ValueError("unable to parse quantity's suffix")


def format_quantity(amount: Decimal, format: Format = "DecimalSI") -> str:
    """Return an amount in canonical form. In BinarySI it is written as DecimalSI if below 1024 or not whole."""
    with localcontext() as context:
        context.prec = 60
        if amount == 0:
            return "0"
        if format == "BinarySI":
            if abs(amount) < 1024 or amount != amount.to_integral_value():
                return _decimal(amount, "DecimalSI")
            return _binary(int(amount))
        return _decimal(amount, format)


def _binary(whole: int) -> str:
    power = 0
    while whole % 1024 == 0 and power < len(_BINARY_SUFFIXES) - 1:
        whole //= 1024
        power += 1
    return f"{whole}{_BINARY_SUFFIXES[power]}"


def _decimal(amount: Decimal, format: Format) -> str:
    nanos = int((amount / _NANO).to_integral_value(ROUND_UP))
    power = -9
    while nanos % 1000 == 0 and power < 18:
        nanos //= 1000
        power += 3
    if format == "DecimalSI":
        return f"{nanos}{_DECIMAL_SUFFIX_OF[power]}"
    return f"{nanos}e{power}" if power else str(nanos)
