"""A local, always current copy of one kind's objects, and the news about them: list, then watch, for ever.

Rules, after client-go's reflector and shared informer:
- Cached objects are shared: nobody changes them.
- Handlers are called with (old, new), one at a time, in the order of the changes, after the cache shows the
  change. ``old`` is None for a new object, ``new`` is None for a deleted one. They must only enqueue.
- A broken watch goes on from the last version seen; Gone (410) lists again. Objects that vanished
  meanwhile are reported as deleted; an object of the same name with another uid as deleted and added.
- Failures back off from 50 ms to 5 s with jitter, and start anew once the server has answered.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from machinery import errors
from machinery.client import WatchEvent
from machinery.objects import Object, key
from machinery.resources import Resource

log = logging.getLogger(__name__)

Objects = list[Object]
Handler = Callable[[Object | None, Object | None], None]
Indexer = Callable[[Object], Iterable[str]]
# Is told of each failed list before the first that succeeds.
RefusalHandler = Callable[[Resource, errors.ApiError], None]

FIRST_BACKOFF = 0.05
MAX_BACKOFF = 5.0
SHORT_WATCH = 1.0
WATCH_SECONDS = (300, 600)  # between these the server ends a watch, so that not all end at once


class Source(Protocol):
    """What an informer needs of a client."""

    def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Object: ...

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout: int | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[WatchEvent]: ...


class Informer:
    """See the module's docstring."""

    def __init__(
        self,
        client: Source,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None,
        on_refused: RefusalHandler | None = None,
    ) -> None:
        self.resource = resource
        self._on_refused = on_refused
        self._client = client
        self._where = {
            "namespace": namespace,
            "label_selector": label_selector,
            "field_selector": field_selector,
        }
        self._lock = threading.Lock()  # guards the cache; held for moments, never while a handler runs
        self._objects: dict[str, Object] = {}
        self._indexers: dict[str, Indexer] = {}
        self._indexes: dict[str, dict[str, set[str]]] = {}
        self._delivery = threading.RLock()  # one handler call at a time
        self._handlers: list[Handler] = []
        self._synced = threading.Event()
        self._started = False
        self._version = ""
        self._backoff = FIRST_BACKOFF
        self._outage = ""
        self.add_indexers(indexers or {})

    # Reading

    def get(self, key: str) -> Object | None:
        """The object with this ``namespace/name`` or ``name``."""
        with self._lock:
            return self._objects.get(key)

    def list(self, namespace: str = "") -> Objects:
        """All objects, or those of one namespace."""
        with self._lock:
            if not namespace:
                return list(self._objects.values())
            return [obj for obj in self._objects.values() if obj["metadata"].get("namespace") == namespace]

    def by_index(self, name: str, value: str) -> Objects:
        """The objects for which the indexer ``name`` gave ``value``."""
        with self._lock:
            return [self._objects[key] for key in self._indexes[name].get(value, ())]

    # Wiring

    def add_indexers(self, indexers: Mapping[str, Indexer]) -> None:
        """Adds indexes; those of a name that is already there stay."""
        with self._lock:
            for name, indexer in indexers.items():
                if name in self._indexers:
                    continue
                self._indexers[name] = indexer
                self._indexes[name] = {}
                for object_key, obj in self._objects.items():
                    self._index(name, object_key, obj)

    def add_handler(self, handler: Handler) -> None:
        """Calls ``handler`` for every change from now on, and first for each object that is already there."""
        with self._delivery:
            self._handlers.append(handler)
            for obj in self.list():
                _deliver(handler, None, obj)

    def start(self, stop: threading.Event) -> None:
        """Lists and watches in a thread of its own until ``stop``; starting twice is starting once."""
        with self._lock:
            if self._started:
                return
            self._started = True
        threading.Thread(target=self._run, args=(stop,), name=f"informer-{self.resource.plural}", daemon=True).start()

    @property
    def synced(self) -> bool:
        """The first list has been delivered."""
        return self._synced.is_set()

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Waits for the first list; tells whether it came."""
        return self._synced.wait(timeout)

    # The loop

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                if not self._version:
                    self._relist()
                self._follow(stop)
            except errors.Gone:
                log.info("%s: version %s is no longer kept, listing again", self.resource.plural, self._version)
                self._version = ""
                self._pause(stop)
            except errors.ApiError as error:
                # An outage is told once, however long it lasts.
                if not stop.is_set() and str(error) != self._outage:
                    self._outage = str(error)
                    log.warning("%s: %s; trying again until it works", self.resource.plural, error)
                if self._on_refused and not self.synced:
                    self._on_refused(self.resource, error)
                self._pause(stop)
            except Exception:
                log.exception("%s: unexpected error, listing again", self.resource.plural)
                self._version = ""
                self._pause(stop)

    def _pause(self, stop: threading.Event) -> None:
        stop.wait(self._backoff * random.uniform(0.5, 1.0))
        self._backoff = min(self._backoff * 2, MAX_BACKOFF)

    def _relist(self) -> None:
        result = self._client.list(self.resource, **self._where)
        fresh = {key(obj): obj for obj in result["items"]}
        with self._delivery:
            for gone in [old for object_key, old in self._objects.items() if object_key not in fresh]:
                self._remove(gone)
            for obj in fresh.values():
                self._put(obj)
        self._version = result["metadata"]["resourceVersion"]
        self._works()
        self._synced.set()

    def _follow(self, stop: threading.Event) -> None:
        """One watch, to its end."""
        seconds = random.randint(*WATCH_SECONDS)
        began = time.monotonic()
        events = self._client.watch(
            self.resource, resource_version=self._version, timeout=seconds, stop=stop, **self._where
        )
        for event in events:
            self._backoff = FIRST_BACKOFF
            self._works()
            if event.type != "BOOKMARK":
                with self._delivery:
                    self._apply(event)
            self._version = event.object["metadata"]["resourceVersion"]
        if time.monotonic() - began < SHORT_WATCH:
            self._pause(stop)  # a server that ends watches at once must not be asked in a tight loop
        else:
            self._backoff = FIRST_BACKOFF

    def _works(self) -> None:
        """The server has answered."""
        if self._outage:
            self._outage = ""
            log.info("%s: up to date again", self.resource.plural)

    def _apply(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            self._remove(event.object)
        else:
            self._put(event.object)

    # Cache and delivery

    def _put(self, new: Object) -> None:
        new["metadata"].pop("managedFields", None)  # large, and nobody here reads it
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
        """Forgets an object; handlers are given its last state, as the watch told it if it did."""
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


def _deliver(handler: Handler, old: Object | None, new: Object | None) -> None:
    try:
        handler(old, new)
    except Exception:
        log.exception("a handler failed on %s", key(new or old or {"metadata": {"name": "?"}}))


class Informers:
    """The informers of one process: whoever asks for the same objects shares one watch and one cache."""

    def __init__(self, client: Source, on_refused: RefusalHandler | None = None) -> None:
        self._client = client
        self._on_refused = on_refused
        self._informers: dict[tuple[Any, ...], Informer] = {}

    def of(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None,
    ) -> Informer:
        """The informer of these objects, made on first use."""
        what = (resource, namespace, label_selector, field_selector)
        if what not in self._informers:
            self._informers[what] = Informer(
                self._client,
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                on_refused=self._on_refused,
            )
        informer = self._informers[what]
        informer.add_indexers(indexers or {})
        return informer

    def start(self, stop: threading.Event) -> None:
        """Starts those that do not run yet."""
        for informer in list(self._informers.values()):
            informer.start(stop)

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Waits until all have their first list; the timeout is for each."""
        return all(informer.wait_synced(timeout) for informer in list(self._informers.values()))
