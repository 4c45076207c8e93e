"""The codec of one version of a custom resource: by the schema of its definition.

Upstream: apiextensions-apiserver pkg/apiserver, customresource_handler.go and conversion/converter.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from apiserver.crdschema import numbers, tree
from apiserver.crdschema.structural import EMBEDDED, LIST_TYPE, RULES, Schema, says
from apiserver.crdschema.values import Values
from apiserver.customresources.decoding import decode_custom
from apiserver.model.item import Item, encode
from apiserver.model.kind import Kind
from apiserver.model.patchtypes import CUSTOM_PATCHES
from apiserver.schema.decode import check
from apiserver.schema.tree import SchemaNode
from machinery.objects import Object

if TYPE_CHECKING:
    from apiserver.crdschema.celrules import Rules


class Shape(NamedTuple):
    """A version's apiVersion and schema, and the schema compiled."""

    api_version: str
    schema: Schema
    node: SchemaNode


class CustomCodec:
    """Decode, store, show and describe objects by one version of a definition. See ``model.kind.Codec``.

    Objects are stored in the storage version. ``view`` shows a stored object in this version: with the defaults that
    the schema has by now, and without what it no longer specifies. A changed definition gets new codecs, so everything
    that is derived from the schema is derived once.
    """

    dynamic = True
    typed = False
    patch_types = CUSTOM_PATCHES

    def __init__(
        self, definition: str, shape: Shape, shapes: Mapping[str, Shape], storage: str, list_kind: str
    ) -> None:
        """``shapes`` are those of all versions, by apiVersion; objects are stored in the apiVersion ``storage``."""
        self.definition = definition
        self.shape = shape
        self.schema = shape.schema
        self.node = shape.node
        self._shapes = shapes
        self._storage = storage
        self._list_kind = list_kind
        # Most schemas have neither, and then need no check.
        self.has_embedded = says(shape.schema, EMBEDDED)
        self.has_unique_elements = says(shape.schema, LIST_TYPE)

    @cached_property
    def values(self) -> Values:
        """Return the schema compiled to check values."""
        return Values(self.schema)

    @cached_property
    def rules(self) -> Rules | None:
        """Return the compiled x-kubernetes-validations, None if there are none."""
        if not says(self.schema, RULES):
            return None
        from apiserver.crdschema.celrules import rules_of

        return rules_of(self.schema)

    def list_kind(self, kind: str) -> str:
        return self._list_kind

    def storage_version(self, kind: Kind) -> str:
        return self._storage.rpartition("/")[2]

    def decode(
        self, kind: Kind, body: bytes, content_type: str, *, field_validation: str = "Warn", version: str = ""
    ) -> tuple[Object, list[str]]:
        return decode_custom(kind, self.node, body, content_type, field_validation)

    def check(self, obj: Object, *, field_validation: str = "Warn") -> tuple[Object, list[str]]:
        numbers.normalize(obj)
        return check(self.node, obj, field_validation=field_validation)

    def published(self, kind: Kind, *, v2: bool) -> Mapping[str, Any]:
        from apiserver.customresources.publishing import definitions

        return definitions(kind, self.schema, v2=v2)

    def view(self, item: Item) -> Item:
        # Each version's view of an item is made once, and kept with the item.
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
        if its is not None and its.node.walk is not None:
            its.node.walk(obj)
        if obj.get("apiVersion") != self.shape.api_version:
            obj["apiVersion"] = self.shape.api_version
            tree.prune(self.node, obj)
        seen = encode(obj)
        return item if seen == stored else Item(item.key, seen, item.revision)

    def is_stored(self, obj: Object, item: Item) -> bool:
        # JSON texts are compared, because for Python 1 and true are equal.
        stored: Object = orjson.loads(item.bare())
        wanted = self.stored(obj)
        metadata = {key: value for key, value in wanted["metadata"].items() if key != "resourceVersion"}
        found, written = (
            orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in (stored, {**wanted, "metadata": metadata})
        )
        return found == written

    def stored(self, obj: Object) -> Object:
        # Of the conversion strategies there is only None, which changes the apiVersion and nothing else.
        if obj["apiVersion"] == self._storage:
            return obj
        converted = {**obj, "apiVersion": self._storage}
        target = self._shapes.get(self._storage)
        if target is not None:
            converted = orjson.loads(orjson.dumps(converted))
            tree.prune(target.node, converted)
        return converted


def shape_of(api_version: str, schema: Schema) -> Shape:
    """Compile a version's schema."""
    return Shape(api_version, schema, tree.compile_schema(schema, root=True))
