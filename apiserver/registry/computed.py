"""Kinds whose objects are not stored but computed anew for each get and list, such as PodMetrics.

A kind's row says so with ``computed``; ``Reading`` is given a source for each of these resources (assembly lists them).
There is nothing to watch, and the objects have no resourceVersion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apiserver.model.item import Item, encode
from apiserver.model.kind import Kind
from machinery.objects import Object


class Computed(Protocol):
    """A source of objects of one resource."""

    def get(self, namespace: str, name: str) -> Object:
        """Return one object. Raises NotFound."""

    def list(self, namespace: str) -> Sequence[Object]:
        """Return all objects, or those of one namespace if it is not empty."""


def item_of(kind: Kind, obj: Object) -> Item:
    """Wrap a computed object as the verbs pass stored ones on; its revision is 0."""
    metadata = obj["metadata"]
    return Item(f"{kind.prefix}{metadata.get('namespace', '')}/{metadata['name']}", encode(obj), 0)
