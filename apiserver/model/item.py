"""An object of the store at one revision, and a change from one to the next.

An object's JSON is spliced together once a revision, and parsed only when somebody has to look inside. Objects handed
out are shared: copy before changing one.
"""

from __future__ import annotations

from typing import Any

import orjson

from machinery.objects import Object

_METADATA = b'"metadata":{'


class Item:
    """One object at one revision."""

    __slots__ = ("_object", "data", "key", "revision", "views")

    def __init__(self, key: str, value: bytes, revision: int) -> None:
        self.key = key
        self.revision = revision
        self.data = with_resource_version(value, revision) if revision else value  # 0: a dry run
        self._object: Object | None = None
        # Of a custom resource: apiVersion → its row's part and what that shows.
        self.views: dict[str, tuple[object, Item]] | None = None

    @property
    def object(self) -> Object:
        """The parsed object, shared by all readers."""
        parsed = self._object
        if parsed is None:
            parsed = self._object = orjson.loads(self.data)
        return parsed

    def bare(self) -> bytes:
        """The JSON as it is stored."""
        return self.data.replace(b'"resourceVersion":"%d",' % self.revision, b"", 1) if self.revision else self.data

    def moved_to(self, revision: int) -> Item:
        """The same object at another revision."""
        parsed = dict(self.object)
        parsed["metadata"] = parsed["metadata"] | {"resourceVersion": str(revision)}
        return Item(self.key, encode(parsed), revision)

    def shrink(self) -> None:
        """Keeps the bytes only: whoever still wants to look inside parses them once more."""
        self._object = self.views = None


class Change:
    """One event of a kind: ``item`` is the new state, or the last one with the revision of its deletion."""

    __slots__ = ("_wire", "deleted", "item", "previous", "revision")

    def __init__(self, item: Item, previous: Item | None, deleted: bool) -> None:
        self.item = item
        self.previous = previous
        self.deleted = deleted
        self.revision = item.revision
        self._wire: dict[str, bytes] = {}

    @property
    def type(self) -> str:
        """ADDED, MODIFIED or DELETED, as a watcher without selectors sees it."""
        if self.deleted:
            return "DELETED"
        return "MODIFIED" if self.previous else "ADDED"

    def gone(self) -> Change:
        """The change as a watcher sees it that the object no longer matches: its state before, at this revision."""
        if self.deleted or self.previous is None:
            return self
        return Change(self.previous.moved_to(self.revision), self.previous, True)

    def wire(self, type_: str) -> bytes:
        """The line on the wire, made once for all watchers."""
        line = self._wire.get(type_)
        if line is None:
            line = self._wire[type_] = wire(type_, self.item)
        return line

    def shrink(self) -> None:
        """It is of the past, and most watchers have seen it: what was worked out for them takes ten times its bytes."""
        self._wire.clear()
        if self.previous is not None:
            self.previous.shrink()
        if self.deleted:
            self.item.shrink()


def wire(type_: str, item: Item) -> bytes:
    """An event as a line."""
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), item.data)


def with_resource_version(value: bytes, revision: int) -> bytes:
    """The stored JSON with its ``metadata.resourceVersion``, by splicing: ``encode`` puts metadata near the front."""
    place = value.index(_METADATA) + len(_METADATA)
    return b'%b"resourceVersion":"%d",%b' % (value[:place], revision, value[place:])


def encode(obj: Object) -> bytes:
    """The JSON to store: without resourceVersion, and with the metadata behind apiVersion and kind."""
    metadata: dict[str, Any] = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    head = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    return orjson.dumps(head | {k: v for k, v in obj.items() if k not in head})
