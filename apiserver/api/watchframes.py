"""How the events of a watch are written: as lines of JSON, or as protobuf, each after its length.

Upstream: apimachinery pkg/runtime/serializer, StreamSerializer and Framer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import orjson

from apiserver.model.item import Item, wire
from apiserver.schema import protobuf
from machinery.objects import Object


class Framing(NamedTuple):
    """One of the two forms."""

    content_type: str
    of_item: Callable[[str, Item], bytes]  # (type of the event, its object) → the event
    of_object: Callable[[str, Object], bytes]
    messages: Callable[[bytes], Iterator[bytes]]  # written events → the messages that a WebSocket sends for them


class Shape(NamedTuple):
    """What an object goes through on its way to a watcher: ``render`` is None if it is sent as it is stored."""

    render: Callable[[Object], Object] | None
    framing: Framing


def _line(type_: str, obj: Object) -> bytes:
    return orjson.dumps({"type": type_, "object": obj}) + b"\n"


def _frame(type_: str, obj: Object) -> bytes:
    return protobuf.frame(type_, protobuf.serialize(obj))


def _frames(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        begin = position + protobuf.LENGTH_BYTES
        position = begin + int.from_bytes(data[position:begin], "big")
        yield data[begin:position]


LINES = Framing("application/json", wire, _line, lambda data: iter(data.splitlines(keepends=True)))


@cache
def frames(api_version: str, kind: str) -> Framing:
    """Return the form in protobuf of a kind's events; the same for all watches, which share what it writes."""

    def of_item(type_: str, item: Item) -> bytes:
        return protobuf.frame(type_, protobuf.enclose(api_version, kind, item.message(protobuf.write)))

    return Framing("application/vnd.kubernetes.protobuf;stream=watch", of_item, _frame, _frames)
