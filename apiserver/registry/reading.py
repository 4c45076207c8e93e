"""Get and list, with upstream's resourceVersion semantics and chunks (apiserver/pkg/storage/cacher).

Without a resourceVersion a read shows every acknowledged write; ``0`` takes what the cache has; ``N`` waits until the
cache is at N; an exact N is read from the store's history. A continue token names the revision of its first chunk, so
that all chunks together are one consistent list, as long as the store remembers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import orjson

from apiserver.model import query as parameters
from apiserver.model.item import Item
from apiserver.model.kind import Kind
from apiserver.registry.computed import Computed, item_of
from apiserver.registry.rest import object_key
from apiserver.storage.cache import WatchCache, too_large
from apiserver.storage.protocol import Compacted, FutureRevision, Store
from machinery.errors import BadRequest, FieldError, Gone, invalid, not_found, quote
from machinery.objects import Object
from machinery.selectors import FieldSelector, Selector, parse_field_selector, parse_selector

TOO_OLD = "The resourceVersion for the provided list is too old."
# Upstream's advice with an expired token, shortened in no point.
TOKEN_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_MOST_REVISION = (1 << 63) - 1  # a store's are signed
_UINT64 = re.compile(r"[0-9]{1,20}", re.ASCII)


class Selection(NamedTuple):
    """Which objects of a kind are meant."""

    labels: Selector
    fields: FieldSelector
    kind: Kind
    visible: Callable[[Object], bool] | None = None  # which objects may be shown; None is all

    @property
    def everything(self) -> bool:
        return self.labels.empty and self.fields.empty and self.visible is None

    def matches(self, item: Item) -> bool:
        """Looks into the object only when there is something to look for."""
        if self.everything:
            return True
        obj = self.kind.codec.view(item).object
        metadata = obj["metadata"]
        if not self.labels.matches(metadata.get("labels") or {}):
            return False
        if not self.fields.empty and not self.fields.matches(fields_of(self.kind, obj)):
            return False
        return self.visible is None or self.visible(obj)


class ListOptions(NamedTuple):
    """The query of a list or watch, checked."""

    selection: Selection
    resource_version: str = ""
    match: str = ""
    limit: int = 0
    continue_: str = ""
    timeout: int = 0
    bookmarks: bool = False
    send_initial_events: bool | None = None

    @property
    def revision(self) -> int:
        return int(self.resource_version or 0)


class ListResult(NamedTuple):
    """Items with the list's metadata."""

    items: list[Item]
    metadata: Object


def fields_of(kind: Kind, obj: Object) -> dict[str, str]:
    """What field selectors may ask for."""
    metadata, own = obj.get("metadata") or {}, kind.strategy.fields(obj)
    fields = {"metadata.name": metadata.get("name", ""), **own}
    if kind.namespaced or not own:  # a cluster's kind without fields of its own takes the name, and has no value
        fields["metadata.namespace"] = metadata.get("namespace", "")
    return fields


def parse_list_options(
    kind: Kind, query: Mapping[str, str], visible: Callable[[Object], bool] | None = None, *, watch: bool = False
) -> ListOptions:
    """Reads and checks the query; raises BadRequest or Invalid with upstream's messages."""
    fields = parse_field_selector(query.get("fieldSelector", ""))
    if not fields.empty:
        fields.check_fields(fields_of(kind, {"metadata": {}}).keys())
    labels = parse_selector(query.get("labelSelector", ""))
    options = ListOptions(
        Selection(labels, fields, kind, visible),
        resource_version(query),
        query.get("resourceVersionMatch", ""),
        max(0, parameters.integer(query, "limit") or 0),
        query.get("continue", ""),
        parameters.integer(query, "timeoutSeconds") or 0,
        parameters.flag(query, "allowWatchBookmarks"),
        parameters.flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
    )
    errors = _check_watch(options) if watch else _check_list(options)
    if errors:
        raise invalid("ListOptions.meta.k8s.io", "", errors)
    return options


def resource_version(query: Mapping[str, str]) -> str:
    """The query's resourceVersion, which must be a number if there is any."""
    text = query.get("resourceVersion", "")
    if text and not (_UINT64.fullmatch(text) and int(text) < 1 << 64):
        problem = "value out of range" if text.isascii() and text.isdecimal() else "invalid syntax"
        why = f"strconv.ParseUint: parsing {quote(text)}: {problem}"
        raise BadRequest(str(FieldError.invalid("resourceVersion", text, why)))
    return text


def _check_list(options: ListOptions) -> list[FieldError]:
    """Upstream's ValidateListOptions."""
    match, found = options.match, []
    if match and not options.resource_version:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        found.append(FieldError.forbidden("resourceVersionMatch", why))
    if match and options.continue_:
        why = "resourceVersionMatch is forbidden when continue is provided"
        found.append(FieldError.forbidden("resourceVersionMatch", why))
    if match not in ("", "Exact", "NotOlderThan"):
        found.append(FieldError.not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
    if match == "Exact" and options.resource_version == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        found.append(FieldError.forbidden("resourceVersionMatch", why))
    if options.send_initial_events is not None:
        found.append(FieldError.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def _check_watch(options: ListOptions) -> list[FieldError]:
    """Upstream's validateWatchOptions."""
    match, found = options.match, []
    if options.send_initial_events is not None and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        found.append(FieldError.forbidden("resourceVersionMatch", why))
    if match:
        if options.send_initial_events is None:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            found.append(FieldError.forbidden("resourceVersionMatch", why))
        if match != "NotOlderThan":
            found.append(FieldError.not_supported("resourceVersionMatch", match, ["NotOlderThan"]))
        if options.continue_:
            why = "resourceVersionMatch is forbidden when continue is provided"
            found.append(FieldError.forbidden("resourceVersionMatch", why))
    return found


class Reading:
    """The reading verbs but watch, over the cache and, for the past, the store."""

    def __init__(self, store: Store, cache: WatchCache, computed: Mapping[str, Computed] | None = None) -> None:
        self._store = store
        self._cache = cache
        self._computed = computed or {}

    def get(self, kind: Kind, namespace: str, name: str, version: str = "") -> Item:
        """One object, as new as ``version`` asks for; raises NotFound."""
        if kind.computed:
            return item_of(kind, self._computed[kind.resource].get(namespace, name))
        self._wait(kind, version)
        item = self._cache.get(kind.prefix, object_key(kind, namespace, name))
        if item is None:
            raise not_found(kind.resource, name)
        return kind.codec.view(item)

    def list(self, kind: Kind, namespace: str, options: ListOptions) -> ListResult:
        """The objects of a namespace, or of all, in the order of their keys."""
        if kind.computed:
            items = [item_of(kind, obj) for obj in self._computed[kind.resource].list(namespace)]
            return ListResult([item for item in items if options.selection.matches(item)], {})
        below = kind.prefix + (f"{namespace}/" if namespace else "")
        if options.continue_:
            return self._continued(kind, below, options)
        exact = options.match == "Exact" or (options.limit and options.revision and not options.match)
        if exact:
            return self._of_the_past(kind, below, options, options.revision, "")
        self._wait(kind, options.resource_version)
        if not namespace and (name := options.selection.fields.exact("metadata.name")) and not kind.namespaced:
            below = kind.prefix + name  # the selection still compares, so longer names do no harm
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
        """A list as of ``revision``, from the store; with selectors chunks are read until one is full."""
        selection, limit = options.selection, options.limit
        found: list[Item] = []
        if revision > _MOST_REVISION:
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
            # An inconsistent token takes what there is; and a kind that has not changed since is as it was.
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
    """An old continue token; the Status carries one that goes on inconsistently."""

    def __init__(self, token: str) -> None:
        super().__init__(TOKEN_EXPIRED)
        self._token = token

    def status(self) -> Object:
        return {**super().status(), "metadata": {"continue": self._token}}


def _result(kind: Kind, items: list[Item], revision: int, total: int, countable: bool) -> ListResult:
    metadata: Object = {"resourceVersion": str(revision)}
    if total > len(items) and items:
        metadata["continue"] = encode_token(revision, items[-1].key.removeprefix(kind.prefix) + "\0")
        if countable:
            metadata["remainingItemCount"] = total - len(items)
    return ListResult(list(map(kind.codec.view, items)) if kind.codec.dynamic else items, metadata)


def _as_of(kind: Kind, result: ListResult, revision: int) -> ListResult:
    metadata = {**result.metadata, "resourceVersion": str(revision)}
    if "continue" in metadata:
        metadata["continue"] = encode_token(revision, result.items[-1].key.removeprefix(kind.prefix) + "\0")
    return ListResult(result.items, metadata)


def encode_token(revision: int, start: str) -> str:
    """Upstream's form: base64 of JSON with the revision and the first key that is still to come."""
    text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def decode_token(token: str, prefix: str) -> tuple[int, str]:
    """The revision and the full key that a token says; raises BadRequest for what is none of ours."""
    try:
        value = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        version, revision, start = value["v"], value["rv"], value["start"]
    except (ValueError, KeyError, TypeError):
        raise _invalid_token("illegal base64 or JSON data") from None
    if version != "meta.k8s.io/v1":
        raise _invalid_token(f"server does not recognize this encoded version {quote(str(version))}")
    if type(revision) is not int or revision == 0 or revision > _MOST_REVISION:
        raise _invalid_token(f"incorrect encoded start resourceVersion (version {version})")
    if type(start) is not str or not start:
        raise _invalid_token(f"encoded start key empty (version {version})")
    if start.startswith("/"):
        raise _invalid_token(start)
    return revision, prefix + start


def _invalid_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")


def list_body(kind: Kind, api_version: str, result: ListResult) -> bytes:
    """The list as JSON, joined from the items' bytes."""
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.list_kind.encode(), api_version.encode(), orjson.dumps(result.metadata),
    )  # fmt: skip
    if not kind.codec.typed or not result.items:
        return b"".join((head, b",".join([item.data for item in result.items]), b"]}\n"))
    # ``encode`` has put it first. Nothing is copied before the bytes are joined.
    identity = len(b'{"kind":"%b","apiVersion":"%b",' % (kind.kind.encode(), kind.api_version.encode()))
    return b"".join((head, b"{", b",{".join([memoryview(item.data)[identity:] for item in result.items]), b"]}\n"))


def list_object(kind: Kind, api_version: str, objects: Iterable[Object], metadata: Object) -> Object:
    """The list as an object. As upstream, it says for built-in objects of what kind they are; custom ones say so."""
    items = [_without_identity(obj) for obj in objects] if kind.codec.typed else list(objects)
    return {"kind": kind.list_kind, "apiVersion": api_version, "metadata": metadata, "items": items}


def _without_identity(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
