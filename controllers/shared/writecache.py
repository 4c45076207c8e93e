"""An informer's cache that includes our own writes, also those that the informer has not seen yet.

With it a controller never acts on a state that is older than its own latest write.

Invariant: a write is remembered until the informer has seen an event with the same or a later resourceVersion. The
versions of all objects are numbers of one sequence, so from then on the informer is at least as current.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from machinery.informer import Informer
from machinery.objects import Object, key


class WriteCache:
    """Reads like the informer: ``get`` by key, and ``overlay`` for what an index returned."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._lock = threading.Lock()
        self._seen = 0
        self._written: dict[str, Object] = {}
        self._deleted: dict[str, str] = {}
        informer.add_handler(self._observe)

    def wrote(self, obj: Object) -> None:
        """Remember the object that a create or update returned."""
        with self._lock:
            self._deleted.pop(key(obj), None)
            if revision(obj) > self._seen:
                self._written[key(obj)] = obj

    def deleted(self, obj: Object) -> None:
        """Remember that we deleted this object. Another one of the same name is not affected."""
        with self._lock:
            self._written.pop(key(obj), None)
            cached = self._informer.get(key(obj))
            # If the watch has shown the deletion already, no later event would remove the entry.
            if cached is not None and cached["metadata"]["uid"] == obj["metadata"]["uid"]:
                self._deleted[key(obj)] = obj["metadata"]["uid"]

    def forget(self, obj_key: str) -> None:
        """Drop what we remember of an object after a conflict or NotFound, and believe the informer."""
        with self._lock:
            self._written.pop(obj_key, None)
            self._deleted.pop(obj_key, None)

    def get(self, obj_key: str) -> Object | None:
        """Return the latest known state of an object, None if there is none."""
        cached = self._informer.get(obj_key)
        found = self.overlay([cached] if cached is not None else [], [obj_key])
        return found[0] if found else None

    def overlay(self, cached: Iterable[Object], keys: Iterable[str]) -> list[Object]:
        """Return the cached objects as they are after our writes.

        Those of ``keys`` that we have written and the cache does not have yet are added.
        """
        latest = {key(obj): obj for obj in cached}
        with self._lock:
            for obj_key in {*latest, *keys}:
                written, known = self._written.get(obj_key), latest.get(obj_key)
                if written is not None and (known is None or revision(known) < revision(written)):
                    latest[obj_key] = written
                elif known is not None and self._deleted.get(obj_key) == known["metadata"]["uid"]:
                    del latest[obj_key]
        return list(latest.values())

    def written(self) -> list[Object]:
        """Return our writes that the informer has not seen yet."""
        with self._lock:
            return list(self._written.values())

    def _observe(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        if obj is None:
            return
        with self._lock:
            self._seen = max(self._seen, revision(obj))
            for obj_key in [k for k, written in self._written.items() if revision(written) <= self._seen]:
                del self._written[obj_key]
            if new is None:
                self._deleted.pop(key(obj), None)


def revision(obj: Object) -> int:
    """Return the resourceVersion as a number, which it is here (etcd's revision)."""
    return int(obj["metadata"].get("resourceVersion") or 0)
