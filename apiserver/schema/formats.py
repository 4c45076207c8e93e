"""The formats of strings: times, quantities and base64, read and written back as upstream's Go types do.

Every function takes a text and returns it in the form in which it is stored, or raises ValueError.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from functools import lru_cache

from machinery import quantity
from machinery.errors import quote

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def time(text: str) -> str:
    """Read a ``metav1.Time`` (RFC 3339); the result is in UTC and whole seconds."""
    return _written(_parse_time(text), "seconds")


def micro_time(text: str) -> str:
    """Read a ``metav1.MicroTime``, which must have six decimals; the result is in UTC with six decimals."""
    parsed = _parse_time(text)
    if not re.fullmatch(r"\.\d{6}", _TIME.fullmatch(text)[1] or ""):  # type: ignore[index]  # it has just matched
        raise ValueError(f"parsing time {quote(text)}: the seconds must have six decimals")
    return _written(parsed, "microseconds")


def _written(moment: datetime, precision: str) -> str:
    # Unlike strftime, isoformat writes years before 1000 with four digits.
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _parse_time(text: str) -> datetime:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"parsing time {quote(text)}: the form must be that of 2006-01-02T15:04:05Z")
    fraction, zone = match.groups()
    try:
        return datetime.fromisoformat(text[:19] + (fraction or "")[:7] + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"parsing time {quote(text)}: out of range") from None


@lru_cache(maxsize=4096)
def canonical_quantity(text: str) -> str:
    """Read a ``resource.Quantity``; cached, because the same few occur again and again."""
    return quantity.canonical(text)


def base64_bytes(text: str) -> str:
    """Check standard base64 with padding; line breaks are allowed, and dropped."""
    joined = text.replace("\r", "").replace("\n", "")
    try:
        base64.b64decode(joined, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("illegal base64 data") from None
    return joined
