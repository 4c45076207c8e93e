"""Compile a structural schema to the tree of nodes that decodes objects.

In their one walk, these nodes prune the fields that the schema does not specify, drop nulls where the schema is not
``nullable``, and fill in defaults (also inside of defaults). Unlike the nodes of built-in kinds they keep values of the
wrong type: as upstream, these are found by the validation (``values.py``).

Upstream: apiextensions-apiserver pkg/apiserver/schema, pruning and defaulting.
"""

from __future__ import annotations

import copy
from typing import Any

import orjson

from apiserver.crdschema import numbers
from apiserver.crdschema.structural import EMBEDDED, LIST_KEYS, LIST_TYPE, MAP_TYPE, PRESERVE, Schema, below
from apiserver.schema.compiled import node_of
from apiserver.schema.tree import Array, Map, Problem, SchemaNode, Struct

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_NO_DEFAULT = b""


def compile_schema(schema: Schema, *, root: bool = False) -> SchemaNode:
    """Return the node of a schema. The root is a resource, so it also has kind, apiVersion and metadata."""
    additional = schema.get("additionalProperties")
    embedded = root or bool(schema.get(EMBEDDED))
    if schema.get("type") == "array" and not embedded:
        return CustomArray(schema)
    if not embedded and additional not in (None, False) and not schema.get("properties"):
        return CustomMap(schema)
    if embedded or schema.get("properties") or schema.get("type") == "object":
        return CustomStruct(schema, embedded=embedded)
    return CustomArray(schema) if "items" in schema else Leaf(schema)


class _Defaulted:
    """What makes an item of a list or map out of a null: its default, unless the schema allows the null."""

    __slots__ = ()

    def make_zero(self: Any) -> Any:
        default = default_of(self)
        return None if nullable_of(self) or not default else orjson.loads(default)


class Leaf(_Defaulted, SchemaNode):
    """A scalar, or a value of any form, which is kept as it is."""

    __slots__ = ("default", "nullable")

    def __init__(self, schema: Schema) -> None:
        super().__init__("interface {}")
        _remember(self, schema)

    def child(self, key: str) -> SchemaNode | None:
        return _ANYTHING


class Emptied(SchemaNode):
    """The values of ``additionalProperties: true``: as upstream, objects in them lose all their fields."""

    __slots__ = ()
    wanted = dict

    def __init__(self) -> None:
        super().__init__("interface {}")

    def walk(self, value: dict[str, Any]) -> list[Problem] | None:
        problems = [Problem("unknown field", f".{key}") for key in value]
        value.clear()
        return problems or None

    def convert(self, value: Any) -> Any:
        for element in value if type(value) is list else ():
            if type(element) is dict:
                element.clear()
            else:
                self.convert(element)
        return value

    def child(self, key: str) -> SchemaNode | None:
        return None


class CustomStruct(_Defaulted, Struct):
    """An object with known fields. ``additional`` is the node of the others, None if they are dropped."""

    __slots__ = ("additional", "default", "defaults", "nullable")

    def __init__(self, schema: Schema, *, embedded: bool) -> None:
        super().__init__("custom", atomic=schema.get(MAP_TYPE) == "atomic")
        _remember(self, schema)
        self.additional: SchemaNode | None = _ANYTHING if schema.get(PRESERVE) else None
        if schema.get("additionalProperties") is not None:
            self.additional = _EMPTIED  # A schema cannot stand here beside properties, only true can.
        nodes = {name: compile_schema(child) for name, child in (schema.get("properties") or {}).items()}
        if embedded:
            nodes |= {"apiVersion": _ANYTHING, "kind": _ANYTHING, "metadata": node_of(_OBJECT_META)}
        self.specs = {name: node.spec() for name, node in nodes.items()}
        self.defaults = tuple(
            (name, default, nullable_of(node)) for name, node in nodes.items() if (default := default_of(node))
        )

    def walk(self, value: dict[str, Any]) -> list[Problem] | None:
        specs = self.specs
        problems: list[Problem] = []
        dropped: list[str] = []
        for key, child in value.items():
            spec = specs.get(key)
            if spec is None:
                if self.additional is None:
                    problems.append(Problem("unknown field", f".{key}"))
                    dropped.append(key)
                    continue
                spec = self.additional.spec()
            wanted, walk, convert, node = spec
            if type(child) is wanted:
                if walk is not None and (found := walk(child)):
                    problems.append(Problem("", f".{key}", found))
            elif child is None:
                if not nullable_of(node) and node is not self.additional:
                    dropped.append(key)
            else:
                value[key] = convert(child)
        for key in dropped:
            del value[key]
        for key, default, nullable in self.defaults:
            if key not in value or (value[key] is None and not nullable):
                value[key] = orjson.loads(default)
        return problems or None

    def convert(self, value: Any) -> Any:
        return value

    def child(self, key: str) -> SchemaNode | None:
        return super().child(key) or self.additional


class CustomMap(_Defaulted, Map):
    """An object with free keys."""

    __slots__ = ("default", "nullable")

    def __init__(self, schema: Schema) -> None:
        inner = below(schema, "additionalProperties")
        item = _EMPTIED if inner is None else compile_schema(inner)
        super().__init__(item, atomic=schema.get(MAP_TYPE) == "atomic")
        _remember(self, schema)

    def walk(self, value: dict[str, Any]) -> list[Problem] | None:
        # A null that is not allowed is dropped, or becomes the default.
        if not nullable_of(self.item) and not default_of(self.item) and self.item is not _EMPTIED:
            for key in [key for key, child in value.items() if child is None]:
                del value[key]
        return super().walk(value)

    def convert(self, value: Any) -> Any:
        return value


class CustomArray(_Defaulted, Array):
    """A list. If it preserves unknown fields, so do its items."""

    __slots__ = ("default", "nullable")

    def __init__(self, schema: Schema) -> None:
        inner, keys = below(schema, "items"), schema.get(LIST_KEYS) or ()
        if inner is not None and schema.get(PRESERVE):
            inner = {**inner, PRESERVE: True}
        item = _ANYTHING if inner is None else compile_schema(inner)
        properties = (inner or {}).get("properties") or {}
        super().__init__(
            item,
            list_type=schema.get(LIST_TYPE) or "atomic",
            list_keys=keys,
            key_defaults={key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})},
        )
        _remember(self, schema)

    def convert(self, value: Any) -> Any:
        return value


def prune(node: SchemaNode, value: Any) -> None:
    """Drop, in place, the fields that a schema does not specify, without filling in defaults."""
    match node:
        case CustomStruct() if type(value) is dict:
            for key in [key for key in value if key not in node.specs and node.additional is None]:
                del value[key]
            for key, child in value.items():
                inner = node.child(key)
                if inner is not None and key != "metadata":
                    prune(inner, child)
        case CustomMap() if type(value) is dict:
            for child in value.values():
                prune(node.item, child)
        case CustomArray() if type(value) is list:
            for child in value:
                prune(node.item, child)
        case Emptied() if type(value) is dict:
            value.clear()


def _remember(node: Any, schema: Schema) -> None:
    node.nullable = bool(schema.get("nullable"))
    default = copy.deepcopy([schema.get("default")])
    numbers.normalize(default)
    node.default = _NO_DEFAULT if default == [None] else orjson.dumps(default[0])


def nullable_of(node: SchemaNode) -> bool:
    """Return True if null is a valid value. (It is not for the nodes of upstream's ObjectMeta.)"""
    return bool(getattr(node, "nullable", False))


def default_of(node: SchemaNode) -> bytes:
    """Return the default as JSON, with the defaults inside it filled in; b"" for none."""
    default: bytes = getattr(node, "default", _NO_DEFAULT)
    if not default:
        return default
    value = orjson.loads(default)
    if node.walk is not None and type(value) is node.wanted:
        node.walk(value)
    return orjson.dumps(value)


_ANYTHING = Leaf({PRESERVE: True, "nullable": True})
_EMPTIED = Emptied()
