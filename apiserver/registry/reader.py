"""Objects of the watch cache, for those who look up others than the one of a request."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.model.kind import Kind
from apiserver.model.reader import Reader
from apiserver.storage.cache import WatchCache
from machinery.errors import not_found
from machinery.objects import Object


def require_object(reader: Reader, kind: Kind, namespace: str, name: str) -> Object:
    """Return an object by a consistent read. Raises NotFound."""
    found = reader.get(kind, namespace, name, consistent=True)
    if found is None:
        raise not_found(kind.resource, name)
    return found


class CacheReader:
    """A ``Reader``. That an object does not exist it says only when the cache has caught up with the store."""

    def __init__(self, cache: WatchCache) -> None:
        self.cache = cache

    def get(self, kind: Kind, namespace: str, name: str, *, consistent: bool = False) -> Object | None:
        if consistent:
            self.cache.catch_up(kind.prefix)
        key = kind.key(namespace, name)
        item = self.cache.get(kind.prefix, key)
        if item is None and not consistent:
            self.cache.catch_up(kind.prefix)
            item = self.cache.get(kind.prefix, key)
        return kind.codec.view(item).object if item else None

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        item = self.cache.await_item(kind.prefix, kind.key(namespace, name), seconds)
        return item.object if item else None

    def list(self, kind: Kind, namespace: str = "", *, consistent: bool = False) -> Sequence[Object]:
        if consistent:
            self.cache.catch_up(kind.prefix)
        if not self.cache.count(kind.prefix):
            return ()  # Of most kinds that admission asks for on every write there are none.
        items, _, _ = self.cache.select(kind.prefix, f"{kind.prefix}{namespace}/" if namespace else "")
        return [kind.codec.view(item).object for item in items]
