"""Objects in which one list, map or text is large, for every such place in the schema of every kind.

Each place is filled in three ways: with items that all differ, with equal ones, and with unknown fields.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
from integration.hostile.generator import SEEDS, collection, kind_of

from apiserver.schema.codec import UpstreamCodec
from apiserver.schema.tree import Array, Integer, IntOrString, Map, Number, QuantityText, SchemaNode, Struct, Text

_DEPTH = 9  # of the places; CustomResourceDefinitions have no end
WAYS = ("different", "equal", "unknown")


class Place(NamedTuple):
    """A place in an object of a kind: the path of the collection, an object, the path in it, and what stands there."""

    collection: str
    seed: dict[str, Any]
    path: tuple[str, ...]
    node: SchemaNode

    def __str__(self) -> str:
        return f"{self.seed['kind']}.{'.'.join(self.path)}"

    def body(self, size: int, way: str) -> bytes:
        """Return ``grown`` as JSON."""
        return orjson.dumps(self.grown(size, way))

    def grown(self, size: int, way: str) -> dict[str, Any]:
        """Return the object with ``size`` items at the place."""
        obj = copy.deepcopy(self.seed)
        holder: Any = obj
        for key in self.path[:-1]:
            if key == "[]":
                holder = holder[0] if holder else _first(holder)
            elif not isinstance(holder.get(key), dict | list) or not holder[key]:
                holder[key] = [{}] if self.path[self.path.index(key) + 1] == "[]" else {}
                holder = holder[key]
            else:
                holder = holder[key]
        key = self.path[-1]
        value = _filled(self.node, size, way)
        if key == "[]":
            holder[:] = [value]
        elif isinstance(value, dict) and isinstance(holder.get(key), dict):
            holder[key] = {**holder[key], **value}
        elif isinstance(value, list) and isinstance(holder.get(key), list):
            holder[key] = [*holder[key], *value]
        else:
            holder[key] = value
        return obj


def _first(holder: list[Any]) -> Any:
    holder.append({})
    return holder[0]


def _filled(node: SchemaNode, size: int, way: str) -> Any:
    numbers = range(size)
    if isinstance(node, Array):
        return [_item(node.item, 0 if way == "equal" else number, way) for number in numbers]
    if isinstance(node, Map):
        return {f"example.com/a{number}": _item(node.item, number, way) for number in numbers}
    if way == "unknown":
        return {f"u{number}": number for number in numbers}
    return "a" * (size * 10)


def _item(node: SchemaNode, number: int, way: str) -> Any:
    """Return a small value of a node, another one for each number."""
    if isinstance(node, Struct):
        required = [key for key, _ in node.zeros] or list(node.specs)[:2]
        wanted = {*required, *(key for key in ("name", "key", "type", "ip", "uid", "topologyKey") if key in node.specs)}
        found = {key: _item(node.specs[key][3], number, way) for key in sorted(wanted)}
        return found | ({"unknown": 1} if way == "unknown" else {})
    if isinstance(node, IntOrString | Integer | Number):
        return number % 60_000 + 1
    if isinstance(node, QuantityText):
        return str(number)
    if isinstance(node, Text):
        return node.zero if node.zero is not None else "2020-01-01T00:00:00Z"
    if isinstance(node, Array):
        return [_item(node.item, number, way)]
    if isinstance(node, Map):
        return {f"a{number}": _item(node.item, number, way)}
    return node.wanted() if node.wanted is bool else f"a{number}"


def places() -> Iterator[Place]:
    """Yield the places of all kinds that goldens have an object of, each once."""
    seen = set()
    for seed in SEEDS:
        kind = kind_of(seed)
        if kind.resource in seen or not isinstance(kind.codec, UpstreamCodec):
            continue
        seen.add(kind.resource)
        seed = copy.deepcopy(seed)
        seed["metadata"] = {"name": "grown"}
        for path, node in _inside(kind.codec.node, (), frozenset()):
            yield Place(collection(kind), seed, path, node)


def _inside(
    node: SchemaNode, path: tuple[str, ...], above: frozenset[str]
) -> Iterator[tuple[tuple[str, ...], SchemaNode]]:
    if len(path) > _DEPTH:
        return
    if isinstance(node, Struct):
        if node.go in above:
            return
        if path:
            yield path, node
        for key, (_, _, _, child) in node.specs.items():
            if (path, key) != ((), "status") and key not in ("apiVersion", "kind", "managedFields"):
                yield from _inside(child, (*path, key), above | {node.go})
    elif isinstance(node, Array | Map):
        yield path, node
        if isinstance(node, Array):
            yield from _inside(node.item, (*path, "[]"), above)
    elif node.wanted is str:
        yield path, node
