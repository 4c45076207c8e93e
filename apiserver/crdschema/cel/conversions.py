"""Convert values between CEL's types, as int() and string() do (upstream: cel-go common/types)."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from apiserver.crdschema.cel.types import Type
from apiserver.crdschema.cel.values import (
    NANOS,
    Duration,
    EvaluationError,
    Opaque,
    Timestamp,
    Uint,
    checked_int,
    checked_uint,
    shown,
)
from machinery import durations
from machinery.errors import quote

_MOST_DIGITS = 32
_NO_OVERLOAD = "no such overload"


def to_int(value: Any) -> int:
    match value:
        case bool():
            pass
        case int():
            return checked_int(int(value))
        case float():
            if not -(2.0**63) < value < 2.0**63:
                raise EvaluationError("integer overflow")
            return int(value)
        case str():
            return checked_int(_parsed_integer(value, "strconv.ParseInt", signed=True))
        case Timestamp():
            return value.nanos // NANOS
        case Duration():
            return value.nanos
    raise EvaluationError(_NO_OVERLOAD)


def to_uint(value: Any) -> Uint:
    match value:
        case bool():
            pass
        case int():
            return checked_uint(value)
        case float():
            if not 0 <= value < 2.0**64:
                raise EvaluationError("unsigned integer overflow")
            return Uint(value)
        case str():
            return checked_uint(_parsed_integer(value, "strconv.ParseUint", signed=False))
    raise EvaluationError(_NO_OVERLOAD)


def _parsed_integer(text: str, function: str, *, signed: bool) -> int:
    digits = text[1:] if signed and text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise EvaluationError(f"{function}: parsing {quote(text)}: invalid syntax")
    significant = digits.lstrip("0") or "0"
    value = int(significant) if len(significant) <= _MOST_DIGITS else 2**80
    value = -value if text.startswith("-") else value
    if not (-(2**63) <= value < 2**63 if signed else value < 2**64):
        raise EvaluationError(f"{function}: parsing {quote(text)}: value out of range")
    return value


def to_double(value: Any) -> float:
    match value:
        case bool():
            pass
        case int() | float():
            return float(value)
        case str():
            return _parsed_double(value)
    raise EvaluationError(_NO_OVERLOAD)


def _parsed_double(text: str) -> float:
    special = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
    bare = text.lstrip("+-").lower() if text[:1] in ("+", "-") else text.lower()
    if bare in special:
        return -special[bare] if text.startswith("-") else special[bare]
    valid = text.isascii() and set("0123456789+-.eE").issuperset(text)
    try:
        value = float(text) if valid else None
    except ValueError:
        value = None
    if value is None:
        raise EvaluationError(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax")
    if math.isinf(value):
        raise EvaluationError(f"strconv.ParseFloat: parsing {quote(text)}: value out of range")
    return value


def to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in ("1", "t", "T", "true", "TRUE", "True"):
            return True
        if value in ("0", "f", "F", "false", "FALSE", "False"):
            return False
        raise EvaluationError(f"strconv.ParseBool: parsing {quote(value)}: invalid syntax")
    raise EvaluationError(_NO_OVERLOAD)


def to_string(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(int(value))
        case float():
            return shown(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
        case Timestamp():
            return timestamp_text(value)
        case Duration():
            return f"{_seconds(value.nanos)}s"
        case Opaque():
            return str(value)
        case Type():
            return value.runtime_name
    raise EvaluationError(_NO_OVERLOAD)


def to_bytes(value: Any) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)


def _seconds(nanos: int) -> str:
    whole, fraction = divmod(abs(nanos), NANOS)
    text = f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nanos < 0 else text


def to_duration(value: Any) -> Duration:
    match value:
        case Duration():
            return value
        case str():
            try:
                return Duration(durations.parse(value))
            except ValueError as error:
                raise EvaluationError(str(error)) from None
        case int():
            return Duration(value)
    raise EvaluationError(_NO_OVERLOAD)


def to_timestamp(value: Any) -> Timestamp:
    match value:
        case Timestamp():
            return value
        case str():
            return Timestamp(timestamp_nanos(value))
        case int():
            return Timestamp(value * NANOS)
    raise EvaluationError(_NO_OVERLOAD)


def timestamp_nanos(text: str) -> int:
    """Return the nanoseconds since 1970 of a time in the form of RFC 3339. Raises EvaluationError."""
    wrong = EvaluationError(f'parsing time {quote(text)} as "2006-01-02T15:04:05Z07:00": cannot parse')
    if len(text) < 20 or not text.isascii() or len(text) > 64:
        raise wrong
    head, at = text[:19], 19
    if (head[4], head[7], head[10], head[13], head[16]) != ("-", "-", "T", ":", ":"):
        raise wrong
    parts = (head[:4], head[5:7], head[8:10], head[11:13], head[14:16], head[17:])
    if not all(part.isdigit() for part in parts):
        raise wrong
    fraction = ""
    if text[at] in ".,":
        at += 1
        while at < len(text) and text[at].isdigit():
            fraction += text[at]
            at += 1
        if not fraction:
            raise wrong
    zone = text[at:]
    offset = 0
    if zone != "Z":
        if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":" or not (zone[1:3] + zone[4:]).isdigit():
            raise wrong
        if int(zone[1:3]) > 24 or int(zone[4:]) >= 60:
            raise wrong
        offset = (int(zone[1:3]) * 60 + int(zone[4:])) * 60 * (-1 if zone[0] == "-" else 1)
    try:
        moment = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        raise wrong from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return (seconds - offset) * NANOS + int(fraction[:9].ljust(9, "0") or "0")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp_text(value: Timestamp) -> str:
    """Return a time in the form of RFC 3339, with as many digits of a second as are needed."""
    seconds, nanos = divmod(value.nanos, NANOS)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f"{fraction}Z"


def moment_in(value: Timestamp, zone: str = "") -> datetime:
    """Return a time in a time zone: a name of the zone database, or an offset such as ``-08:00``."""
    seconds = value.nanos // NANOS
    try:
        return (_EPOCH + timedelta(seconds=seconds)).astimezone(_zone(zone))
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC"):
        return UTC
    if ":" not in name:
        try:
            return ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            raise EvaluationError(f"unknown time zone {name}") from None
    sign = -1 if name.startswith("-") else 1
    hours, _, minutes = name.lstrip("+-").partition(":")
    if not (hours.isascii() and hours.isdigit() and minutes.isascii() and minutes.isdigit() and len(name) <= 6):
        raise EvaluationError(f"strconv.Atoi: parsing {quote(name)}: invalid syntax")
    try:
        return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes)))
    except ValueError:
        raise EvaluationError(f"unknown time zone {name}") from None
