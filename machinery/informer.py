"""Keep a local copy of one kind's objects, and tell of their changes: list once, then watch for ever.

A reconciler reads from this copy, and not from the API server, so that reads cost nothing. What an informer guarantees
(after client-go's reflector and shared informer):

Copies
- The cache holds a state that the server had, and never goes back to an older one. How far it is behind is unknown: a
  reconciler that has just written an object may not see that yet (``expectations.py`` is about this).
- Cached objects are shared by all readers and must never be changed. Copy one before changing it.

Handlers
- A handler is called with ``(old, new)``: ``old`` is None for a new object, ``new`` is None for a deleted one. In the
  latter case ``old`` is the last state that is known.
- Calls come one at a time, in the order of the changes of each object, and after the cache shows the change.
- A handler that is added late is first called for each object that is there, as if all of them were new.
- Handlers run in the informer's thread and hold up everything that follows, so they must only enqueue keys. A handler
  that raises is logged; the others are called nevertheless.
- Not every state is seen: after a relist only the latest is. So a handler must not count changes.

Failures
- The server ends each watch after 300 to 600 s; and connections break. The next watch continues at the last
  resourceVersion seen (bookmarks keep it recent), and so misses nothing.
- 410 Gone says that the server no longer has the changes since that version. Everything is listed again, and the
  difference to the cache is delivered: objects that are missing in the list as deleted, others as new or
  changed. An object whose resourceVersion is the same as before is not delivered.
- An object that was deleted and created again under the same name while nobody watched is recognised by its uid, and
  delivered as two changes, deleted and new. Otherwise its dependents would be taken for those of the old one.
- After failures there is a pause, from 50 ms doubling to 5 s, with jitter; an event from the server resets it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from machinery import errors
from machinery.client import WatchEvent
from machinery.objects import Object, key
from machinery.resources import Resource

log = logging.getLogger(__name__)

Objects = list[Object]
EventHandler = Callable[[Object | None, Object | None], None]  # called with the old and the new object
Indexer = Callable[[Object], Iterable[str]]  # returns the index values of an object
# Called with the error of each failed list, until the first that succeeds.
RefusalHandler = Callable[[Resource, errors.ApiError], None]

# Seconds.
FIRST_BACKOFF = 0.05
MAX_BACKOFF = 5.0
SHORT_WATCH = 1.0
WATCH_SECONDS = (300, 600)  # the lifetime of a watch is random between these, so that not all end at once


class ListerWatcher(Protocol):
    """What an informer needs of a client."""

    def list(self, resource: Resource, namespace: str = "", *, field_selector: str = "") -> Object: ...

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        field_selector: str = "",
        timeout: int | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[WatchEvent]: ...


class Informer:
    """The objects of one resource, or those of one namespace or of a field selector; see the file's docstring."""

    def __init__(
        self,
        client: ListerWatcher,
        resource: Resource,
        *,
        namespace: str = "",
        field_selector: str = "",
        on_refused: RefusalHandler | None = None,
    ) -> None:
        self.resource = resource
        self._on_refused = on_refused
        self._client = client
        self._where = {"namespace": namespace, "field_selector": field_selector}
        self._lock = threading.Lock()  # guards the cache and the indexes; never held while a handler runs
        self._objects: dict[str, Object] = {}
        self._indexers: dict[str, Indexer] = {}
        self._indexes: dict[str, dict[str, set[str]]] = {}
        self._delivery = threading.RLock()  # held while handlers are called; taken before _lock
        self._handlers: list[EventHandler] = []
        self._synced = threading.Event()
        self._started = False
        self._version = ""  # resourceVersion of the last list or event; empty: list again
        self._backoff = FIRST_BACKOFF
        self._outage = ""  # the error that was logged last, until the server answers

    # Reading

    def get(self, key: str) -> Object | None:
        """Return the object with this ``namespace/name`` or ``name``, None if there is none."""
        with self._lock:
            return self._objects.get(key)

    def list(self, namespace: str = "") -> Objects:
        """Return all objects, or those of one namespace."""
        with self._lock:
            if not namespace:
                return list(self._objects.values())
            return [obj for obj in self._objects.values() if obj["metadata"].get("namespace") == namespace]

    def by_index(self, name: str, value: str) -> Objects:
        """Return the objects for which the indexer ``name`` returned ``value``, without looking at the others."""
        with self._lock:
            return [self._objects[key] for key in self._indexes[name].get(value, ())]

    # Wiring

    def add_indexers(self, indexers: Mapping[str, Indexer]) -> None:
        """Add indexes over the present objects and those to come. An index that has the name already stays."""
        with self._lock:
            for name, indexer in indexers.items():
                if name in self._indexers:
                    continue
                self._indexers[name] = indexer
                self._indexes[name] = {}
                for object_key, obj in self._objects.items():
                    self._index(name, object_key, obj)

    def add_handler(self, handler: EventHandler) -> None:
        """Call ``handler`` for each object that is there, and from then on for every change."""
        with self._delivery:
            self._handlers.append(handler)
            for obj in self.list():
                _deliver(handler, None, obj)

    def start(self, stop: threading.Event) -> None:
        """Begin to list and watch, in a thread of its own until ``stop``. A second call has no effect."""
        with self._lock:
            if self._started:
                return
            self._started = True
        threading.Thread(target=self._run, args=(stop,), name=f"informer-{self.resource.plural}", daemon=True).start()

    @property
    def synced(self) -> bool:
        """Whether the first list is in the cache and its handlers have been called."""
        return self._synced.is_set()

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Wait until ``synced``; return False if that takes longer than ``timeout`` seconds."""
        return self._synced.wait(timeout)

    # The loop

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                if not self._version:
                    self._relist()
                self._follow(stop)
            except Exception as error:
                if not stop.is_set():
                    self._failed(error)
                stop.wait(self._delay())

    def _failed(self, error: Exception) -> None:
        """Log an error, the same one once however long it lasts, and have everything listed again if need be."""
        if isinstance(error, errors.Gone):
            log.info("%s: version %s is no longer kept, listing again", self.resource.plural, self._version)
            self._version = ""
        elif isinstance(error, errors.ApiError):
            if str(error) != self._outage:
                self._outage = str(error)
                log.warning("%s: %s; trying again until it works", self.resource.plural, error)
            if self._on_refused and not self.synced:
                self._on_refused(self.resource, error)
        else:
            log.error("%s: unexpected error, listing again", self.resource.plural, exc_info=error)
            self._version = ""

    def _delay(self) -> float:
        """Return how long to pause after a failure; the next pause is twice as long."""
        delay = self._backoff * random.uniform(0.5, 1.0)
        self._backoff = min(self._backoff * 2, MAX_BACKOFF)
        return delay

    def _relist(self) -> None:
        result = self._client.list(self.resource, **self._where)
        fresh = {key(obj): obj for obj in result["items"]}
        with self._delivery:
            for gone in [old for object_key, old in self._objects.items() if object_key not in fresh]:
                self._remove(gone)
            for obj in fresh.values():
                self._put(obj)
        self._version = result["metadata"]["resourceVersion"]
        self._log_recovery()
        self._synced.set()

    def _follow(self, stop: threading.Event) -> None:
        """Watch from the last version until the watch ends."""
        seconds = random.randint(*WATCH_SECONDS)
        began = time.monotonic()
        events = self._client.watch(
            self.resource, resource_version=self._version, timeout=seconds, stop=stop, **self._where
        )
        for event in events:
            self._take(event)
        if time.monotonic() - began < SHORT_WATCH:
            stop.wait(self._delay())  # Some proxy ends watches at once; without a pause this would be a busy loop.
        else:
            self._backoff = FIRST_BACKOFF

    def _log_recovery(self) -> None:
        if self._outage:
            self._outage = ""
            log.info("%s: up to date again", self.resource.plural)

    def _take(self, event: WatchEvent) -> None:
        self._backoff = FIRST_BACKOFF
        self._log_recovery()
        if event.type != "BOOKMARK":
            with self._delivery:
                (self._remove if event.type == "DELETED" else self._put)(event.object)
        self._version = event.object["metadata"]["resourceVersion"]

    # Cache and delivery

    def _put(self, new: Object) -> None:
        new["metadata"].pop("managedFields", None)  # They are large, and no component reads them.
        new.setdefault("kind", self.resource.kind)
        new.setdefault("apiVersion", self.resource.api_version)
        object_key = key(new)
        old = self._objects.get(object_key)
        if old is not None:
            if old["metadata"].get("uid") != new["metadata"].get("uid"):
                self._remove(old)
                old = None
            elif old["metadata"].get("resourceVersion") == new["metadata"].get("resourceVersion"):
                return
        with self._lock:
            if old is not None:
                self._unindex(object_key, old)
            self._objects[object_key] = new
            for name in self._indexers:
                self._index(name, object_key, new)
        self._notify(old, new)

    def _remove(self, last: Object) -> None:
        """Remove an object from the cache. ``last`` is its last known state, which the watch sends."""
        object_key = key(last)
        with self._lock:
            old = self._objects.pop(object_key, None)
            if old is None:
                return
            self._unindex(object_key, old)
        self._notify(last, None)

    def _index(self, name: str, object_key: str, obj: Object) -> None:
        for value in self._indexers[name](obj):
            self._indexes[name].setdefault(value, set()).add(object_key)

    def _unindex(self, object_key: str, obj: Object) -> None:
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(obj):
                keys = index.get(value)
                if keys is not None:
                    keys.discard(object_key)
                    if not keys:
                        del index[value]

    def _notify(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            _deliver(handler, old, new)


def _deliver(handler: EventHandler, old: Object | None, new: Object | None) -> None:
    try:
        handler(old, new)
    except Exception:
        log.exception("a handler failed on %s", key(new or old or {"metadata": {"name": "?"}}))


class Informers:
    """The informers of one process. All who ask for the same objects share one watch and one cache."""

    def __init__(self, client: ListerWatcher, on_refused: RefusalHandler | None = None) -> None:
        self._client = client
        self._on_refused = on_refused
        self._informers: dict[tuple[Resource, str], Informer] = {}

    def of(
        self,
        resource: Resource,
        *,
        field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None,
    ) -> Informer:
        """Return the informer of these objects; it is created on first use, and begins when ``start`` is called."""
        what = (resource, field_selector)
        if what not in self._informers:
            self._informers[what] = Informer(
                self._client, resource, field_selector=field_selector, on_refused=self._on_refused
            )
        informer = self._informers[what]
        informer.add_indexers(indexers or {})
        return informer

    def start(self, stop: threading.Event) -> None:
        """Start all informers that do not run yet."""
        for informer in list(self._informers.values()):
            informer.start(stop)

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Wait until all are synced, ``timeout`` seconds for each; return whether they are."""
        return all(informer.wait_synced(timeout) for informer in list(self._informers.values()))
