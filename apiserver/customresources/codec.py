"""The codec of one version of a custom resource: by the schema of its definition.

Upstream: apiextensions-apiserver pkg/apiserver, customresource_handler.go and conversion/converter.go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
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
    from apiserver.customresources.conversion import Webhook


class Shape(NamedTuple):
    """A version's schema, as it is and compiled."""

    schema: Schema
    node: SchemaNode


class Shapes:
    """The shapes of a definition's versions, each made when it is first needed.

    There may be hundreds of definitions, of which few are used; what is kept of the others is their JSON, in ``load``.
    """

    def __init__(self, group: str, load: Callable[[], Object]) -> None:
        """``load`` returns the definition, newly parsed."""
        self._group = group
        self._load = load
        self._made: dict[str, Shape] = {}

    def schema(self, api_version: str) -> Schema:
        """Return the schema of a version; raises LookupError if the definition does not have the version."""
        for version in self._load()["spec"]["versions"]:
            if f"{self._group}/{version['name']}" == api_version:
                schema: Schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
                return schema
        raise LookupError(api_version)

    def of(self, api_version: str) -> Shape:
        """Return the shape of a version; raises LookupError if the definition does not have the version."""
        shape = self._made.get(api_version)
        if shape is None:
            schema = self.schema(api_version)
            shape = self._made[api_version] = Shape(schema, tree.compile_schema(schema, root=True))
        return shape


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
        self,
        definition: str,
        api_version: str,
        shapes: Shapes,
        storage: str,
        list_kind: str,
        identity: str,
        webhook: Webhook | None,
    ) -> None:
        """Objects are stored in the apiVersion ``storage``; ``definition`` is the schema's name in OpenAPI.

        Without a webhook, conversion changes the apiVersion and nothing else.
        """
        self.identity = identity
        self.calls_out = webhook is not None
        self._webhook = webhook
        self.definition = definition
        self.api_version = api_version
        self._shapes = shapes
        self._storage = storage
        self._list_kind = list_kind

    @cached_property
    def schema(self) -> Schema:
        return self._shapes.of(self.api_version).schema

    @cached_property
    def node(self) -> SchemaNode:
        return self._shapes.of(self.api_version).node

    @cached_property
    def has_embedded(self) -> bool:
        return says(self.schema, EMBEDDED)

    @cached_property
    def has_unique_elements(self) -> bool:
        return says(self.schema, LIST_TYPE)

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

        return definitions(kind, self._shapes.schema(self.api_version), v2=v2)

    def view(self, item: Item) -> Item:
        # Each version's view of an item is made once, and kept with the item.
        views = item.views
        if views is None:
            views = item.views = {}
        known = views.get(self.api_version)
        if known is None or known[0] is not self:
            known = views[self.api_version] = (self, self._view(item))
        return known[1]

    def view_all(self, items: list[Item]) -> list[Item]:
        if self._webhook is not None:
            self._convert_all(self._webhook, items)
        return list(map(self.view, items))

    def _convert_all(self, webhook: Webhook, items: list[Item]) -> None:
        """Make the views of all items that need to be converted with one call."""
        unseen = [item for item in items if (item.views or {}).get(self.api_version, (None,))[0] is not self]
        decoded = [(item, self._completed(item)) for item in unseen]
        other = [(item, obj) for item, obj in decoded if obj["apiVersion"] != self.api_version]
        converted = webhook.convert([obj for _, obj in other], self.api_version) if other else []
        for (item, _), obj in zip(other, converted, strict=True):
            tree.prune(self.node, obj)
            item.views = {**(item.views or {}), self.api_version: (self, Item(item.key, encode(obj), item.revision))}

    def _completed(self, item: Item) -> Object:
        """Return a stored object with the defaults of the version that it is stored in."""
        obj: Object = orjson.loads(item.data)
        with contextlib.suppress(LookupError):  # The definition may no longer have the version that was stored.
            walk = self._shapes.of(obj["apiVersion"]).node.walk
            if walk is not None:
                walk(obj)
        return obj

    def _view(self, item: Item) -> Item:
        obj = self._completed(item)
        if obj["apiVersion"] != self.api_version:
            obj = self._converted(obj, self.api_version)
        seen = encode(obj)
        return item if seen == item.bare() else Item(item.key, seen, item.revision)

    def _converted(self, obj: Object, api_version: str) -> Object:
        """Return an object in another version, without what that does not specify. Raises InternalError."""
        if self._webhook is not None:
            obj = self._webhook.convert([obj], api_version)[0]
        else:
            obj = {**orjson.loads(orjson.dumps(obj)), "apiVersion": api_version}
        tree.prune(self._shapes.of(api_version).node, obj)
        return obj

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
        return obj if obj["apiVersion"] == self._storage else self._converted(obj, self._storage)
