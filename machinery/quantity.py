"""Parse resource quantities (``500m``, ``1.5Gi``, ``1e3``) to Decimal, and write them in upstream's canonical form.

Upstream's rules (apimachinery ``api/resource``): there are three formats, and a quantity is written in the one in which
it was read. It is written as a whole number, with the largest suffix that makes that possible: 1.5Gi is 1536Mi. Amounts
are rounded up to nanos, and limited to 2^63-1.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_UP, Context, Decimal
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
_CONTEXT = Context(prec=60)


def _plain_suffixes() -> dict[str, tuple[Decimal, Format, int]]:
    """Return scale and format of each suffix of the canonical form, and how many digits before it stay below 2^63."""
    found: dict[str, tuple[Decimal, Format, int]] = {}
    for suffix, power in _DECIMAL_SUFFIXES.items():
        digits = min(18, 18 - power) or 1
        found[suffix] = Decimal(10) ** power, "DecimalSI", digits
        if power:
            found[f"e{power}"] = Decimal(10) ** power, "DecimalExponent", digits
    for index, suffix in enumerate(_BINARY_SUFFIXES[1:-1], 1):
        found[suffix] = Decimal(1024) ** index, "BinarySI", 18 - 3 * index
    return found


# Most quantities are in canonical form already, and that is read in a fifth of the time.
_PLAIN = re.compile("(0|[1-9][0-9]{0,17})([a-zA-Z]{0,2}|e-?[0-9]{1,2})")
_PLAIN_SUFFIXES = _plain_suffixes()


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
    text = str(text)
    if (plain := _PLAIN.fullmatch(text)) and (known := _PLAIN_SUFFIXES.get(plain[2])) and len(plain[1]) <= known[2]:
        number = plain[1]
        if number[-3:] != "000" if known[1] != "BinarySI" else int(number) % 1024:
            return text if number != "0" else "0"
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
    if (plain := _PLAIN.fullmatch(text)) and (known := _PLAIN_SUFFIXES.get(plain[2])) and len(plain[1]) <= known[2]:
        return Quantity(_CONTEXT.multiply(Decimal(plain[1]), known[0]), known[1])
    match = _PATTERN.fullmatch(text)
    if match is None or not text:
        raise ValueError(_WRONG_FORMAT)
    number, suffix = match.groups()
    scale, format = _suffix(suffix)
    digits = number.strip("+-.")
    if not digits and format == "BinarySI":
        raise ValueError("unable to parse numeric part of quantity")
    amount = _CONTEXT.multiply(Decimal(number if digits else 0), scale)
    if abs(amount) > _MOST:
        return Quantity(_MOST if amount >= 0 else -_MOST, format)
    rounded = amount.quantize(_NANO, ROUND_UP, _CONTEXT)
    return Quantity(amount if amount == rounded else rounded, format)


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
    if amount == 0:
        return "0"
    if format == "BinarySI":
        if abs(amount) < 1024 or amount != amount.to_integral_value(context=_CONTEXT):
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
    nanos = int(amount.scaleb(9, _CONTEXT).to_integral_value(ROUND_UP, _CONTEXT))
    power = -9
    while nanos % 1000 == 0 and power < 18:
        nanos //= 1000
        power += 3
    if format == "DecimalSI":
        return f"{nanos}{_DECIMAL_SUFFIX_OF[power]}"
    return f"{nanos}e{power}" if power else str(nanos)
