"""PUT and PATCH: a change of an object, tried until it meets the newest one (upstream: store.go, Update).

``optimistic.py`` says why an attempt may begin with the cache's object, and when it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import orjson

from apiserver.model import metadata
from apiserver.model.item import Item, encode
from apiserver.model.kind import Kind
from apiserver.registry import deletion
from apiserver.registry.admissionrequest import AdmissionRequest, Swap
from apiserver.registry.backend import Backend
from apiserver.registry.optimistic import on_newest
from apiserver.registry.storing import fitting, refuse, with_claims
from apiserver.registry.writerequest import WriteRequest
from apiserver.storage.protocol import WriteOptions
from machinery.errors import Conflict, FieldError, GoValue, conflict, invalid
from machinery.objects import Object

# Makes the new object of a copy of the old one. May be called several times, each time with a newer object.
Change = Callable[[Object], Object]


def replacement(write: WriteRequest, obj: Object) -> Change:
    """Return the change that a PUT makes: the object that was sent, if a resourceVersion in it allows that.

    Raises BadRequest when the object is not the one of the path.
    """
    metadata.check_name(obj, write.name, write.namespace)
    metadata.place(write.kind, write.namespace, obj)
    write.warnings.extend(metadata.unique_owners(obj))
    pristine = orjson.dumps(obj)

    def replace(old: Object) -> Object:
        new: Object = orjson.loads(pristine)
        if not new["metadata"].get("resourceVersion") and not write.kind.strategy.unconditional_update:
            why = FieldError.invalid("metadata.resourceVersion", GoValue("0x0"), "must be specified for an update")
            raise invalid(write.kind.group_kind, write.name, [why])
        return new

    return replace


def modify(backend: Backend, write: WriteRequest, change: Change) -> Item:
    """Read, change, check and store an object; return it as the row shows it.

    What ``change`` returns may carry a resourceVersion or uid, which must then be the old object's. Raises NotFound,
    Conflict, Invalid, or what ``change`` or an admission plugin raises about the newest object.
    """
    return on_newest(backend, write, partial(_attempt, backend, write, change))


def _attempt(backend: Backend, write: WriteRequest, change: Change, item: Item, from_store: bool) -> Item:
    kind = write.kind
    data = kind.codec.view(item).data
    old: Object = orjson.loads(data)
    new = change(orjson.loads(data))
    request = AdmissionRequest("UPDATE", write, new, old, backend.reader)
    swaps = _check(backend, request, new, old)
    backend.fields.settle(new, old)
    # What is stored otherwise than it would be now is written anew, though nothing has changed.
    if new == old and kind.codec.is_stored(new, item):
        if not from_store:
            backend.confirm(item)
        written = item
    else:
        written = fitting(new, write.writer, partial(_replace, backend, request, swaps, item, new, old))
    if write.hooks:
        write.warnings.extend(request.warnings)
        # About a write to a subresource upstream's strategies say nothing.
        write.warnings.extend(() if write.subresource else kind.strategy.warnings(new, old))
    return kind.codec.view(written)


def _check(backend: Backend, request: AdmissionRequest, new: Object, old: Object) -> Sequence[Swap]:
    """Complete the new object in place; return what must be replaced with it. Raises Conflict, Invalid, Forbidden …"""
    kind, write = request.kind, request.write
    _check_identity(kind, new, old)
    metadata.keep(new, old)
    request.warnings.extend(metadata.unique_owners(new, " after mutating admission happens"))
    if write.hooks:
        kind.strategy.default(new)
    if write.writer is not None:
        backend.fields.updated(kind, new, old, write.writer)
    if not write.hooks:
        refuse(kind, write.name, metadata.validate_update(kind, new, old))
        return ()
    backend.admission.admit(request)
    errors = _prepare(kind, write.subresource, new, old)
    refuse(kind, write.name, metadata.validate_update(kind, new, old), errors)
    return backend.admission.validate(request)


def _prepare(kind: Kind, subresource: str, new: Object, old: Object) -> Iterable[FieldError]:
    """Restore what the request may not change; return what is wrong with the rest."""
    strategy = kind.strategy
    if subresource == "status":
        strategy.prepare_status_update(new, old)
        return strategy.validate_status_update(new, old)
    if subresource:
        strategy.prepare_part_update(subresource, new, old)
        return strategy.validate_part_update(subresource, new, old)
    strategy.prepare_update(new, old)
    return strategy.validate_update(new, old)


def wrong_uid(kind: Kind, namespace: str, name: str, sent: str, found: str) -> Conflict:
    """Return upstream's 409 for a write to another object than there is; ``found`` is empty if there is none."""
    why = f"Precondition failed: UID in precondition: {sent}, UID in object meta: {found}"
    at = f"Key: {kind.key(namespace, name)}, ResourceVersion: 0"
    return conflict(kind.resource, name, f"StorageError: invalid object, Code: 4, {at}, AdditionalErrorMsg: {why}")


def _check_identity(kind: Kind, new: Object, old: Object) -> None:
    """Raise Conflict if the client means an older object, or an earlier one of the same name."""
    sent, found = new["metadata"], old["metadata"]
    if sent.get("uid") and sent["uid"] != found.get("uid"):
        raise wrong_uid(kind, found.get("namespace", ""), found["name"], sent["uid"], found.get("uid", ""))
    if sent.get("resourceVersion") not in (None, "", "0", found["resourceVersion"]):
        raise conflict(kind.resource, found["name"])


def _replace(
    backend: Backend, request: AdmissionRequest, swaps: Sequence[Swap], item: Item, new: Object, old: Object
) -> Item:
    """Store the new object over ``item``, or remove it when nothing keeps it any longer.

    Raises Changed when ``item`` is not the newest, Overtaken when an object of ``swaps`` is not, and TooLarge.
    """
    kind, strategy = request.kind, request.kind.strategy
    before = set(strategy.claims(old))

    def store(candidate: Object) -> Item:
        value = encode(kind.codec.stored(candidate))
        if request.dry_run:
            return Item(item.key, value, item.revision)
        if deletion.may_go(kind, candidate):
            revision = backend.store.delete(item.key, item.revision, released=sorted(before))
        else:
            after = set(strategy.claims(candidate))
            entries = [swap.entry for swap in swaps]
            options = WriteOptions(sorted(after - before), sorted(before - after), entries, strategy.ttl)
            revision = backend.store.update(item.key, value, item.revision, options)
        backend.acknowledge(kind, revision, swaps)
        return Item(item.key, value, revision)

    return with_claims(backend, kind, new, old, store)
