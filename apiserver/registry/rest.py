"""The verbs that write, once for all kinds (upstream: apiserver/pkg/registry/generic/registry/store.go).

A write reads the object from the cache, lets the change, the strategy and admission run on a copy, and swaps it in by
its revision. When the cache was behind, or another writer faster, the store says so with the newest object, and all is
done again on that. Only an error about a newest object is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import orjson

from apiserver import managedfields
from apiserver.kinds.resourcequotas import RESOURCE_QUOTAS
from apiserver.managedfields import SELF, Writer
from apiserver.model import metadata
from apiserver.model.attributes import Attributes, Authorizer
from apiserver.model.item import Item, encode
from apiserver.model.kind import Kind, Strategy
from apiserver.model.user import User
from apiserver.registry import deletion
from apiserver.registry.deletion import DeleteOptions
from apiserver.registry.quotalock import Turns
from apiserver.registry.request import AdmissionPlugin, AdmissionRequest
from apiserver.storage.cache import WatchCache
from apiserver.storage.protocol import Changed, Claimed, Entry, Overtaken, Store, TooLarge
from machinery.errors import (
    AlreadyExists,
    ApiError,
    FieldError,
    GoValue,
    InternalError,
    NotFound,
    already_exists,
    conflict,
    invalid,
    not_found,
)
from machinery.objects import Object

# Upstream gives up on a name that is taken after so many tries; with 27^5 suffixes it never comes to that.
NAME_ATTEMPTS = 8
# Other writers on one object that a write without resourceVersion outwaits.
WRITE_ATTEMPTS = 100

Change = Callable[[Object], Object]


class CacheReader:
    """See ``Reader``: what admission plugins look up. Absence is believed only of a cache that has caught up."""

    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache

    def get(self, kind: Kind, namespace: str, name: str, *, fresh: bool = False) -> Object | None:
        if fresh:
            self._cache.catch_up(kind.prefix)
        key = object_key(kind, namespace, name)
        item = self._cache.get(kind.prefix, key)
        if item is None and not fresh:
            self._cache.catch_up(kind.prefix)
            item = self._cache.get(kind.prefix, key)
        return kind.codec.view(item).object if item else None

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        item = self._cache.await_item(kind.prefix, object_key(kind, namespace, name), seconds)
        return item.object if item else None

    def list(self, kind: Kind, namespace: str = "", *, fresh: bool = False) -> Sequence[Object]:
        if fresh:
            self._cache.catch_up(kind.prefix)
        if not self._cache.count(kind.prefix):
            return ()  # as of most kinds that admission asks for, on every write
        items, _, _ = self._cache.select(kind.prefix, f"{kind.prefix}{namespace}/" if namespace else "")
        return [kind.codec.view(item).object for item in items]


class Rest:
    """The writing verbs; objects that it returns are Items, whose bytes are ready to be sent."""

    def __init__(
        self, store: Store, cache: WatchCache, admission: Sequence[AdmissionPlugin], authorizer: Authorizer
    ) -> None:
        self.store = store
        self.cache = cache
        self.reader = CacheReader(cache)
        self._turns = Turns(self.reader)
        self._admission = admission
        self._authorizer = authorizer

    def create(
        self,
        kind: Kind,
        namespace: str,
        obj: Object,
        user: User,
        *,
        writer: Writer | None = SELF,
        dry_run: bool = False,
        warnings: list[str] | None = None,
    ) -> Item:
        """Stores a new object; raises AlreadyExists, Invalid, Forbidden … Without ``writer`` it has managed fields."""
        metadata.place(kind, namespace, obj)
        metadata.stamp(obj)
        meta = obj["metadata"]
        strategy = kind.strategy
        strategy.default(obj)
        repeated = metadata.unique_owners(obj)
        if writer is not None:
            managedfields.created(kind, obj, writer)
        request = AdmissionRequest(
            "CREATE", kind, namespace, meta.get("name", ""), "", user, obj, None, self.reader, dry_run,
            warnings=repeated,
        )  # fmt: skip
        self._admit(request)
        base = "" if meta.get("name") else meta.get("generateName", "")
        if base:
            meta["name"] = metadata.generate_name(kind, base)
        strategy.prepare_create(obj)
        strategy.record_creator(obj, user)
        _refuse(kind, meta.get("name", ""), [*metadata.validate(kind, obj), *strategy.validate(obj)])
        with self._turns.take(kind, namespace):
            self._validate(request)
            if warnings is not None:
                warnings += [*request.warnings, *strategy.warnings(obj)]
            for attempt in range(NAME_ATTEMPTS):
                if base and attempt:
                    meta["name"] = metadata.generate_name(kind, base)
                    strategy.prepare_create(obj)
                try:
                    return kind.codec.view(_fitting(obj, writer, partial(self._insert, kind, obj, request)))
                except AlreadyExists:
                    if not base or attempt == NAME_ATTEMPTS - 1:
                        raise
        raise InternalError(f"no free name begins with {base}")

    def _insert(self, kind: Kind, obj: Object, request: AdmissionRequest) -> Item:
        name = obj["metadata"]["name"]
        key = object_key(kind, obj["metadata"].get("namespace", ""), name)
        lost: set[str] = set()
        for candidate in _candidates(kind, obj):
            self._allocate(kind, candidate, None, lost)
            value = encode(kind.codec.stored(candidate))
            if request.dry_run:
                if self.store.get(key) is not None:
                    raise already_exists(kind.resource, name)
                return Item(key, value, 0)
            try:
                claims = kind.strategy.claims(candidate)
                revision = self.store.create(key, value, claims=claims, swaps=request.swaps, ttl=kind.strategy.ttl)
            except Claimed as error:
                lost.add(error.claim)
                continue
            except Overtaken as error:
                self.cache.wait_for(error.revision)
                self._validate(request)
                continue
            except Changed as error:
                raise _exists(kind, name, error.current) from None
            self._acknowledge(kind, request, revision)
            return Item(key, value, revision)
        raise conflict(kind.resource, name, "too many others were allocating at the same time")

    def _acknowledge(self, kind: Kind, request: AdmissionRequest, revision: int) -> None:
        self.cache.acknowledge(kind.prefix, revision)
        if request.swaps:
            self.cache.acknowledge(RESOURCE_QUOTAS.prefix, revision)

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        obj: Object,
        user: User,
        *,
        writer: Writer | None = SELF,
        subresource: str = "",
        dry_run: bool = False,
        warnings: list[str] | None = None,
    ) -> tuple[Item, bool]:
        """Replaces an object, or its status, if a resourceVersion in the body allows; the flag: it was created."""
        metadata.check_name(obj, name, namespace)
        metadata.place(kind, namespace, obj)
        sent = obj["metadata"]
        repeated = metadata.unique_owners(obj)
        if warnings is not None:
            warnings += repeated
        pristine = orjson.dumps(obj)

        def change(old: Object) -> Object:
            new: Object = orjson.loads(pristine)
            version = new["metadata"].get("resourceVersion")
            if not version and not kind.strategy.unconditional_update:
                why = FieldError.invalid("metadata.resourceVersion", GoValue("0x0"), "must be specified for an update")
                raise invalid(kind.group_kind, name, [why])
            return new

        try:
            return self.modify(
                kind, namespace, name, change, user,
                writer=writer, subresource=subresource, dry_run=dry_run, warnings=warnings,
            ), False  # fmt: skip
        except ApiError as error:
            if error.code != 404 or not kind.strategy.create_on_update or subresource:
                raise
        if sent.pop("resourceVersion", None):
            raise conflict(kind.resource, name, "the object does not exist, but its resourceVersion was given")
        self.require_create(kind, namespace, name, user)
        return self.create(kind, namespace, obj, user, writer=writer, dry_run=dry_run, warnings=warnings), True

    def apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Callable[[Object | None], Object],
        user: User,
        *,
        subresource: str = "",
        dry_run: bool = False,
        warnings: list[str] | None = None,
    ) -> tuple[Item, bool]:
        """Modifies an object, or creates it when ``change`` has been given None; the flag: it was created."""
        for _ in range(WRITE_ATTEMPTS):
            try:
                return self.modify(
                    kind, namespace, name, change, user, subresource=subresource, dry_run=dry_run, warnings=warnings
                ), False
            except NotFound:
                if subresource:
                    raise
            try:
                new = change(None)
                self.require_create(kind, namespace, name, user)
                return self.create(kind, namespace, new, user, writer=None, dry_run=dry_run, warnings=warnings), True
            except AlreadyExists:
                continue  # another writer was faster
        raise conflict(kind.resource, name)

    def require_create(self, kind: Kind, namespace: str, name: str, user: User) -> None:
        """Who may update need not be one who may create; raises Forbidden."""
        self._authorizer.require(Attributes(user, "create", kind.group, kind.plural, namespace=namespace, name=name))

    def modify(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        user: User,
        *,
        writer: Writer | None = None,
        subresource: str = "",
        dry_run: bool = False,
        warnings: list[str] | None = None,
        hooks: bool = True,
    ) -> Item:
        """Reads, changes, checks and writes; ``change`` gets a copy and returns the new object, perhaps several times.

        What ``change`` returns may carry a resourceVersion or uid, which must then be those of the old object. Without
        ``hooks`` neither strategy nor admission looks at it: for changes that the server itself makes. Without
        ``writer`` the managed fields are what ``change`` makes of them.
        """
        key = object_key(kind, namespace, name)
        item = self.cache.get(kind.prefix, key)
        newest = item is None
        if item is None:
            item = _item(self.store.get(key))
        for _ in range(WRITE_ATTEMPTS):
            if item is None:
                raise not_found(kind.resource, name)
            seen = kind.codec.view(item)
            old: Object = orjson.loads(seen.data)
            request = AdmissionRequest(
                "UPDATE", kind, namespace, name, subresource, user, None, old, self.reader, dry_run
            )
            try:
                new = change(orjson.loads(seen.data))
                self._check_update(kind, new, old, request, hooks, writer)
            except ApiError:
                if newest:
                    raise
                item, newest = _item(self.store.get(key)), True
                continue
            managedfields.settle(new, old)
            # What is stored otherwise than it would be now is written anew.
            unchanged = new == old and kind.codec.is_stored(new, item)
            if unchanged and not newest:
                # Nothing to write, if this is what there is.
                current = _item(self.store.get(key))
                if current is None or current.revision != item.revision:
                    item, newest = current, True
                    continue
            try:
                write = partial(self._replace, kind, item, new, old, request)
                written = item if unchanged else _fitting(new, writer, write)
            except Changed as error:
                item, newest = _item(error.current), True
                continue
            except Overtaken as error:
                self.cache.wait_for(error.revision)
                continue
            except TooLarge:
                if newest:
                    raise
                item, newest = _item(self.store.get(key)), True
                continue
            if warnings is not None:
                warnings += request.warnings if subresource else [*request.warnings, *kind.strategy.warnings(new, old)]
            return kind.codec.view(written)
        raise conflict(kind.resource, name)

    def _check_update(
        self, kind: Kind, new: Object, old: Object, request: AdmissionRequest, hooks: bool, writer: Writer | None
    ) -> None:
        strategy, name = kind.strategy, request.name
        self._check_identity(kind, new, old)
        metadata.keep(new, old)
        request.warnings += metadata.unique_owners(new, " after mutating admission happens")
        if hooks:
            strategy.default(new)
        if writer is not None:
            managedfields.updated(kind, new, old, writer)
        if not hooks:
            _refuse(kind, name, metadata.validate_update(kind, new, old))
            return
        request.object = new
        self._admit(request)
        if request.subresource == "status":
            strategy.prepare_status_update(new, old)
            errors = strategy.validate_status_update(new, old)
        elif request.subresource:
            strategy.prepare_part_update(request.subresource, new, old)
            errors = strategy.validate_part_update(request.subresource, new, old)
        else:
            strategy.prepare_update(new, old)
            errors = strategy.validate_update(new, old)
        _refuse(kind, name, [*metadata.validate_update(kind, new, old), *errors])
        self._validate(request)

    def _check_identity(self, kind: Kind, new: Object, old: Object) -> None:
        sent, found = new["metadata"], old["metadata"]
        if sent.get("uid") and sent["uid"] != found.get("uid"):
            why = f"Precondition failed: UID in precondition: {sent['uid']}, UID in object meta: {found.get('uid')}"
            raise conflict(kind.resource, found["name"], why)
        if sent.get("resourceVersion") not in (None, "", "0", found["resourceVersion"]):
            raise conflict(kind.resource, found["name"])

    def _replace(self, kind: Kind, item: Item, new: Object, old: Object, request: AdmissionRequest) -> Item:
        """Writes the new object by compare-and-swap, or removes it when nothing keeps it any longer.

        Raises Changed, Overtaken.
        """
        strategy = kind.strategy
        before = set(strategy.claims(old))
        lost: set[str] = set()
        for candidate in _candidates(kind, new):
            self._allocate(kind, candidate, old, lost)
            value = encode(kind.codec.stored(candidate))
            if request.dry_run:
                return Item(item.key, value, item.revision)
            after = set(strategy.claims(candidate))
            try:
                if deletion.may_go(kind, candidate):
                    revision = self.store.delete(item.key, item.revision, released=sorted(before))
                else:
                    revision = self.store.update(
                        item.key, value, item.revision,
                        claims=sorted(after - before), released=sorted(before - after), swaps=request.swaps,
                        ttl=strategy.ttl,
                    )  # fmt: skip
            except Claimed as error:
                lost.add(error.claim)
                continue
            self._acknowledge(kind, request, revision)
            return Item(item.key, value, revision)
        raise conflict(
            kind.resource, item.object["metadata"]["name"], "too many others were allocating at the same time"
        )

    def _allocate(self, kind: Kind, obj: Object, old: Object | None, lost: set[str]) -> None:
        """Lets the strategy choose claims; ``lost`` are those that another writer got since the last choice."""
        errors = kind.strategy.allocate(obj, old, lambda claim: claim in lost or self.store.claimed(claim))
        _refuse(kind, obj["metadata"]["name"], errors)

    def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions, user: User) -> tuple[Item, bool]:
        """Deletes, or begins to; the flag tells whether the object is gone."""
        key = object_key(kind, namespace, name)
        item = self.cache.get(kind.prefix, key)
        newest = item is None
        if item is None:
            item = _item(self.store.get(key))
        for _ in range(WRITE_ATTEMPTS):
            if item is None:
                raise not_found(kind.resource, name)
            try:
                deletion.check_preconditions(kind, item.object, options)
                self._validate_deletion(kind, namespace, name, item, options, user)
            except ApiError:
                if newest:
                    raise
                item, newest = _item(self.store.get(key)), True
                continue
            planned = deletion.plan(kind, orjson.loads(item.data), options)
            if planned.marked is None and not planned.remove and not newest:
                item, newest = _item(self.store.get(key)), True
                continue
            try:
                deleted, gone = self._carry_out(kind, item, planned, options)
                return kind.codec.view(deleted), gone
            except Changed as error:
                item, newest = _item(error.current), True
        raise conflict(kind.resource, name)

    def _validate_deletion(
        self, kind: Kind, namespace: str, name: str, item: Item, options: DeleteOptions, user: User
    ) -> None:
        request = AdmissionRequest(
            "DELETE", kind, namespace, name, "", user, None, item.object, self.reader, options.dry_run
        )
        self._admit(request)
        self._validate(request)

    def _carry_out(
        self, kind: Kind, item: Item, planned: deletion.Deletion, options: DeleteOptions
    ) -> tuple[Item, bool]:
        if planned.remove:
            if not options.dry_run:
                released = kind.strategy.claims(item.object)
                revision = self.store.delete(item.key, item.revision, released=released)
                self.cache.acknowledge(kind.prefix, revision)
            return item, True
        if planned.marked is None:
            return item, False
        value = encode(planned.marked)
        if options.dry_run:
            return Item(item.key, value, item.revision), False
        revision = self.store.update(item.key, value, item.revision, ttl=kind.strategy.ttl)
        self.cache.acknowledge(kind.prefix, revision)
        return Item(item.key, value, revision), False

    def connect(self, kind: Kind, namespace: str, name: str, subresource: str, user: User, options: Any) -> None:
        """Asks admission about a connection to an object."""
        self.admit(AdmissionRequest("CONNECT", kind, namespace, name, subresource, user, options, None, self.reader))

    def admit(self, request: AdmissionRequest) -> None:
        """Asks admission about what is stored nowhere."""
        self._admit(request)
        self._validate(request)

    def _admit(self, request: AdmissionRequest) -> None:
        for plugin in self._admission:
            if plugin.handles(request):
                plugin.admit(request)

    def _validate(self, request: AdmissionRequest) -> None:
        for plugin in self._admission:
            if plugin.handles(request):
                plugin.validate(request)


def object_key(kind: Kind, namespace: str, name: str) -> str:
    """Where the store keeps an object."""
    return f"{kind.prefix}{namespace}/{name}" if kind.namespaced else kind.prefix + name


def _candidates(kind: Kind, obj: Object) -> Iterator[Object]:
    """The object for each try; a fresh copy where the strategy writes what it allocates into it."""
    if type(kind.strategy).allocate is Strategy.allocate:
        yield from repeat(obj, WRITE_ATTEMPTS)
        return
    pristine = orjson.dumps(obj)
    for _ in range(WRITE_ATTEMPTS):
        yield orjson.loads(pristine)


def _fitting(obj: Object, writer: Writer | None, write: Callable[[], Item]) -> Item:
    """What is too large for the store is written without managed fields, when it is not they that were asked for."""
    try:
        return write()
    except TooLarge:
        if writer is None or obj["metadata"].pop("managedFields", None) is None:
            raise
        return write()


def _item(entry: Entry | None) -> Item | None:
    return Item(entry.key, entry.value, entry.revision) if entry else None


def _refuse(kind: Kind, name: str, errors: Sequence[FieldError]) -> None:
    if errors:
        raise invalid(kind.group_kind, name, errors)


def _exists(kind: Kind, name: str, current: Entry | None) -> AlreadyExists:
    error = already_exists(kind.resource, name)
    if current is not None and orjson.loads(current.value)["metadata"].get("deletionTimestamp"):
        return AlreadyExists(f"object is being deleted: {error.message}", details=error.details)
    return error
