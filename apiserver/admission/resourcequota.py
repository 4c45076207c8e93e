"""ResourceQuota: new objects are charged to the namespace's quotas, and refused if one would be exceeded.

Upstream: apiserver/pkg/admission/plugin/resourcequota. There the charge is written first
and the object after it, so a failure in between leaves a charge for nothing, and a recount in between loses one. Here
both are one transaction: the plugin returns which quotas to replace at which revision, and is asked again when one of
them has changed meanwhile.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime

from apiserver.admission.plugin import Plugin, refuse
from apiserver.kinds.resourcequotas import RESOURCE_QUOTAS
from apiserver.model.item import encode
from apiserver.registry.admissionrequest import AdmissionRequest, Swap
from apiserver.storage.protocol import Entry
from machinery.errors import InternalError
from machinery.objects import Object
from machinery.quota import IGNORED, Evaluator, evaluator_of, utc_now
from machinery.resourcelists import ResourceList, above, add, grown, masked, parsed, written

_LOCKS = 64
# Seconds for which upstream's admission waits for the evaluation of quotas.
_LOCK_TIMEOUT = 10.0


class ResourceQuota(Plugin):
    name = "ResourceQuota"

    def handles(self, request: AdmissionRequest) -> bool:
        return request.operation in ("CREATE", "UPDATE") and not request.subresource and request.kind.namespaced

    def __init__(self) -> None:
        self._locks = _NamespaceLocks()

    def guard(self, request: AdmissionRequest) -> AbstractContextManager[None]:
        """Let creates in a namespace with quotas wait for each other (see ``_NamespaceLocks``)."""
        if not request.reader.list(RESOURCE_QUOTAS, request.namespace):
            return nullcontext()
        return self._locks.hold(request.namespace)

    def validate(self, request: AdmissionRequest) -> Sequence[Swap]:
        quotas = request.reader.list(RESOURCE_QUOTAS, request.namespace, consistent=True)
        if not quotas or request.object is None or request.resource in IGNORED:
            return ()
        evaluator = evaluator_of(request.resource)
        if request.old is not None and not evaluator.charges_updates:
            return ()
        try:
            charges = list(charge(evaluator, quotas, request.object, request.old, utc_now()))
        except Exceeded as why:
            raise refuse(request, str(why)) from None
        return [Swap(RESOURCE_QUOTAS, _entry(quota, used)) for quota, used in charges]


class _NamespaceLocks:
    """Locks by namespace: those who create something in a namespace with quotas do so one after the other.

    Each has to charge the newest revision of the same quota. Without a lock all but one of many that try at once would
    try in vain, again and again. Another worker process takes no part in the lock; compare-and-swap keeps its charges
    right. The number of locks is fixed: namespaces that share one only wait for each other.
    """

    def __init__(self) -> None:
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    @contextmanager
    def hold(self, namespace: str) -> Iterator[None]:
        """Hold the lock of a namespace; raises InternalError when it does not become free in time."""
        lock = self._locks[zlib.crc32(namespace.encode()) % _LOCKS]
        if not lock.acquire(timeout=_LOCK_TIMEOUT):
            raise InternalError("Internal error occurred: resource quota evaluation timed out")
        try:
            yield
        finally:
            lock.release()


class Exceeded(Exception):
    """A quota refuses an object; the text is upstream's message."""


def charge(
    evaluator: Evaluator, quotas: Iterable[Object], obj: Object, old: Object | None, now: datetime
) -> Iterator[tuple[Object, ResourceList]]:
    """Yield each quota of which the object uses more than before, with its new usage. Raises Exceeded."""
    matching = [quota for quota in quotas if evaluator.matches(quota.get("spec") or {}, obj)]
    for quota in matching:
        _check_stated(evaluator, quota, obj)
    more = grown(evaluator.usage(obj, now), evaluator.usage(old, now) if old else {})
    for quota in matching:
        hard, used = _status(quota, "hard"), _status(quota, "used")
        requested = masked(more, hard)
        total = add(used, requested)
        if exceeded := above(masked(total, requested), hard):
            parts = [_listed(masked(amounts, exceeded)) for amounts in (requested, used, hard)]
            raise Exceeded(
                f"exceeded quota: {quota['metadata']['name']}, requested: {parts[0]}, used: {parts[1]}, "
                f"limited: {parts[2]}"
            )
        if requested:
            yield quota, total


def _check_stated(evaluator: Evaluator, quota: Object, obj: Object) -> None:
    """Raise Exceeded unless the object states what is limited, and the quota's usage has been counted."""
    name, status = quota["metadata"]["name"], quota.get("status") or {}
    tracked = evaluator.tracked(status.get("hard") or ())
    if missing := evaluator.unstated(tracked, obj):
        listed = "; ".join(f"{resource} for: {','.join(sorted(missing[resource]))}" for resource in sorted(missing))
        raise Exceeded(f"failed quota: {name}: must specify {listed}")
    if any(resource not in (status.get("used") or {}) for resource in tracked):
        raise Exceeded(f"status unknown for quota: {name}, resources: {','.join(sorted(tracked))}")


def _status(quota: Object, field: str) -> ResourceList:
    return parsed((quota.get("status") or {}).get(field))


def _listed(resources: ResourceList) -> str:
    return ",".join(f"{name}={resources[name]}" for name in sorted(resources))


def _entry(quota: Object, used: ResourceList) -> Entry:
    """Return the quota with its new usage, at the revision that was read."""
    meta = quota["metadata"]
    changed = {**quota, "status": {**quota["status"], "used": written(used)}}
    key = f"{RESOURCE_QUOTAS.prefix}{meta['namespace']}/{meta['name']}"
    return Entry(key, encode(changed), int(meta["resourceVersion"]))
