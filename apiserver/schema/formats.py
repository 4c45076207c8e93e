"""Strings with a meaning: times, quantities and base64, each read and written back as upstream's Go types do.

Every function takes the text and returns it in canonical form, or raises ValueError with upstream's words.
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
_SECONDS_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
# Go's layout elements with what each reads, in order; an error names the first that does not fit.
_ELEMENTS = [
    ("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d"),
    (":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d(?:\.\d+)?"), ("Z07:00", r"Z$|[+-]\d\d:\d\d$"),
]  # fmt: skip
_RANGES = [("month", 5, 1, 12), ("day", 8, 1, 31), ("hour", 11, 0, 23), ("minute", 14, 0, 59), ("second", 17, 0, 59)]


def time(text: str) -> str:
    """A ``metav1.Time``: RFC 3339 in, UTC in whole seconds out."""
    return _written(_parse_time(text, _SECONDS_LAYOUT), "seconds")


def micro_time(text: str) -> str:
    """A ``metav1.MicroTime``: exactly six decimals in, the same in UTC out."""
    parsed = _parse_time(text, _MICRO_LAYOUT)
    if not re.fullmatch(r"\.\d{6}", _TIME.fullmatch(text)[1] or ""):  # type: ignore[index]  # it has just matched
        rest = text[19:]
        raise ValueError(f"{_parsing(text, _MICRO_LAYOUT)}: cannot parse {quote(rest)} as {quote('.000000')}")
    return _written(parsed, "microseconds")


def _written(moment: datetime, precision: str) -> str:
    """With the year in four digits, which strftime does not give before the year 1000."""
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _parse_time(text: str, layout: str) -> datetime:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(_misfit(text, layout))
    fraction, zone = match.groups()
    try:
        whole = datetime.fromisoformat(text[:19] + (fraction or "")[:7] + zone)
        return whole.astimezone(UTC)
    except (ValueError, OverflowError):
        part = next((name for name, at, least, most in _RANGES if not least <= int(text[at : at + 2]) <= most), "day")
        raise ValueError(f"parsing time {quote(text)}: {part} out of range") from None


def _misfit(text: str, layout: str) -> str:
    rest = text
    for element, pattern in _ELEMENTS:
        match = re.match(pattern, rest)
        if match is None:
            return f"{_parsing(text, layout)}: cannot parse {quote(rest)} as {quote(element)}"
        rest = rest[match.end() :]
    return f"parsing time {quote(text)}: extra text: {quote(rest)}"


def _parsing(text: str, layout: str) -> str:
    return f"parsing time {quote(text)} as {quote(layout)}"


@lru_cache(maxsize=4096)
def canonical_quantity(text: str) -> str:
    """A quantity as upstream prints it; the same few occur again and again."""
    return quantity.canonical(text)


def base64_bytes(text: str) -> str:
    """Standard base64 with padding; line breaks are allowed and dropped."""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        joined = text.replace("\r", "").replace("\n", "")
        if joined != text:
            return base64_bytes(joined)
        raise ValueError(f"illegal base64 data at input byte {_first_illegal(text)}") from None
    return text


def _first_illegal(text: str) -> int:
    """Where Go's decoder stops: at the first character that cannot stand there, or at the quantum that is cut short."""
    legal = re.match(r"[A-Za-z0-9+/]*", text)
    end = legal.end() if legal else 0
    if end == len(text):
        return end - end % 4
    padding = "=" * (-end % 4)
    if text[end] == "=" and end % 4 > 1:
        rest = text[end:]
        return len(text) if padding.startswith(rest) and rest != padding else end + len(padding)
    return end
