"""The formats of strings that upstream checks (kube-openapi pkg/validation/strfmt); all others are remarks."""

from __future__ import annotations

import base64
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from email.utils import parseaddr
from urllib.parse import urlsplit

_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:?\d\d)?")
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?\s*(ns|us|µs|μs|ms|s|m|h|d|w|[a-z]+)\s*)+", re.IGNORECASE)
_UNITS = frozenset(
    unit
    for units in (
        "ns nano nanosecond nanoseconds nanos",
        "us µs μs micro micros microsecond microseconds",
        "ms milli millis millisecond milliseconds",
        "s sec secs second seconds",
        "m min mins minute minutes",
        "h hr hour hours d day days w wk week weeks",
    )
    for unit in units.split()
)
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def readable(read: Callable[[str], object]) -> Callable[[str], bool]:
    """Return a check that is passed by texts for which ``read`` does not raise ValueError."""

    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _matching(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _date_time(text: str) -> bool:
    match = _DATE_TIME.fullmatch(text)
    return match is not None and readable(datetime.fromisoformat)(f"{match[1]}T{match[2]}")


def _duration(text: str) -> bool:
    if text in ("0", "+0", "-0"):
        return True
    found = re.findall(r"[a-zµμ]+", text, re.IGNORECASE)
    return _DURATION.fullmatch(text) is not None and all(unit.lower() in _UNITS for unit in found)


def _uri(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme) or text.startswith("/")


def _email(text: str) -> bool:
    _, address = parseaddr(text)
    name, _, host = address.rpartition("@")
    return bool(name and host) and (" " not in text.strip() or "<" in text)


def _hostname(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    return 0 < len(text) <= 255 and all(_HOST_LABEL.fullmatch(label) for label in labels)


def _uuid(version: int = 0) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        if not re.fullmatch(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", text):
            return False
        return not version or uuid.UUID(text).version == version

    return check


def _luhn(text: str) -> bool:
    digits = [int(digit) for digit in re.sub(r"[^0-9]", "", text)]
    doubled = [sum(divmod(digit * 2, 10)) if index % 2 else digit for index, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0


def _isbn10(text: str) -> bool:
    characters = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{9}[\dX]", characters):
        return False
    return sum((10 if c == "X" else int(c)) * (10 - index) for index, c in enumerate(characters)) % 11 == 0


def _isbn13(text: str) -> bool:
    characters = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{13}", characters):
        return False
    return sum(int(c) * (3 if index % 2 else 1) for index, c in enumerate(characters)) % 10 == 0


KNOWN: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matching("[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": readable(ipaddress.IPv4Address),
    "ipv6": readable(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and readable(lambda t: ipaddress.ip_network(t, strict=False))(text),
    "mac": _matching("([0-9A-Fa-f]{2}[:-]){5,19}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{4}\\.){2,9}[0-9A-Fa-f]{4}"),
    "uuid": _uuid(),
    "uuid3": _uuid(3),
    "uuid4": _uuid(4),
    "uuid5": _uuid(5),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _luhn,
    "ssn": _matching(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matching("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matching(r"rgb\(\s*(\d{1,3}%?)\s*,\s*(\d{1,3}%?)\s*,\s*(\d{1,3}%?)\s*\)"),
    "byte": readable(lambda text: base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)),
    "password": lambda text: True,
    "date": lambda text: _matching(r"\d{4}-\d\d-\d\d")(text) and readable(date.fromisoformat)(text),
    "duration": _duration,
    "datetime": _date_time,
    "date-time": _date_time,
}
