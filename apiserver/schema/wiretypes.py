"""The structs that have another form in JSON than that of a struct: times, quantities, lists with a name, schemas."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from apiserver.schema.varint import MalformedMessageError
from machinery.objects import Object


class Special(NamedTuple):
    """How such a struct is converted; ``zero`` is the value of an empty one in JSON."""

    read: Callable[[Object], Any]  # the fields of the message → the value in JSON, None for null
    write: Callable[[Any], Object]
    zero: Any = None
    is_short: bool = False  # The value is a short text or a number, so that conversions can be remembered.


def _read_time(fields: Object) -> str | None:
    return _moment(fields.get("seconds", 0), 0, "seconds") if fields else None


def _read_micro_time(fields: Object) -> str | None:
    if not fields:
        return None
    return _moment(fields.get("seconds", 0), fields.get("nanos", 0) // 1000, "microseconds")


_EPOCH = datetime.fromtimestamp(0, UTC)


def _moment(seconds: int, microseconds: int, precision: str) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=microseconds)
    except OverflowError:
        raise MalformedMessageError("Time.MarshalJSON: year outside of range [0,9999]") from None
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _write_time(text: str) -> Object:
    passed = datetime.fromisoformat(text) - _EPOCH
    return {"seconds": passed.days * 86400 + passed.seconds, "nanos": passed.microseconds * 1000}


def _read_int_or_string(fields: Object) -> int | str:
    match fields.get("type", 0):
        case 0:
            return int(fields.get("intVal", 0))
        case 1:
            return str(fields.get("strVal", ""))
    raise MalformedMessageError("impossible IntOrString.Type")


def _write_int_or_string(value: int | str) -> Object:
    return {"type": 1, "strVal": value} if isinstance(value, str) else {"type": 0, "intVal": value}


_HOUR, _MINUTE, _SECOND = 3_600_000_000_000, 60_000_000_000, 1_000_000_000  # nanoseconds
_DURATION = re.compile(r"-?(?:(\d++)ms|(?:(\d++)h)?+(?:(\d++)m)?+(?:(\d++(?:\.\d++)?+)s)?+)")


def _read_duration(fields: Object) -> str:
    """Return a duration as Go does: 1h2m3.5s, 15ms."""
    total = fields.get("duration", 0)
    if 0 < abs(total) < _SECOND:
        return f"{Decimal(total) / 10**6:f}ms"
    hours, rest = divmod(abs(total), _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    seconds = f"{Decimal(rest) / _SECOND:f}s"
    sign = "-" if total < 0 else ""
    return sign + (f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else "") + seconds


def _write_duration(text: str) -> Object:
    found = _DURATION.fullmatch(text)
    assert found is not None, text
    milliseconds, hours, minutes, seconds = (Decimal(part or 0) for part in found.groups())
    total = int(milliseconds * 10**6 + hours * _HOUR + minutes * _MINUTE + seconds * _SECOND)
    return {"duration": -total if text.startswith("-") else total}


def _json_in(field: str) -> Special:
    """Return the conversion of a struct that holds a text in JSON."""

    def read(fields: Object) -> Any:
        raw = fields.get(field)
        try:
            return orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError as error:
            raise MalformedMessageError(str(error)) from None

    return Special(read, lambda value: {field: orjson.dumps(value)})


def _read_schema_or_array(fields: Object) -> Any:
    return fields.get("jSONSchemas") or fields.get("schema")


def _write_schema_or_array(value: Any) -> Object:
    return {"jSONSchemas" if isinstance(value, list) else "schema": value}


def _read_schema_or_bool(fields: Object) -> Any:
    return fields.get("schema", fields.get("allows", False))


def _write_schema_or_bool(value: Any) -> Object:
    return {"allows": value} if isinstance(value, bool) else {"allows": True, "schema": value}


def _read_schema_or_strings(fields: Object) -> Any:
    return fields.get("property") or fields.get("schema")


def _write_schema_or_strings(value: Any) -> Object:
    return {"property" if isinstance(value, list) else "schema": value}


_LIST = Special(lambda fields: fields.get("items", []), lambda value: {"items": value}, [])

SPECIAL = {
    "api.resource.Quantity": Special(
        lambda fields: fields.get("string", "0"), lambda text: {"string": text}, "0", True
    ),
    "apiextensions.v1.JSON": _json_in("raw"),
    "apiextensions.v1.JSONSchemaPropsOrArray": Special(_read_schema_or_array, _write_schema_or_array),
    "apiextensions.v1.JSONSchemaPropsOrBool": Special(_read_schema_or_bool, _write_schema_or_bool, False),
    "apiextensions.v1.JSONSchemaPropsOrStringArray": Special(_read_schema_or_strings, _write_schema_or_strings),
    "authentication.v1.ExtraValue": _LIST,
    "authorization.v1.ExtraValue": _LIST,
    "certificates.v1.ExtraValue": _LIST,
    "meta.v1.Duration": Special(_read_duration, _write_duration, "0s"),
    "meta.v1.FieldsV1": _json_in("Raw"),
    "meta.v1.MicroTime": Special(_read_micro_time, _write_time, None, True),
    "meta.v1.Time": Special(_read_time, _write_time, None, True),
    "meta.v1.Verbs": _LIST,
    "pkg.runtime.RawExtension": _json_in("raw"),
    "util.intstr.IntOrString": Special(_read_int_or_string, _write_int_or_string, 0, True),
}
