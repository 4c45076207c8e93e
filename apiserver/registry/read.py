"""Get and list, with upstream's resourceVersion semantics and chunks (apiserver/pkg/storage/cacher).

A read without a resourceVersion is consistent: it shows every acknowledged write. ``0`` takes what the cache has, ``N``
waits until the cache is at N, and an exact N is read from the store's history. A continue token names the revision of
its first chunk, so that all chunks together are one consistent list, as long as the store remembers that revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from apiserver.model.item import Item, encode
from apiserver.model.kind import Kind
from apiserver.registry.continuetoken import MOST_REVISION, decode_token, encode_token
from apiserver.registry.listoptions import ListOptions
from apiserver.storage.cache import WatchCache, too_large
from apiserver.storage.protocol import Compacted, FutureRevision, Store
from machinery.errors import BadRequest, Gone, not_found
from machinery.objects import Object

TOO_OLD = "The resourceVersion for the provided list is too old."
# Upstream's advice with an expired token, word for word.
TOKEN_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class Computed(Protocol):
    """A source of the objects of a kind of which nothing is stored, such as PodMetrics: a row with ``computed``.

    There is nothing to watch, and the objects have no resourceVersion.
    """

    def get(self, namespace: str, name: str) -> Object:
        """Return one object. Raises NotFound."""

    def list(self, namespace: str) -> Sequence[Object]:
        """Return all objects, or those of one namespace if it is not empty."""


class ListResult(NamedTuple):
    """Items with the list's metadata."""

    items: list[Item]
    metadata: Object


class Reading:
    """The reading verbs but watch, over the cache and, for the past, the store."""

    def __init__(self, store: Store, cache: WatchCache, computed: Mapping[str, Computed] | None = None) -> None:
        self._store = store
        self._cache = cache
        self._computed = computed or {}

    def get(self, kind: Kind, namespace: str, name: str, version: str = "") -> Item:
        """Return one object, as new as ``version`` asks for; raises NotFound."""
        if kind.computed:
            return _item_of(kind, self._computed[kind.resource].get(namespace, name))
        self._wait(kind, version)
        item = self._cache.get(kind.prefix, kind.key(namespace, name))
        if item is None:
            raise not_found(kind.resource, name)
        return kind.codec.view(item)

    def list(self, kind: Kind, namespace: str, options: ListOptions) -> ListResult:
        """Return the objects of a namespace, or of all, in the order of their keys. Raises Gone or BadRequest."""
        if kind.computed:
            items = [_item_of(kind, obj) for obj in self._computed[kind.resource].list(namespace)]
            return ListResult([item for item in items if options.selection.matches(item)], {})
        below = kind.prefix + (f"{namespace}/" if namespace else "")
        if options.continue_:
            return self._continued(kind, below, options)
        exact = options.match == "Exact" or (options.limit and options.revision and not options.match)
        if exact:
            return self._of_the_past(kind, below, options, options.revision, "")
        self._wait(kind, options.resource_version)
        if not namespace and (name := options.selection.fields.exact("metadata.name")) and not kind.namespaced:
            below = kind.prefix + name  # Longer names share the prefix; the selection compares whole names.
        return self._of_the_present(kind, below, options, "")

    def _wait(self, kind: Kind, version: str) -> None:
        if not version:
            self._cache.catch_up(kind.prefix)
        elif int(version) > self._cache.revision:
            self._cache.wait_for(int(version))
        elif not self._cache.revision:
            self._cache.wait_for(1)

    def _of_the_present(self, kind: Kind, below: str, options: ListOptions, start: str) -> ListResult:
        selection, limit = options.selection, options.limit
        items, revision, total = self._cache.select(kind.prefix, below, start, limit if selection.everything else 0)
        if not selection.everything:
            items = [item for item in items if selection.matches(item)]
            total = len(items)
            if limit:
                items = items[:limit]
        return _result(kind, items, revision, total, selection.everything)

    def _of_the_past(self, kind: Kind, below: str, options: ListOptions, revision: int, start: str) -> ListResult:
        """Return a list as of ``revision``, from the store; with selectors it reads chunks until one is full."""
        selection, limit = options.selection, options.limit
        found: list[Item] = []
        if revision > MOST_REVISION:
            raise too_large(revision, self._cache.revision)
        try:
            while True:
                page = self._store.list(below, start=start, limit=limit, revision=revision)
                items = [Item(entry.key, entry.value, entry.revision) for entry in page.entries]
                found += [item for item in items if selection.matches(item)]
                more = page.total - len(items)
                if not more or not limit or len(found) >= limit:
                    break
                start = items[-1].key + "\0"
        except Compacted:
            raise Gone(TOO_OLD) from None
        except FutureRevision:
            raise too_large(revision, self._cache.revision) from None
        return _result(kind, found[:limit] if limit else found, revision, len(found) + more, selection.everything)

    def _continued(self, kind: Kind, below: str, options: ListOptions) -> ListResult:
        if options.resource_version not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
        revision, start = decode_token(options.continue_, kind.prefix)
        if revision < 0 or self._cache.changed(kind.prefix) <= revision <= self._cache.revision:
            # An inconsistent token takes what there is now; and a kind that has not changed since is what it was then.
            self._wait(kind, "")
            if revision < 0 or self._cache.changed(kind.prefix) <= revision:
                result = self._of_the_present(kind, below, options, start)
                return result if revision < 0 else _as_of(kind, result, revision)
        try:
            return self._of_the_past(kind, below, options, revision, start)
        except Gone:
            token = encode_token(-1, start.removeprefix(kind.prefix))
            raise _Expired(token) from None


class _Expired(Gone):
    """410 for an old continue token. The Status carries one that continues the list with what there is now."""

    def __init__(self, token: str) -> None:
        super().__init__(TOKEN_EXPIRED)
        self._token = token

    def status(self) -> Object:
        return {**super().status(), "metadata": {"continue": self._token}}


def _item_of(kind: Kind, obj: Object) -> Item:
    """Wrap a computed object as the verbs pass stored ones on; its revision is 0."""
    metadata = obj["metadata"]
    return Item(kind.key(metadata.get("namespace", ""), metadata["name"]), encode(obj), 0)


def _result(kind: Kind, items: list[Item], revision: int, total: int, countable: bool) -> ListResult:
    metadata: Object = {"resourceVersion": str(revision)}
    if total > len(items) and items:
        metadata["continue"] = encode_token(revision, items[-1].key.removeprefix(kind.prefix) + "\0")
        if countable:
            metadata["remainingItemCount"] = total - len(items)
    return ListResult(kind.codec.view_all(items), metadata)


def _as_of(kind: Kind, result: ListResult, revision: int) -> ListResult:
    metadata = {**result.metadata, "resourceVersion": str(revision)}
    if "continue" in metadata:
        metadata["continue"] = encode_token(revision, result.items[-1].key.removeprefix(kind.prefix) + "\0")
    return ListResult(result.items, metadata)
