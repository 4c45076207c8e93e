"""The kinds that are served at the moment: the built-in rows, and those of the defined custom resources.

Each worker process derives the latter from the definitions in its own watch cache. A kind that a client has seen served
by one worker must be served by all, so before a worker answers about a custom resource, or that one does not exist, it
waits until its cache shows every acknowledged definition. Rows are derived again only when a definition has changed.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import orjson

from apiserver.crdschema.definition import is_true
from apiserver.customresources.conditions import is_served
from apiserver.customresources.rows import priority, rows_of
from apiserver.kinds.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS as DEFINITIONS
from apiserver.kinds.registry import Registry
from apiserver.model.kind import Kind
from apiserver.storage.cache import WatchCache
from machinery.objects import Object


class _ServedDefinition(NamedTuple):
    """The rows of one definition. They are derived again when ``of`` or ``terminating`` has changed."""

    of: bytes
    terminating: bool
    rows: tuple[Kind, ...]


class CustomKinds:
    """See ``ServedKinds``."""

    def __init__(self, cache: WatchCache, builtin: Registry) -> None:
        self._cache = cache
        self._builtin = self._registry = builtin
        self._definitions: dict[str, _ServedDefinition] = {}
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

    def _renew(self) -> None:
        revision = self._cache.changed(DEFINITIONS.prefix)
        items, _, _ = self._cache.select(DEFINITIONS.prefix)
        before, now = self._definitions, {}
        for item in items:
            crd = item.object
            name, of, terminating = crd["metadata"]["name"], _fingerprint(crd), is_true(crd, "Terminating")
            known = before.get(name)
            if known is None or (known.of, known.terminating) != (of, terminating):
                known = _ServedDefinition(of, terminating, rows_of(crd))
            now[name] = known
        rows = sorted(
            (row for served in now.values() for row in served.rows),
            key=lambda row: (row.group, priority(row.version), row.plural),
        )
        if [served.rows for served in now.values()] != [served.rows for served in before.values()]:
            self._registry = self._builtin.extended(rows)
        self._definitions, self._revision = now, revision
        self._end_watches(before, now)

    def _end_watches(self, before: dict[str, _ServedDefinition], now: dict[str, _ServedDefinition]) -> None:
        """End the watches of custom objects whose definition has changed; clients begin them anew, as with upstream."""
        for name, served in before.items():
            if served.rows and (name not in now or now[name].of != served.of):
                self._cache.end_watches_of(served.rows[0].prefix)
                if name not in now:
                    self._cache.forget(served.rows[0].prefix)


def _fingerprint(crd: Object) -> bytes:
    """Return all that the rows of a definition depend on, as bytes that can be compared."""
    status = crd.get("status") or {}
    parts = (crd["metadata"]["uid"], crd["spec"], status.get("acceptedNames"), is_served(crd))
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
