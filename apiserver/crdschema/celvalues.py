"""Convert the values of custom resources to those that rules see (upstream: apiserver pkg/cel/common/values.go).

Objects become dicts by escaped names, and null fields of objects are as if absent. Lists of type ``set`` and ``map``
are equal in any order, and are joined without repeating elements.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from apiserver.crdschema import formats
from apiserver.crdschema.cel.conversions import timestamp_nanos
from apiserver.crdschema.cel.values import (
    Duration,
    EvaluationError,
    Invalid,
    Key,
    Timestamp,
    checked_int,
    equal,
)
from apiserver.crdschema.celtypes import escape, fields_of
from apiserver.crdschema.structural import EMBEDDED, INT_OR_STRING, LIST_KEYS, LIST_TYPE, Schema, below


class SetList(list[Any]):
    """A list of type ``set``."""

    def equals(self, other: list[Any]) -> bool:
        if len(self) != len(other):
            return False
        return _identities(self) == _identities(other)

    def __add__(self, other: list[Any]) -> SetList:
        merged = {_identity(item): item for item in self}
        for item in other:
            merged.setdefault(_identity(item), item)
        return SetList(merged.values())


class MapList(list[Any]):
    """A list of type ``map``, whose elements are known by their ``keys``."""

    def __init__(self, items: Iterable[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def _key(self, item: Any) -> bytes:
        values = [item.get(key) for key in self.keys] if isinstance(item, dict) else [item]
        return orjson.dumps([_plain(value) for value in values], default=repr)

    def equals(self, other: list[Any]) -> bool:
        if len(self) != len(other):
            return False
        known = {self._key(item): item for item in self}
        return all((key := self._key(item)) in known and equal(known[key], item) for item in other)

    def __add__(self, other: list[Any]) -> MapList:
        merged = {self._key(item): item for item in self} | {self._key(item): item for item in other}
        return MapList(merged.values(), self.keys)


class Unknown:
    """A value that the schema does not describe: it can only be compared."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and _same(self._raw, other._raw)

    __hash__ = None  # type: ignore[assignment]


def _same(one: Any, other: Any) -> bool:
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Key) else value


def _identity(value: Any) -> Any:
    """Return what elements of a set are compared by: a hashable value."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, (list, dict)):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=repr)
    return value


def _identities(items: list[Any]) -> set[Any]:
    return set(map(_identity, items))


class Converter:
    """Converts values, each once: rules at several places of a schema see the same values."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Any, Any]] = {}

    def convert(self, schema: Schema, value: Any, *, root: bool = False) -> Any:
        """Return a value as rules see it; ``root`` values are resources."""
        if not isinstance(value, (dict, list)):
            return _scalar(schema, value)
        key = (id(schema), id(value))
        known = self._known.get(key)
        if known is None:
            # The value is kept with its conversion, so that its id remains its own.
            known = self._known[key] = (value, self._container(schema, value, root=root))
        return known[1]

    def _container(self, schema: Schema, value: Any, *, root: bool) -> Any:
        kind = schema.get("type")
        if kind == "object" and isinstance(value, dict):
            return self._object(schema, value, root=root or bool(schema.get(EMBEDDED)))
        if kind == "array" and isinstance(value, list):
            return self._list(schema, value)
        return Unknown(value) if kind is None else Invalid(f"invalid data, expected {kind}")

    def _object(self, schema: Schema, value: dict[str, Any], *, root: bool) -> dict[str, Any]:
        additional = below(schema, "additionalProperties")
        if additional is not None:
            return {key: self.convert(additional, child) for key, child in value.items()}
        fields = fields_of(schema, root=root)
        found = {}
        for key, child in value.items():
            if child is None:
                continue
            if key not in fields:
                found[key] = Unknown(child)
                continue
            escaped = escape(key) or key
            found[escaped] = self.convert(fields[key], child)
            if escaped == f"__{key}__":
                found[key] = found[escaped]  # a reserved word, which may be written both ways
        return found

    def _list(self, schema: Schema, value: list[Any]) -> list[Any]:
        items = below(schema, "items") or {}
        found = [self.convert(items, element) for element in value]
        match schema.get(LIST_TYPE):
            case "set":
                return SetList(found)
            case "map":
                return MapList(found, tuple(escape(key) or key for key in schema.get(LIST_KEYS) or ()))
        return found


def _scalar(schema: Schema, value: Any) -> Any:
    if value is None:
        return None if schema.get("nullable") else Invalid("invalid data, got null for schema with nullable=false")
    if schema.get(INT_OR_STRING):
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return value
        return Invalid("invalid data, expected XIntOrString value to be either a string or integer")
    kind = schema.get("type")
    read = _READERS.get(kind or "")
    if read is None:
        return Unknown(value) if kind is None else Invalid(f"invalid data, expected {kind}")
    try:
        return read(schema, value)
    except EvaluationError as error:
        return Invalid(str(error))


def _string(schema: Schema, value: Any) -> Any:
    if not isinstance(value, str):
        raise EvaluationError(f"invalid data, expected string, got {_go_type(value)}")
    read = _TEXTS.get(schema.get("format", ""))
    if read is None:
        return value
    try:
        return read(value)
    except (EvaluationError, binascii.Error, ValueError) as error:
        raise EvaluationError(f"Invalid {schema['format']} formatted string {value}: {error}") from None


def _number(schema: Schema, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise EvaluationError(f"invalid data, expected float, got {_go_type(value)}")
    return float(value)


def _integer(schema: Schema, value: Any) -> int:
    whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (isinstance(value, int) or whole):
        raise EvaluationError(f"invalid data, expected int, got {_go_type(value)}")
    return checked_int(int(value))


def _boolean(schema: Schema, value: Any) -> bool:
    if not isinstance(value, bool):
        raise EvaluationError(f"invalid data, expected bool, got {_go_type(value)}")
    return value


def _go_type(value: Any) -> str:
    names = {str: "string", bool: "bool", int: "int64", float: "float64", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")


def _date(text: str) -> Timestamp:
    return Timestamp(timestamp_nanos(f"{text}T00:00:00Z"))


_TEXTS: dict[str, Callable[[str], Any]] = {
    "date": _date,
    "date-time": lambda text: Timestamp(timestamp_nanos(text)),
    "duration": lambda text: Duration(formats.duration(text)),
    "byte": lambda text: base64.b64decode(text, validate=True),
}
_READERS: dict[str, Callable[[Schema, Any], Any]] = {
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
}
