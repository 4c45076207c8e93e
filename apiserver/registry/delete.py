"""DELETE: an object is removed, or marked for those who have still to be asked (upstream: store.go, Delete).

``deletion.py`` decides which of the two; ``optimistic.py`` says when an attempt is repeated.
"""

from __future__ import annotations

from functools import partial

import orjson

from apiserver.model.item import Item, encode
from apiserver.registry import deletion
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.backend import Backend
from apiserver.registry.deletion import DeleteOptions
from apiserver.registry.optimistic import on_newest
from apiserver.registry.writerequest import WriteRequest
from apiserver.storage.protocol import WriteOptions


def delete(backend: Backend, write: WriteRequest, options: DeleteOptions) -> tuple[Item, bool]:
    """Delete an object, or begin to; return it and whether it is gone.

    Raises NotFound, Conflict when a precondition fails, or what an admission plugin raises about the newest object.
    """
    return on_newest(backend, write, partial(_attempt, backend, write, options))


def _attempt(
    backend: Backend, write: WriteRequest, options: DeleteOptions, item: Item, from_store: bool
) -> tuple[Item, bool]:
    kind = write.kind
    deletion.check_preconditions(kind, item.object, options)
    request = AdmissionRequest("DELETE", write, None, item.object, backend.reader)
    backend.admission.admit(request)
    backend.admission.validate(request)
    planned = deletion.plan(kind, orjson.loads(item.data), options)
    if planned.remove:
        if not write.dry_run:
            revision = backend.store.delete(item.key, item.revision, released=kind.strategy.claims(item.object))
            backend.acknowledge(kind, revision)
        return kind.codec.view(item), True
    if planned.marked is None:
        if not from_store:
            backend.confirm(item)
        return kind.codec.view(item), False
    value, revision = encode(planned.marked), item.revision
    if not write.dry_run:
        revision = backend.store.update(item.key, value, item.revision, WriteOptions(ttl=kind.strategy.ttl))
        backend.acknowledge(kind, revision)
    return kind.codec.view(Item(item.key, value, revision)), False
