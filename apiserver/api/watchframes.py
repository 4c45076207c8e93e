"""How the events of a watch are written: as lines of JSON, or as protobuf, each after its length.

Upstream: apimachinery pkg/runtime/serializer, StreamSerializer and Framer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def _frame(type_: str, item: Item) -> bytes:
    return protobuf.frame(type_, item.object)


def _frames(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        begin = position + protobuf.LENGTH_BYTES
        position = begin + int.from_bytes(data[position:begin], "big")
        yield data[begin:position]


LINES = Framing("application/json", wire, _line, lambda data: iter(data.splitlines(keepends=True)))
FRAMES = Framing("application/vnd.kubernetes.protobuf;stream=watch", _frame, protobuf.frame, _frames)
