"""One version of a custom resource: what its row in the registry has beyond those of built-in kinds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from apiserver.crdschema import nodes
from apiserver.crdschema.structural import EMBEDDED, LIST_TYPE, PRESERVE, RULES, Schema, says
from apiserver.crdschema.values import Values
from apiserver.customresources import decoding
from apiserver.model.item import Item, encode
from machinery.objects import Object

if TYPE_CHECKING:
    from apiserver.crdschema.celrules import Rules
    from apiserver.model.kind import Kind
    from apiserver.model.subresource import Subresource
    from apiserver.schema.nodes import Node


class Shape(NamedTuple):
    """A version's name and schema, and how its stored objects are decoded."""

    api_version: str
    schema: Schema
    node: Node


class CustomVersion:
    """Everything is derived from the definition once; a changed definition gets new ones.

    Objects are stored in the storage version. ``view`` shows a stored object in this one: with the defaults that its
    schema has by now, without what it no longer specifies.
    """

    def __init__(
        self,
        shape: Shape,
        shapes: Mapping[str, Shape],
        storage: str,
        list_kind: str,
        *,
        terminating: bool = False,
        subresources: Mapping[str, Subresource] | None = None,
    ) -> None:
        self.shape = shape
        self.schema = shape.schema
        self.node = shape.node
        self.storage = storage  # the apiVersion that objects are stored in
        self.list_kind = list_kind
        self.terminating = terminating
        self.subresources = subresources or {}
        self._shapes = shapes  # by apiVersion
        # Most schemas have neither.
        self.has_embedded = says(shape.schema, EMBEDDED)
        self.has_unique_elements = says(shape.schema, LIST_TYPE)

    @property
    def preserves(self) -> bool:
        """Whether unknown fields are kept at the root."""
        return bool(self.schema.get(PRESERVE))

    @cached_property
    def values(self) -> Values:
        """The schema, compiled to check values by."""
        return Values(self.schema)

    @cached_property
    def rules(self) -> Rules | None:
        """The compiled x-kubernetes-validations; None without any."""
        if not says(self.schema, RULES):
            return None
        from apiserver.crdschema.celrules import rules_of

        return rules_of(self.schema)

    def decode(
        self, kind: Kind, body: bytes, content_type: str, field_validation: str
    ) -> tuple[Object, list[str]]:  # fmt: skip
        """See ``schema.decode``."""
        return decoding.decode_custom(kind, self.node, body, content_type, field_validation)

    def check(self, obj: Object, field_validation: str) -> tuple[Object, list[str]]:
        """See ``schema.check``."""
        return decoding.check_custom(self.node, obj, field_validation)

    def view(self, item: Item) -> Item:
        """A stored object as this version shows it; worked out once for each."""
        views = item.views
        if views is None:
            views = item.views = {}
        known = views.get(self.shape.api_version)
        if known is None or known[0] is not self:
            known = views[self.shape.api_version] = (self, self._view(item))
        return known[1]

    def _view(self, item: Item) -> Item:
        stored = item.bare()
        obj: Object = orjson.loads(stored)
        its = self._shapes.get(obj.get("apiVersion", ""))
        if its is not None:
            _walk(its.node, obj)
        if obj.get("apiVersion") != self.shape.api_version:
            obj["apiVersion"] = self.shape.api_version
            nodes.prune(self.node, obj)
        seen = encode(obj)
        return item if seen == stored else Item(item.key, seen, item.revision)

    def is_stored(self, obj: Object, item: Item) -> bool:
        """Whether a stored object is as it would be written now, in version and defaults.

        To the letter: for Python, 1 and true are the same.
        """
        stored: Object = orjson.loads(item.bare())
        wanted = self.stored(obj)
        metadata = {key: value for key, value in wanted["metadata"].items() if key != "resourceVersion"}
        found, written = (
            orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in (stored, {**wanted, "metadata": metadata})
        )
        return found == written

    def stored(self, obj: Object) -> Object:
        """The object in the version that it is stored in; conversion strategy None changes nothing else."""
        if obj["apiVersion"] == self.storage:
            return obj
        converted = {**obj, "apiVersion": self.storage}
        target = self._shapes.get(self.storage)
        if target is not None:
            converted = orjson.loads(orjson.dumps(converted))
            nodes.prune(target.node, converted)
        return converted


def _walk(node: Node, obj: Any) -> None:
    if node.walk is not None:
        node.walk(obj)


def shape_of(api_version: str, schema: Schema) -> Shape:
    """Compiles a version's schema."""
    return Shape(api_version, schema, nodes.compile_schema(schema, root=True))
