"""The watches of the garbage collector: every kind that can be listed, watched and deleted, events aside.

Kinds come and go with custom resources, so discovery is asked again from time to time (upstream: every 30 s).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from controllers.context import SHARED, Context
from controllers.discovery import all_resources
from controllers.metadatasource import MetadataSource
from machinery.errors import ApiError
from machinery.informer import Handler, Informer
from machinery.resources import Resource
from machinery.stopping import call_on

log = logging.getLogger(__name__)

REDISCOVER = 30.0
FIRST_TRIES = 0.1
NEEDED = {"list", "watch", "delete"}
# What nobody owns and nobody keeps.
IGNORED = {("", "events"), ("events.k8s.io", "events")}


class Monitors:
    """Calls ``handler`` for the changes of all kinds."""

    def __init__(self, context: Context, handler: Handler) -> None:
        self.context = context
        self.handler = handler
        self.source = MetadataSource(context.client)
        self.running: dict[Resource, tuple[Informer, threading.Event | None]] = {}
        self.kinds: dict[tuple[str, str], Resource] = {}
        self.failing = False

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind."""
        return self.kinds.get((api_version, kind))

    def start(self, stop: threading.Event, ready: Callable[[], None]) -> None:
        """Watches in the background; ``ready`` is called once when all kinds have been listed."""
        threading.Thread(target=self._run, args=(stop, ready), name="garbagemonitors", daemon=True).start()

    def _run(self, stop: threading.Event, ready: Callable[[], None]) -> None:
        while not self._refresh(stop):
            if stop.wait(FIRST_TRIES):
                return
        for informer, _ in list(self.running.values()):
            while not informer.wait_synced(1.0):
                if stop.is_set():
                    return
        ready()
        while not stop.wait(REDISCOVER):
            self._refresh(stop)

    def _refresh(self, stop: threading.Event) -> bool:
        """Asks discovery, and starts and ends watches accordingly."""
        try:
            rows = all_resources(self.context.client)
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
            _, ended = self.running.pop(resource)
            if ended is not None:
                ended.set()
        return True

    def _watch(self, resource: Resource, stop: threading.Event) -> tuple[Informer, threading.Event | None]:
        if resource in SHARED:
            informer = self.context.informers.of(resource)
            informer.add_handler(self.handler)
            informer.start(stop)
            return informer, None
        ended = threading.Event()
        call_on(stop, ended.set)
        informer = Informer(self.source, resource)
        informer.add_handler(self.handler)
        informer.start(ended)
        return informer, ended
