"""The kinds that are served at the moment: the built-in rows, and those of the defined custom resources.

Each worker process derives the latter from the definitions in its own watch cache. A kind that a client has seen served
by one worker must be served by all, so before a worker answers about a custom resource, or that one does not exist, it
waits until its cache shows every acknowledged definition. Rows are derived again only when a definition has changed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from apiserver.crdschema.definition import APPROVED, is_true
from apiserver.customresources.conditions import is_served
from apiserver.customresources.rows import priority, rows_of
from apiserver.kinds.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS as DEFINITIONS
from apiserver.kinds.registry import Registry
from apiserver.model.item import Item
from apiserver.model.kind import Kind
from apiserver.registry.reader import CacheReader
from apiserver.storage.cache import WatchCache
from machinery.objects import Object


class ServedDefinition(NamedTuple):
    """What is kept of a definition: ``outline`` is the part of it that does not grow with its schemas.

    Its rows are made again when ``of``, a hash of all that they depend on, or ``terminating`` changes. ``source`` is
    where they read schemas from.
    """

    revision: int
    outline: Object
    of: bytes
    terminating: bool
    rows: tuple[Kind, ...]
    source: _Source


class _Source:
    """The newest JSON of a definition, which its rows share with the watch cache."""

    def __init__(self, item: Item) -> None:
        self.item = item

    def load(self) -> Object:
        crd: Object = orjson.loads(self.item.data)
        return crd


class CustomKinds:
    """See ``ServedKinds``."""

    def __init__(self, cache: WatchCache, builtin: Registry) -> None:
        self._cache = cache
        self._builtin = self._registry = builtin
        self._definitions: dict[str, ServedDefinition] = {}
        self._revision = 0
        self._lock = threading.Lock()

    def find(self, group: str, version: str, plural: str) -> Kind:
        """Return the row served at a path; raises NotFound."""
        return self._builtin.get(group, version, plural) or self.registry().find(group, version, plural)

    def registry(self) -> Registry:
        """Return all rows, as of every acknowledged change of a definition."""
        self._cache.catch_up(DEFINITIONS.prefix)
        if self._cache.changed(DEFINITIONS.prefix) != self._revision:
            with self._lock:
                self._renew()
        return self._registry

    def definitions(self) -> Mapping[str, ServedDefinition]:
        """Return all definitions by name, as of every acknowledged change."""
        self.registry()
        return self._definitions

    def _renew(self) -> None:
        revision = self._cache.changed(DEFINITIONS.prefix)
        items, _, _ = self._cache.select(DEFINITIONS.prefix)
        before, now = self._definitions, {}
        for item in items:
            name = item.key.removeprefix(DEFINITIONS.prefix)
            known = before.get(name)
            now[name] = known if known is not None and known.revision == item.revision else self._served(item, known)
        changed = [name for name in before.keys() | now.keys() if _rows(before, name) is not _rows(now, name)]
        if changed:
            rows = sorted(
                (row for served in now.values() for row in served.rows),
                key=lambda row: (row.group, priority(row.version), row.plural),
            )
            self._registry = self._builtin.extended(rows)
        self._definitions, self._revision = now, revision
        self._end_watches(before, now)

    def _served(self, item: Item, known: ServedDefinition | None) -> ServedDefinition:
        """Return a definition that has changed, with the rows that it had if they would be the same."""
        crd = orjson.loads(item.data)
        of, outline, terminating = _fingerprint(crd), _outline(crd), is_true(crd, "Terminating")
        if known is not None and (known.of, known.terminating) == (of, terminating):
            known.source.item = item
            return known._replace(revision=item.revision, outline=outline)
        source = _Source(item)
        rows = rows_of(crd, source.load, of.hex(), self._service)
        return ServedDefinition(item.revision, outline, of, terminating, rows, source)

    def _service(self, namespace: str, name: str) -> tuple[Object | None, Object | None]:
        """Return a Service and its Endpoints, None for what does not exist."""
        reader, kinds = CacheReader(self._cache), (self._builtin.by_kind("", kind) for kind in ("Service", "Endpoints"))
        service, endpoints = (reader.get(kind, namespace, name) if kind else None for kind in kinds)
        return service, endpoints

    def _end_watches(self, before: dict[str, ServedDefinition], now: dict[str, ServedDefinition]) -> None:
        """End the watches of custom objects whose definition has changed; clients begin them anew, as with upstream."""
        for name, served in before.items():
            if served.rows and (name not in now or now[name].of != served.of):
                self._cache.end_watches_of(served.rows[0].prefix)
                if name not in now:
                    self._cache.forget(served.rows[0].prefix)


def _rows(definitions: Mapping[str, ServedDefinition], name: str) -> tuple[Kind, ...]:
    return definitions[name].rows if name in definitions else ()


def _outline(crd: Object) -> Object:
    kept = ("name", "finalizers", "deletionTimestamp")
    metadata = {name: crd["metadata"][name] for name in kept if name in crd["metadata"]}
    if APPROVED in (annotations := crd["metadata"].get("annotations") or {}):
        metadata["annotations"] = {APPROVED: annotations[APPROVED]}
    spec = {name: crd["spec"][name] for name in ("group", "names")}
    return {"metadata": metadata, "spec": spec, "status": crd.get("status") or {}}


def _fingerprint(crd: Object) -> bytes:
    """Return a hash of all that the rows of a definition depend on."""
    status = crd.get("status") or {}
    parts = (crd["metadata"]["uid"], crd["spec"], status.get("acceptedNames"), is_served(crd))
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()
