"""What all verbs work with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apiserver.model.item import Item
from apiserver.model.kind import Kind
from apiserver.model.reader import Reader
from apiserver.registry.admissionrequest import Admission, Swap
from apiserver.registry.fieldmanager import FieldManager
from apiserver.storage.cache import WatchCache
from apiserver.storage.protocol import Changed, Entry, Store


@dataclass(frozen=True)
class Backend:
    """The parts of the server below the verbs, and what is done with them in more than one verb."""

    store: Store
    cache: WatchCache
    reader: Reader
    admission: Admission
    fields: FieldManager

    def acknowledge(self, kind: Kind, revision: int, swaps: Iterable[Swap] = ()) -> None:
        """Note that a client is about to learn of this revision: consistent reads wait until the cache shows it."""
        self.cache.acknowledge(kind.prefix, revision)
        for swapped in {swap.kind for swap in swaps}:
            self.cache.acknowledge(swapped.prefix, revision)

    def stored(self, key: str) -> Item | None:
        """Read an object from the store itself."""
        return item_of(self.store.get(key))

    def confirm(self, item: Item) -> None:
        """Raise Changed unless the store still has this revision of the object."""
        entry = self.store.get(item.key)
        if entry is None or entry.revision != item.revision:
            raise Changed(entry)


def item_of(entry: Entry | None) -> Item | None:
    """Return an entry of the store as an item."""
    return Item(entry.key, entry.value, entry.revision) if entry else None
