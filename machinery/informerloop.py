"""Run many informers in one thread, for those who watch kinds of which there may be hundreds.

Each informer behaves as one with a thread of its own (``informer.py``). While it lists, the others wait.
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from machinery.client import WATCH_GRACE, WatchEvent
from machinery.errors import Timeout
from machinery.informer import SHORT_WATCH, WATCH_SECONDS, Informer, ListerWatcher
from machinery.resources import Resource
from machinery.stopping import call_on


class OpenWatch(Protocol):
    """A watch that is read without waiting."""

    @property
    def ended(self) -> bool:
        """Whether the server has ended it."""

    def fileno(self) -> int: ...

    def take(self) -> Iterator[WatchEvent]:
        """Yield the events that have arrived. Raises ApiError."""

    def close(self) -> None: ...


class WatchOpener(ListerWatcher, Protocol):
    """What a loop needs of a client."""

    def open_watch(self, resource: Resource, *, resource_version: str, timeout: int) -> OpenWatch: ...


class LoopedInformer(Informer):
    """The objects of one resource; ``due`` is when ``act`` is to be called though nothing has arrived."""

    def __init__(self, opener: WatchOpener, resource: Resource) -> None:
        super().__init__(opener, resource)
        self._opener = opener
        self._began = 0.0
        self.watch: OpenWatch | None = None
        self.due = 0.0  # by time.monotonic

    def act(self, stop: threading.Event) -> None:
        """List if necessary and begin to watch; or, with an open watch, take what has arrived."""
        try:
            if self.watch is None:
                self._open()
            elif time.monotonic() >= self.due:
                raise Timeout(f"the watch of {self.resource.plural} was not ended in time")
            self._take_all()
        except Exception as error:
            if not stop.is_set():
                self._failed(error)
            self.close()
            self.due = time.monotonic() + self._delay()

    def close(self) -> None:
        """End the watch."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None

    def _open(self) -> None:
        if not self._version:
            self._relist()
        seconds = random.randint(*WATCH_SECONDS)
        self.watch = self._opener.open_watch(self.resource, resource_version=self._version, timeout=seconds)
        self._began = time.monotonic()
        self.due = self._began + seconds + WATCH_GRACE

    def _take_all(self) -> None:
        assert self.watch is not None
        for event in self.watch.take():
            self._take(event)
        if self.watch.ended:
            self.close()
            now = time.monotonic()
            self.due = now + (self._delay() if now - self._began < SHORT_WATCH else 0)


class InformerLoop:
    """The thread of these informers. ``add`` and ``remove`` may be called from any thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._wanted: set[LoopedInformer] = set()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def add(self, informer: LoopedInformer) -> None:
        """Begin to list and watch."""
        with self._lock:
            self._wanted.add(informer)
        self._wake()

    def remove(self, informer: LoopedInformer) -> None:
        """End an informer's watch."""
        with self._lock:
            self._wanted.discard(informer)
        self._wake()

    def start(self, stop: threading.Event) -> None:
        """Begin, in a thread of its own until ``stop``."""
        threading.Thread(target=self._run, args=(stop,), name=self._name, daemon=True).start()

    def _wake(self) -> None:
        os.eventfd_write(self._bell, 1)

    def _run(self, stop: threading.Event) -> None:
        call_on(stop, self._wake)
        running: set[LoopedInformer] = set()
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell, selectors.EVENT_READ)
            while not stop.is_set():
                with self._lock:
                    wanted = set(self._wanted)
                for informer in running - wanted:
                    _act(selector, informer, informer.close)
                running = wanted
                now = time.monotonic()
                pause = min((informer.due - now for informer in running), default=None)
                ready = {key.data for key, _ in selector.select(pause if pause is None else max(pause, 0))}
                if None in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._bell)
                now = time.monotonic()
                for informer in running:
                    if stop.is_set():
                        break
                    if informer in ready or informer.due <= now:
                        _act(selector, informer, partial(informer.act, stop))
            for informer in running:
                _act(selector, informer, informer.close)


def _act(selector: selectors.BaseSelector, informer: LoopedInformer, action: Callable[[], None]) -> None:
    """Run an informer's action, which may open or close its watch."""
    before = informer.watch
    descriptor = before.fileno() if before is not None else -1
    action()
    if informer.watch is not before:
        if before is not None:
            selector.unregister(descriptor)
        if informer.watch is not None:
            selector.register(informer.watch.fileno(), selectors.EVENT_READ, informer)
