"""The codec of built-in kinds.

Every row of the registry imports this module, so it must load nothing: the schemas and what reads bodies by them are
imported when the first object comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from apiserver.model.item import Item
from apiserver.model.kind import Kind
from apiserver.model.patchtypes import ALL_PATCHES
from machinery.objects import Object

if TYPE_CHECKING:
    from apiserver.schema.tree import SchemaNode


class UpstreamCodec:
    """Decode a kind by upstream's schema; objects are stored and shown as they are. See ``model.kind.Codec``."""

    dynamic = False
    identity = ""
    calls_out = False
    typed = True
    patch_types = ALL_PATCHES

    def __init__(self, definition: str) -> None:
        self.definition = definition

    @cached_property
    def node(self) -> SchemaNode:
        """Return the compiled schema; raises KeyError if upstream has none of this name."""
        from apiserver.schema.compiled import node_of

        return node_of(self.definition)

    def list_kind(self, kind: str) -> str:
        return f"{kind}List"

    def storage_version(self, kind: Kind) -> str:
        return kind.version

    def decode(
        self, kind: Kind, body: bytes, content_type: str, *, field_validation: str = "Warn", version: str = ""
    ) -> tuple[Object, list[str]]:
        from apiserver.schema.decode import decode

        return decode(kind, self.node, body, content_type, field_validation=field_validation, version=version)

    def check(self, obj: Object, *, field_validation: str = "Warn") -> tuple[Object, list[str]]:
        from apiserver.schema.decode import check

        return check(self.node, obj, field_validation=field_validation)

    def view(self, item: Item) -> Item:
        return item

    def view_all(self, items: list[Item]) -> list[Item]:
        return items

    def stored(self, obj: Object) -> Object:
        return obj

    def is_stored(self, obj: Object, item: Item) -> bool:
        return True

    def published(self, kind: Kind, *, v2: bool) -> Mapping[str, Any]:
        return {}


def upstream(group: str, kind: str) -> tuple[str, str, str, str, UpstreamCodec]:
    """Return what a row begins with for a kind of upstream's v1: group, version, kind, plural and codec."""
    package = group.partition(".")[0] or "core"
    return group, "v1", kind, plural_of(kind.lower()), UpstreamCodec(f"io.k8s.api.{package}.v1.{kind}")


def plural_of(kind: str) -> str:
    """Return a kind's plural, formed as upstream forms it (apimachinery: UnsafeGuessKindToResource)."""
    if kind.lower() == "endpoints":
        return kind
    if kind.endswith("y"):
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"
