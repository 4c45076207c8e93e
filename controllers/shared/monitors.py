"""Watch every kind that can be listed, watched and deleted, for the garbage collector and the quota controller.

Kinds come and go with custom resources. Discovery is asked again when a CustomResourceDefinition changes, so that the
kind of an owner is known as soon as an object can refer to it, and every 30 s (upstream does only the latter).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from controllers.shared.discovery import all_resources
from controllers.shared.metadatasource import MetadataSource
from machinery.client import Client
from machinery.errors import ApiError
from machinery.informer import EventHandler, Informer, Informers
from machinery.informerloop import InformerLoop, LoopedInformer
from machinery.resources import Resource
from machinery.stopping import call_on

log = logging.getLogger(__name__)

# Called with resources.
Listener = Callable[[Collection[Resource]], None]

REDISCOVER = 30.0
FIRST_TRIES = 0.1
NEEDED = {"list", "watch", "delete"}
# Events have no owners and no dependents, and no quota counts them.
IGNORED = {("", "events"), ("events.k8s.io", "events")}
DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")


class Monitors:
    """An informer for each kind: of whole objects if a controller needs them, else of metadata, all in one thread.

    Use it like a controller: first add handlers and listeners, then call ``start``; each of its users calls it.
    """

    def __init__(self, client: Client, informers: Informers, whole: Collection[Resource]) -> None:
        """Watch nothing yet. Of the kinds in ``whole`` the informers keep whole objects."""
        self.client = client
        self.informers = informers
        self.whole = frozenset(whole)
        self.source = MetadataSource(client)
        self.loop = InformerLoop("monitored-kinds")
        self.running: dict[Resource, Informer] = {}
        self.kinds: dict[tuple[str, str], Resource] = {}
        self.failing = False
        self.started = False
        self.synced = threading.Event()
        self.outdated = threading.Event()
        self.handlers: list[EventHandler] = []
        self.listeners: list[Listener] = []

    def add_handler(self, handler: EventHandler) -> None:
        """Call ``handler`` for the changes of all kinds."""
        self.handlers.append(handler)

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener`` with the kinds that have been listed for the first time."""
        self.listeners.append(listener)

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of a kind, None if the API server has no such kind."""
        return self.kinds.get((api_version, kind))

    def watched(self) -> list[Resource]:
        """Return the resources that have an informer."""
        return list(self.running)

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Wait until every kind has been listed; return False if that takes longer than ``timeout`` seconds."""
        return self.synced.wait(timeout)

    def start(self, stop: threading.Event) -> None:
        """Watch in a thread of its own until ``stop``. A second call has no effect."""
        if not self.started:
            self.started = True
            self.loop.start(stop)
            threading.Thread(target=self._run, args=(stop,), name="monitors", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        listed: set[Resource] = set()
        call_on(stop, self.outdated.set)
        while not stop.is_set():
            self.outdated.clear()
            if self._refresh(stop):
                unlisted = self.running.keys() - listed
                new = {resource for resource in unlisted if self._is_listed(resource, stop)}
                if stop.is_set():
                    return
                listed = (listed & self.running.keys()) | new
                if listed == self.running.keys():
                    self.synced.set()
                for listener in self.listeners:
                    listener(new)
            self.outdated.wait(REDISCOVER if self.synced.is_set() else FIRST_TRIES)

    def _is_listed(self, resource: Resource, stop: threading.Event) -> bool:
        """Wait until a kind has been listed; return False if it may be gone before that."""
        while not self.running[resource].wait_synced(0.2):
            if stop.is_set() or self.outdated.is_set():
                return False
        return True

    def _refresh(self, stop: threading.Event) -> bool:
        """Ask discovery for the kinds, and start and end watches accordingly; return False if it fails."""
        try:
            rows = all_resources(self.client)
        except ApiError as error:
            if not self.failing:
                log.warning("discovery: %s; trying again until it works", error)
            self.failing = True
            return False
        self.failing = False
        self.kinds = {(resource.api_version, resource.kind): resource for resource, _, _ in rows}
        wanted = {
            resource
            for resource, verbs, preferred in rows
            if preferred and verbs >= NEEDED and (resource.group, resource.plural) not in IGNORED
        }
        for resource in wanted - self.running.keys():
            self.running[resource] = self._watch(resource, stop)
        for resource in self.running.keys() - wanted:
            informer = self.running.pop(resource)
            if isinstance(informer, LoopedInformer):
                self.loop.remove(informer)
        return True

    def _watch(self, resource: Resource, stop: threading.Event) -> Informer:
        whole = resource in self.whole
        informer = self.informers.of(resource) if whole else LoopedInformer(self.source, resource)
        for handler in self.handlers:
            informer.add_handler(handler)
        if (resource.group, resource.plural) == DEFINITIONS:
            informer.add_handler(lambda old, new: self.outdated.set())
        if isinstance(informer, LoopedInformer):
            self.loop.add(informer)
        else:
            informer.start(stop)
        return informer
