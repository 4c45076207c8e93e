"""An object of the store at one revision, and a change from one to the next.

Both are values that all readers and watchers share. An object's JSON is made once for each revision, and is parsed only
when somebody has to look inside; most reads and watches send the bytes as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from machinery.objects import Object

_METADATA = b'"metadata":{'
Write = Callable[[str, "Item"], bytes]  # (type of an event, its object) → the event as a watcher gets it


class Item:
    """One object at one revision.

    ``data`` is its JSON as clients get it, with metadata.resourceVersion, and is sent as it is. Items are shared by all
    threads: nobody may change ``object``, or what ``object`` returns.
    """

    __slots__ = ("_message", "_object", "data", "key", "revision", "views")

    def __init__(self, key: str, value: bytes, revision: int) -> None:
        self.key = key
        self.revision = revision
        self.data = with_resource_version(value, revision) if revision else value  # revision 0 is that of a dry run
        self._object: Object | None = None
        self._message: bytes | None = None
        # Of a custom resource: apiVersion → (the version's codec, the object as that version shows it).
        self.views: dict[str, tuple[object, Item]] | None = None

    @property
    def object(self) -> Object:
        """The parsed object, shared by all readers: copy it before changing it."""
        parsed = self._object
        if parsed is None:
            parsed = self._object = orjson.loads(self.data)
        return parsed

    def message(self, write: Callable[[Object], bytes]) -> bytes:
        """Return the object in protobuf, which is made by ``write`` when it is first asked for."""
        made = self._message
        if made is None:
            # The parsed object is not kept for this: it takes ten times the bytes.
            parsed = self._object
            made = self._message = write(orjson.loads(self.data) if parsed is None else parsed)
        return made

    def bare(self) -> bytes:
        """Return the JSON as it is stored, without resourceVersion."""
        return self.data.replace(b'"resourceVersion":"%d",' % self.revision, b"", 1) if self.revision else self.data

    def moved_to(self, revision: int) -> Item:
        """Return the same object at another revision."""
        parsed = dict(self.object)
        parsed["metadata"] = parsed["metadata"] | {"resourceVersion": str(revision)}
        return Item(self.key, encode(parsed), revision)

    def shrink(self) -> None:
        """Drop what can be worked out again, and keep the bytes; a reader that looks inside parses them again."""
        self._object = self._message = self.views = None


def wire(type_: str, item: Item) -> bytes:
    """Return an event as a watch sends it: one line of JSON."""
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), item.data)


class Change:
    """One change of one object: an event of a watch.

    ``item`` is the new state; of a deletion the last state, at the revision of the deletion. ``previous`` is the state
    before, None if there was none.
    """

    __slots__ = ("_wire", "deleted", "item", "previous", "revision")

    def __init__(self, item: Item, previous: Item | None, deleted: bool) -> None:
        self.item = item
        self.previous = previous
        self.deleted = deleted
        self.revision = item.revision
        self._wire: dict[tuple[str, Write], bytes] = {}

    @property
    def type(self) -> str:
        """ADDED, MODIFIED or DELETED, as a watcher without selectors sees it."""
        if self.deleted:
            return "DELETED"
        return "MODIFIED" if self.previous else "ADDED"

    def gone(self) -> Change:
        """Return the change as a deletion: so a watcher sees it whose selector the object no longer matches.

        The object is in its state before, at this revision.
        """
        if self.deleted or self.previous is None:
            return self
        return Change(self.previous.moved_to(self.revision), self.previous, True)

    def wire(self, type_: str, write: Write = wire) -> bytes:
        """Return the event as ``write`` writes it, by default as a line of JSON; it is made once for all watchers."""
        key = type_, write
        event = self._wire.get(key)
        if event is None:
            event = self._wire[key] = write(type_, self.item)
        return event

    def shrink(self) -> None:
        """Drop what was worked out for watchers, which is ten times the bytes, once most have seen the change."""
        self._wire.clear()
        if self.previous is not None:
            self.previous.shrink()
        if self.deleted:
            self.item.shrink()


def with_resource_version(value: bytes, revision: int) -> bytes:
    """Insert ``metadata.resourceVersion`` into stored JSON, without parsing it.

    Relies on ``encode``, which puts the metadata before everything that a client could have written.
    """
    place = value.index(_METADATA) + len(_METADATA)
    return b'%b"resourceVersion":"%d",%b' % (value[:place], revision, value[place:])


def encode(obj: Object) -> bytes:
    """Return the JSON to store: without resourceVersion, and with kind, apiVersion and metadata in front."""
    metadata: dict[str, Any] = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    head = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    return orjson.dumps(head | {k: v for k, v in obj.items() if k not in head})
