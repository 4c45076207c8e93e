"""Convert schemas to CEL types and values to CEL values (upstream: schema/cel, model/schemas.go).

CEL knows structs as protobuf messages, so rules are type-checked against messages that are made from the schema. They
run on plain values, of which times, durations and bytes are converted to CEL's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, struct_pb2, timestamp_pb2

from apiserver.crdschema.structural import EMBEDDED, INT_OR_STRING, PRESERVE, Schema, below
from machinery import durations

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "schema"
_DYN, _LIST, _MAP = (f".google.protobuf.{name}" for name in ("Value", "ListValue", "Struct"))
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LITERALS = ("true", "false", "null", "in")
_RESERVED = ("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package")
_KEYWORDS = frozenset((*_LITERALS, *_RESERVED, "namespace", "return", "var", "void", "while"))
# The part of a resource's metadata that rules may use.
_METADATA: Schema = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
_TEXT: Schema = {"type": "string"}


def escape(name: str) -> str:
    """Return a field's name as rules write it, "" if they cannot name it."""
    if name in _KEYWORDS:
        return f"__{name}__"
    escaped = name.replace("__", "__underscores__")
    for character, word in ((".", "dot"), ("-", "dash"), ("/", "slash")):
        escaped = escaped.replace(character, f"__{word}__")
    return escaped if _IDENTIFIER.fullmatch(escaped) else ""


def fields_of(schema: Schema, *, root: bool) -> dict[str, Schema]:
    """Return the fields that rules may use; of a resource these include apiVersion, kind and metadata's names."""
    fields: dict[str, Schema] = dict(schema.get("properties") or {})
    if root or schema.get(EMBEDDED):
        fields |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA}
    return fields


class Types:
    """The CEL type of a schema, with the descriptors that it needs."""

    def __init__(self, schema: Schema, *, root: bool) -> None:
        self._file = descriptor_pb2.FileDescriptorProto(
            name="schema.proto",
            package=_PACKAGE,
            syntax="proto2",
            dependency=[f"google/protobuf/{name}.proto" for name in ("struct", "timestamp", "duration")],
        )
        self.type = self._type(schema, root=root)
        self.pool = descriptor_pool.DescriptorPool()
        for module in (struct_pb2, timestamp_pb2, duration_pb2):
            self.pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        self.pool.AddSerializedFile(self._file.SerializeToString())

    def _type(self, schema: Schema, *, root: bool = False) -> Any:
        """Return the CEL type of a schema."""
        items, additional = below(schema, "items"), below(schema, "additionalProperties")
        match _kind(schema, root=root):
            case "list":
                return cel.Type.List(self._type(items) if items is not None else cel.Type.DYN)
            case "map":
                assert additional is not None
                return cel.Type.Map(cel.Type.STRING, self._type(additional))
            case "struct":
                return cel.Type(self._message(schema, root=root))
            case kind:
                return getattr(cel.Type, kind.upper())

    def _message(self, schema: Schema, *, root: bool) -> str:
        """Add a message with the schema's fields, and return its full name."""
        name = f"Object{len(self._file.message_type)}"
        message = self._file.message_type.add(name=name)
        for number, (key, child) in enumerate(fields_of(schema, root=root).items(), 1):
            if escaped := escape(key):
                self._field(message, escaped, number, child, f"{_PACKAGE}.{name}")
        return f"{_PACKAGE}.{name}"

    def _field(self, message: Any, name: str, number: int, schema: Schema, owner: str) -> None:
        items, additional = below(schema, "items"), below(schema, "additionalProperties")
        # The unused JSON names are set, because names that differ only in underscores would get the same one.
        field = message.field.add(name=name, number=number, json_name=f"f{number}", label=_Field.LABEL_OPTIONAL)
        match _kind(schema):
            case "list" if items is not None:
                field.label = _Field.LABEL_REPEATED
                self._element(field, items)
            case "map" if additional is not None and name.lstrip("_") == name:
                # protobuf requires that the entry is named after the field.
                words = (word[:1].upper() + word[1:] for word in name.split("_"))
                entry = message.nested_type.add(name="".join([*words, "Entry"]))
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
                value = entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL)
                self._element(value, additional)
                field.label = _Field.LABEL_REPEATED
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{owner}.{entry.name}"
            case _:
                self._element(field, schema)

    def _element(self, field: Any, schema: Schema) -> None:
        """Set the type of a single value. Lists and maps that protobuf cannot nest are dynamic inside."""
        kind = _kind(schema)
        if kind in _SCALARS:
            field.type = _SCALARS[kind]
            return
        names = {
            "list": _LIST,
            "map": _MAP,
            "dyn": _DYN,
            "timestamp": ".google.protobuf.Timestamp",
            "duration": ".google.protobuf.Duration",
        }
        field.type = _Field.TYPE_MESSAGE
        field.type_name = names[kind] if kind in names else f".{self._message(schema, root=False)}"


_SCALARS = {
    "string": _Field.TYPE_STRING,
    "int": _Field.TYPE_INT64,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
}


def _kind(schema: Schema, *, root: bool = False) -> str:
    """Return the name of the CEL type of a schema's values."""
    if schema.get(INT_OR_STRING) or (schema.get("nullable") and schema.get("type") not in ("object", "array")):
        return "dyn"
    match schema.get("type"):
        case "object" if below(schema, "additionalProperties") is not None:
            return "map"
        case "object" if fields_of(schema, root=root) or not schema.get(PRESERVE):
            return "struct"
        case "array":
            return "list"
        case "string":
            return {"date": "timestamp", "date-time": "timestamp", "duration": "duration", "byte": "bytes"}.get(
                schema.get("format", ""), "string"
            )
    return {"integer": "int", "number": "double", "boolean": "bool"}.get(schema.get("type", ""), "dyn")


def value_of(schema: Schema, value: Any, *, root: bool = False) -> Any:
    """Return a value as rules see it."""
    if isinstance(value, dict):
        additional = below(schema, "additionalProperties")
        if additional is not None:
            return {key: value_of(additional, child) for key, child in value.items()}
        fields = fields_of(schema, root=root)
        if not fields:
            return value
        return {
            escaped: value_of(fields[key], child)
            for key, child in value.items()
            if key in fields and (escaped := escape(key))
        }
    if isinstance(value, list):
        items = below(schema, "items")
        return [value_of(items, element) for element in value] if items is not None else value
    if isinstance(value, int) and not isinstance(value, bool) and schema.get("type") == "number":
        return float(value)
    read = _READERS.get(_kind(schema)) if isinstance(value, str) else None
    if read is None:
        return value
    try:
        return read(value)
    except (ValueError, binascii.Error):
        return value  # that it does not have its format is reported by values.py


def _timestamp(text: str) -> Any:
    whole_day = len(text) == len("2006-01-02")
    moment = datetime.combine(date.fromisoformat(text), time(), UTC) if whole_day else datetime.fromisoformat(text)
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def _duration(text: str) -> Any:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(durations.parse(text))
    return duration


_READERS: dict[str, Callable[[str], Any]] = {
    "timestamp": _timestamp,
    "duration": _duration,
    "bytes": lambda text: base64.b64decode(text, validate=True),
}
