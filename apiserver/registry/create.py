"""POST: a new object, from its defaults to the store (upstream: registry/generic/registry/store.go, Create)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import orjson

from apiserver.model import metadata
from apiserver.model.item import Item, encode
from apiserver.model.kind import Kind
from apiserver.registry.admissionrequest import AdmissionRequest, Swap
from apiserver.registry.backend import Backend
from apiserver.registry.optimistic import WRITE_ATTEMPTS
from apiserver.registry.storing import fitting, refuse, with_claims
from apiserver.registry.writerequest import WriteRequest
from apiserver.storage.protocol import Changed, Entry, Overtaken, WriteOptions
from machinery.errors import AlreadyExists, InternalError, already_exists, conflict
from machinery.objects import Object

# Upstream gives up after so many generated names that are taken; with 27^5 suffixes it never comes to that.
NAME_ATTEMPTS = 8


def create(backend: Backend, write: WriteRequest, obj: Object) -> Item:
    """Complete, check and store a new object, which is changed in place; return it as the row shows it.

    Raises BadRequest, Forbidden, Invalid, AlreadyExists, or what an admission plugin raises.
    """
    kind, strategy = write.kind, write.kind.strategy
    metadata.place(kind, write.namespace, obj)
    metadata.stamp(obj)
    strategy.default(obj)
    repeated = metadata.unique_owners(obj)
    if write.writer is not None:
        backend.fields.created(kind, obj, write.writer)
    request = AdmissionRequest("CREATE", write, obj, None, backend.reader, warnings=repeated)
    backend.admission.admit(request)
    base = _name(kind, obj)
    strategy.prepare_create(obj)
    strategy.record_creator(obj, write.user)
    name = obj["metadata"].get("name", "")
    refuse(kind, name, metadata.validate(kind, obj), strategy.validate(obj))
    with backend.admission.guard(request):
        swaps = backend.admission.validate(request)
        write.warnings.extend([*request.warnings, *strategy.warnings(obj)])
        return kind.codec.view(_insert(backend, request, obj, base, swaps))


def _name(kind: Kind, obj: Object) -> str:
    """Give the object a generated name if it has none; return the ``generateName`` that was used, if any."""
    meta = obj["metadata"]
    base = "" if meta.get("name") else meta.get("generateName", "")
    if base:
        meta["name"] = metadata.generate_name(kind, base)
    return str(base)


def _insert(backend: Backend, request: AdmissionRequest, obj: Object, base: str, swaps: Sequence[Swap]) -> Item:
    """Store the object, under another name while a generated one is taken. Raises AlreadyExists."""
    kind, writer = request.kind, request.write.writer
    for attempt in range(NAME_ATTEMPTS):
        if base and attempt:
            obj["metadata"]["name"] = metadata.generate_name(kind, base)
            kind.strategy.prepare_create(obj)
        try:
            return fitting(obj, writer, partial(_insert_swapping, backend, request, obj, swaps))
        except AlreadyExists:
            if not base or attempt == NAME_ATTEMPTS - 1:
                raise
    raise InternalError(f"no free name begins with {base}")


def _insert_swapping(backend: Backend, request: AdmissionRequest, obj: Object, swaps: Sequence[Swap]) -> Item:
    """Store the object; admission is asked again when an object that the transaction replaces has moved on."""
    kind = request.kind
    for _ in range(WRITE_ATTEMPTS):
        try:
            return with_claims(backend, kind, obj, None, partial(_store, backend, request, swaps))
        except Overtaken as error:
            backend.cache.wait_for(error.revision)
            swaps = backend.admission.validate(request)
    raise conflict(kind.resource, obj["metadata"]["name"], "too many others were allocating at the same time")


def _store(backend: Backend, request: AdmissionRequest, swaps: Sequence[Swap], obj: Object) -> Item:
    """Write the object in one transaction. Raises AlreadyExists, Claimed, Overtaken, TooLarge."""
    kind, meta = request.kind, obj["metadata"]
    key, value = kind.key(meta.get("namespace", ""), meta["name"]), encode(kind.codec.stored(obj))
    if request.dry_run:
        if backend.store.get(key) is not None:
            raise already_exists(kind.resource, meta["name"])
        return Item(key, value, 0)
    options = WriteOptions(kind.strategy.claims(obj), (), [swap.entry for swap in swaps], kind.strategy.ttl)
    try:
        revision = backend.store.create(key, value, options)
    except Changed as error:
        raise _exists(kind, meta["name"], error.current) from None
    backend.acknowledge(kind, revision, swaps)
    return Item(key, value, revision)


def _exists(kind: Kind, name: str, current: Entry | None) -> AlreadyExists:
    error = already_exists(kind.resource, name)
    if current is not None and orjson.loads(current.value)["metadata"].get("deletionTimestamp"):
        return AlreadyExists(f"object is being deleted: {error.message}", details=error.details)
    return error
