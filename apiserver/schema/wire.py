"""Messages of protobuf as objects in the form of JSON, and back: as upstream's generated Go code reads and writes them.

Every struct of ``gotypes`` has a Message, which is made when it is first needed. A body is read in one pass, in a time
that is linear in its length. Fields with unknown numbers are dropped, as by Go. What is read is what Go would write as
JSON: a scalar that is zero is absent if its tag says omitempty.

The library protobuf is not used, because its messages would have to be walked field by field as well: what Go inlines
in JSON is a message here, and quantities, times and the like have forms of their own. The tests judge by the library.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import cache, lru_cache
from typing import Any

from apiserver.schema import gotypes
from apiserver.schema.gotypes import GoField
from apiserver.schema.varint import (
    BYTES,
    FIXED64,
    VARINT,
    MalformedMessageError,
    append,
    read_varint,
    skip,
    too_long,
    varint,
    within,
)
from apiserver.schema.wiretypes import SPECIAL
from machinery.objects import Object

UNKNOWN = "pkg.runtime.Unknown"

_Read = Callable[[bytes, int, int], Any]  # (data, begin, end) → value in JSON
_Take = Callable[..., None]  # (object, data, begin, end), or (object, number) of a VARINT
_Write = Callable[[list[bytes], Any], None]


class Message:
    """One struct's fields, by tag to read them and by name to write them."""

    __slots__ = ("fields", "inlined", "name", "numbers", "takers", "writers")

    def __init__(self, name: str, fields: Iterable[GoField]) -> None:
        plain = name in SPECIAL or name == UNKNOWN  # Its bytes are not text in base64.
        self.name = name.rpartition(".")[2]
        self.fields: dict[int, str] = {}
        self.numbers: dict[str, int] = {}
        self.inlined: list[tuple[bytes, str]] = []
        self.takers: dict[int, _Take] = {}
        self.writers: dict[str, _Write] = {}
        for field in fields:
            # As Go's messages call it: metadata are embedded there, so the field has its type's name.
            self.fields[field.number] = field.type.rpartition(".")[2] if field.name == "metadata" else field.name
            self.numbers[field.name] = field.number
            self.takers.update(_takers(field, plain))
            if field.inline:
                self.inlined.append((varint(field.number << 3 | BYTES), field.type))
            else:
                self.writers[field.name] = _writer(field, plain)

    def read(self, data: bytes, position: int, end: int, into: Object) -> None:
        """Read a message, which is a part of ``data``, into an object.

        Raises MalformedMessageError, and UnicodeDecodeError for a text that is not UTF-8.
        """
        take_of = self.takers.get
        while position < end:
            # Numbers below 128, which most tags and lengths are, are read here; calls would double the time.
            tag = data[position]
            position += 1
            if tag > 127:
                tag, position = read_varint(data, position - 1, end)
            take = take_of(tag)
            if take is None:
                position = skip(self.name, self.fields, tag, data, position, end)
                continue
            wire_type = tag & 7
            if wire_type == FIXED64:
                begin, position = position, within(position + 8, end)
                take(into, data, begin, position)
                continue
            number = data[position] if position < end else 128
            position += 1
            if number > 127:
                number, position = read_varint(data, position - 1, end)
            if wire_type == VARINT:
                take(into, number)
                continue
            begin, position = position, position + number
            if position > end:
                raise too_long(number)
            take(into, data, begin, position)

    def write(self, obj: Mapping[str, Any]) -> bytes:
        """Return an object as a message; nulls are left out, and what is no field of it."""
        parts: list[bytes] = []
        for tag, name in self.inlined:
            append(parts, tag, message(name).write(obj))
        writers = self.writers
        for name, value in obj.items():
            if value is not None and (write := writers.get(name)) is not None:
                write(parts, value)
        return b"".join(parts)


@cache
def _structs() -> Mapping[str, str]:
    return gotypes.load()


@cache
def message(name: str) -> Message:
    """Return the message of a struct of ``gotypes``; raises KeyError for an unknown name."""
    return Message(name, gotypes.parse(_structs()[name]))


def is_message(name: str) -> bool:
    """Return True for a struct that there is a message of."""
    return name in _structs()


def _takers(field: GoField, plain: bool) -> dict[int, _Take]:
    """Return by their tags what takes a field's value into an object; ``plain`` bytes stay bytes."""
    name, tag, convert = field.name, field.number << 3, _NUMBERS.get(field.type)
    if convert is not None:
        return _numbers(name, tag, convert) if field.label else {tag | VARINT: _number_taker(field, convert)}
    if field.inline:
        return {tag | BYTES: lambda into, data, begin, end: message(field.type).read(data, begin, end, into)}
    wire_type = FIXED64 if field.type == "double" else BYTES
    return {tag | wire_type: _entry_taker(field) if field.label == "{}" else _taker(field, _reader(field, plain))}


def _taker(field: GoField, read: _Read) -> _Take:
    name = field.name

    def take_item(into: Object, data: bytes, begin: int, end: int) -> None:
        item = read(data, begin, end)
        items = into.get(name)
        if items is None:
            into[name] = [item]
        else:
            items.append(item)

    def merge(into: Object, data: bytes, begin: int, end: int) -> None:
        message(field.type).read(data, begin, end, into.setdefault(name, {}))

    def take(into: Object, data: bytes, begin: int, end: int) -> None:
        value = read(data, begin, end)
        if value is not None:
            into[name] = value

    def take_or_drop(into: Object, data: bytes, begin: int, end: int) -> None:
        if begin < end:
            into[name] = read(data, begin, end)
        else:
            into.pop(name, None)

    def take_text(into: Object, data: bytes, begin: int, end: int) -> None:
        if begin < end or not droppable:
            into[name] = data[begin:end].decode()
        else:
            into.pop(name, None)

    droppable = field.omitempty and field.is_scalar
    if field.label:
        return take_item
    if field.type == "string":
        return take_text
    if "." in field.type and field.type not in SPECIAL:
        return merge
    return take_or_drop if droppable else take


def _number_taker(field: GoField, convert: Callable[[int], Any]) -> _Take:
    name, droppable = field.name, field.omitempty and field.is_scalar

    def take(into: Object, number: int) -> None:
        if number or not droppable:
            into[name] = convert(number)
        else:
            into.pop(name, None)

    return take


def _numbers(name: str, tag: int, convert: Callable[[int], Any]) -> dict[int, _Take]:
    """Return what takes a list of numbers, which may be packed into one field."""

    def packed(into: Object, data: bytes, begin: int, end: int) -> None:
        numbers = into.setdefault(name, [])
        while begin < end:
            number, begin = read_varint(data, begin, end)
            numbers.append(convert(number))

    return {
        tag | VARINT: lambda into, number: into.setdefault(name, []).append(convert(number)),
        tag | BYTES: packed,
    }


def _entry(field: GoField) -> tuple[GoField, GoField]:
    """Return the fields of a map's entry, which is a message."""
    key = GoField("key", 1, "", "string", "string", False, False, False)
    return key, GoField("value", 2, "", field.type, field.type, False, False, False)


def _entry_taker(field: GoField) -> _Take:
    entry = Message(f"{field.name}Entry", _entry(field))
    zero = SPECIAL[field.type].zero if field.type in SPECIAL else _ZEROS.get(field.type, {})

    def take(into: Object, data: bytes, begin: int, end: int) -> None:
        pair: Object = {}
        entry.read(data, begin, end, pair)
        into.setdefault(field.name, {})[pair.get("key", "")] = pair["value"] if "value" in pair else copy(zero)

    return take


def _reader(field: GoField, plain: bool) -> _Read:
    if field.type in SPECIAL:
        type_, is_short = field.type, SPECIAL[field.type].is_short

        def read_special(data: bytes, begin: int, end: int) -> Any:
            short = is_short and end - begin <= _MOST_REMEMBERED
            return (_read_short if short else _read_special)(type_, data[begin:end])

        return read_special
    match field.type:
        case "string":
            return lambda data, begin, end: data[begin:end].decode()
        case "bytes" if plain:
            return lambda data, begin, end: data[begin:end]
        case "bytes":
            return lambda data, begin, end: base64.b64encode(data[begin:end]).decode()
        case "double":
            return _read_double

    def read_message(data: bytes, begin: int, end: int) -> Object:
        item: Object = {}
        if begin < end:
            message(field.type).read(data, begin, end, item)
        return item

    return read_message


# Bytes of a special value that is remembered: the same few times and quantities occur again and again.
_MOST_REMEMBERED = 32


def _read_special(name: str, data: bytes) -> Any:
    fields: Object = {}
    message(name).read(data, 0, len(data), fields)
    return SPECIAL[name].read(fields)


def _write_special(name: str, value: Any) -> bytes:
    return message(name).write(SPECIAL[name].write(value))


_read_short = lru_cache(maxsize=4096)(_read_special)
_write_short = lru_cache(maxsize=4096)(_write_special)


def _read_double(data: bytes, begin: int, end: int) -> float:
    number: float = struct.unpack("<d", data[begin:end])[0]
    if not math.isfinite(number):
        raise MalformedMessageError(f"json: unsupported value: {number}")
    return number


def _signed(bits: int) -> Callable[[int], int]:
    half, mask = 1 << bits - 1, (1 << bits) - 1
    return lambda number: ((number & mask) ^ half) - half


_NUMBERS: dict[str, Callable[[int], Any]] = {"bool": bool, "int32": _signed(32), "int64": _signed(64)}
_ZEROS: dict[str, Any] = {"bool": False, "bytes": "", "double": 0, "int32": 0, "int64": 0, "string": ""}


def _writer(field: GoField, plain: bool) -> _Write:
    """Return what appends a field's value to the parts of a message."""
    one = _one_writer(_entry(field)[1] if field.label == "{}" else field, plain)
    if field.label == "[]":

        def write_list(parts: list[bytes], values: list[Any]) -> None:
            for value in values:
                one(parts, value)

        return write_list
    if field.label == "{}":
        tag = varint(field.number << 3 | BYTES)

        def write_map(parts: list[bytes], values: Mapping[str, Any]) -> None:
            for key, value in values.items():
                entry: list[bytes] = []
                append(entry, b"\n", key.encode())
                one(entry, value)
                append(parts, tag, b"".join(entry))

        return write_map
    return one


def _one_writer(field: GoField, plain: bool) -> _Write:
    if field.type in _NUMBERS:
        tag = varint(field.number << 3 | VARINT)
        return lambda parts, value: parts.extend((tag, varint(value)))
    if field.type == "double":
        tag = varint(field.number << 3 | FIXED64)
        return lambda parts, value: parts.extend((tag, struct.pack("<d", value)))
    tag, special = varint(field.number << 3 | BYTES), SPECIAL.get(field.type)
    if special is not None:
        write = _write_short if special.is_short else _write_special
        return lambda parts, value: append(parts, tag, write(field.type, value))
    match field.type:
        case "string":
            return lambda parts, value: append(parts, tag, value.encode())
        case "bytes" if plain:
            return lambda parts, value: append(parts, tag, value)
        case "bytes":
            return lambda parts, value: append(parts, tag, base64.b64decode(value))
    return lambda parts, value: append(parts, tag, message(field.type).write(value))
