"""The formats of strings that v1.32 checks in custom resources; all others are remarks, those of numbers included.

Upstream: kube-openapi pkg/validation/strfmt, govalidator, and the parsers of Go's standard library that these call.
What they take is not always what a standard says, so each check follows the code.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from datetime import date

from apiserver.crdschema import gomail, gourl
from machinery import durations

_GROUPED_DURATION = re.compile(r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]*)")
# Words for units: those that must be the whole word, and those that it may begin with.
_HOUR = durations.UNITS["h"]
_UNITS = durations.UNITS | {"hr": _HOUR, "d": 24 * _HOUR, "w": 168 * _HOUR, "wk": 168 * _HOUR}
_UNIT_PREFIXES = {
    "nano": "ns",
    "micro": "us",
    "milli": "ms",
    "sec": "s",
    "min": "m",
    "hour": "h",
    "day": "d",
    "week": "w",
}
_DAY_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})")
_CREDIT_CARD = re.compile(
    "4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    "|3(0[0-5]|[68][0-9])[0-9]{11}|(2131|1800|35[0-9]{3})[0-9]{11}"
)
_BYTE = "(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])"
_SPACE = r"[\t\n\f\r ]*"
_RGB = re.compile(rf"rgb\({_SPACE}{_BYTE}{_SPACE},{_SPACE}{_BYTE}{_SPACE},{_SPACE}{_BYTE}{_SPACE}\)")
_BASE64 = re.compile("[A-Za-z0-9+/]*={0,2}")
_HEX = "[0-9a-fA-F]"
_UUID = re.compile(rf"{_HEX}{{8}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{12}}")
_OBJECT_ID = re.compile(f"{_HEX}{{24}}")
_HEX_COLOR = re.compile(f"#?({_HEX}{{3}}|{_HEX}{{6}})")
_SSN = re.compile("[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}")
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile("^[0-9a-fA-F]+$")
_WITHOUT_SPACES = str.maketrans("", "", "\t\n\f\r -")


def known(format: str) -> Callable[[str], bool] | None:
    """Return the check of a format, None for one that is not checked. As upstream, hyphens in its name are ignored."""
    return _KNOWN.get(format.replace("-", ""))


def readable(read: Callable[[str], object]) -> Callable[[str], bool]:
    """Return a check that is passed by texts for which ``read`` does not raise ValueError."""

    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _matching(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    year, month, day = map(int, text.split("-"))
    try:
        date(year or 4, month, day)  # Go has a year 0, which was a leap year as 4 was.
    except ValueError:
        return False
    return True


def _date_time(text: str) -> bool:
    day, *rest = text.lower().split("t", 2)
    match = _DAY_TIME.fullmatch(rest[0]) if rest else None
    return match is not None and _date(day) and match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


def duration(text: str) -> int:
    """Return the nanoseconds of a duration of Go, or of all numbers with units in a text: ``5 days``.

    Raises ValueError if there is none.
    """
    try:
        return durations.parse(text)
    except ValueError:
        found = [(number.lstrip("0") or "0", word.lower()) for number, word in _GROUPED_DURATION.findall(text) if word]
        units = {word: _unit(word) for word in {word for _, word in found}}
        fits = all(len(digits) < 20 and int(digits) < 2**63 for digits, _ in found)
        if not fits or not any(units.values()):
            raise
        return sum(int(digits) * units[word] for digits, word in found)


def _unit(word: str) -> int:
    """Return the nanoseconds of a unit, 0 for a word that is none."""
    exact = _UNITS.get(word)
    if exact is not None:
        return exact
    return next((_UNITS[unit] for begin, unit in _UNIT_PREFIXES.items() if word.startswith(begin)), 0)


def _hostname(text: str) -> bool:
    """Return True for parts of at most 63 bytes.

    As upstream, the last of several must be letters, and a single one may have a hyphen only in the second place.
    """
    first, *others = text.split(".")
    if len(text.encode()) > 255 or any(len(part.encode()) > 63 for part in (first, *others)):
        return False
    if not others:
        return bool(first) and _are_name(first[:1] + first[1:].removeprefix("-"))
    *inner, last = (first, *others)
    if not all(_are_name(part[:1] + part[1:-1].replace("-", "") + part[-1:]) for part in inner):
        return False
    return len(last) > 1 and all(unicodedata.category(each)[0] == "L" for each in last)


def _are_name(text: str) -> bool:
    """Return True if there are characters, and all of them are letters, ASCII digits or symbols."""
    return bool(text) and all(each in "0123456789" or unicodedata.category(each)[0] in "LS" for each in text)


def is_ip(text: str) -> bool:
    """Return True for what Go's net.ParseIP reads: no leading zeros in IPv4, no zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_ip_sloppy(text: str) -> bool:
    """Return True for what Go read before 1.17, with any number of leading zeros (k8s.io/utils/net: ParseIPSloppy)."""
    groups, colon, last = text.rpartition(":")
    octets = ".".join(_NUMBER.sub(_without_zeros, part) for part in last.split("."))
    return is_ip(":".join(_NUMBER.sub(_without_zeros, part) for part in groups.split(":")) + colon + octets)


def _without_zeros(number: re.Match[str]) -> str:
    return number[0].lstrip("0") or "0"


def _cidr(text: str) -> bool:
    address, _, length = text.partition("/")
    if not _is_ip_sloppy(address) or not (length.isascii() and length.isdigit()):
        return False
    digits = length.lstrip("0") or "0"
    return len(digits) < 4 and int(digits) <= (128 if ":" in address else 32)


def _mac(text: str) -> bool:
    """Return True for 6, 8 or 20 bytes, in pairs of digits with hyphens or colons, or in fours with dots."""
    separator = next((each for each in ":-." if each in (text[2:3], text[4:5])), "")
    size = 4 if separator == "." else 2
    parts = text.split(separator) if separator else []
    return len(parts) * size in (12, 16, 40) and all(len(part) == size and _is_hex(part) for part in parts)


def _is_hex(text: str) -> bool:
    return all(each in "0123456789abcdefABCDEF" for each in text)


def _uuid(version: str, variants: str = "") -> Callable[[str], bool]:
    def check(text: str) -> bool:
        digits = text.replace("-", "")
        return bool(_UUID.fullmatch(text)) and digits[12] == version and (not variants or digits[16] in variants)

    return check


def _credit_card(text: str) -> bool:
    digits = "".join(each for each in text if each in "0123456789")
    doubled = [sum(divmod(int(digit) * (1 + index % 2), 10)) for index, digit in enumerate(reversed(digits[:20]))]
    return bool(_CREDIT_CARD.fullmatch(digits)) and sum(doubled) % 10 == 0


def _isbn10(text: str) -> bool:
    digits = text.translate(_WITHOUT_SPACES)
    if len(digits) != 10 or not all(each in "0123456789" for each in digits.removesuffix("X")):
        return False
    return sum((10 if digit == "X" else int(digit)) * place for place, digit in enumerate(digits, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = text.translate(_WITHOUT_SPACES)
    if len(digits) != 13 or not all(each in "0123456789" for each in digits):
        return False
    return sum(int(digit) * (1 + 2 * (place % 2)) for place, digit in enumerate(digits)) % 10 == 0


_KNOWN: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matching(_OBJECT_ID),
    "uri": gourl.is_request_uri,
    "email": gomail.is_address,
    "hostname": _hostname,
    "ipv4": lambda text: "." in text and _is_ip_sloppy(text),
    "ipv6": lambda text: ":" in text and is_ip(text),
    "cidr": _cidr,
    "mac": _mac,
    "uuid": _matching(_UUID),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "89abAB"),
    "uuid5": _uuid("5", "89abAB"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matching(_SSN),
    "hexcolor": _matching(_HEX_COLOR),
    "rgbcolor": _matching(_RGB),
    "byte": lambda text: bool(text) and len(text) % 4 == 0 and _BASE64.fullmatch(text) is not None,
    "password": lambda text: True,
    "date": _date,
    "duration": readable(duration),
    "datetime": _date_time,
}
