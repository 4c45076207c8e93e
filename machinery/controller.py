"""The loop of every reconciler: events enqueue keys, workers reconcile them, one retry policy for all.

    controller = Controller("replicationcontroller", reconcile, workers=2)
    controller.watch(informers.of(REPLICATION_CONTROLLERS))
    controller.start(stop)

``reconcile(key)`` compares what is wanted with what is seen. It returns None when done, or the seconds
after which it wants to look again; it raises to be retried with the key's own backoff.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from machinery import errors
from machinery.informer import Informer
from machinery.objects import Object, key
from machinery.stopping import call_on
from machinery.workqueue import WorkQueue

log = logging.getLogger(__name__)

# Seconds between tries while the API server cannot be reached, at most.
UNREACHABLE_RETRY = 2.0

Reconcile = Callable[[str], float | None]
KeyFunction = Callable[[Object], str | Iterable[str] | None]


class Syncing(Protocol):
    """A cache that is of use only once it is filled."""

    def wait_synced(self, timeout: float | None = None) -> bool: ...


class Controller:
    """Workers around one queue; see the module's docstring."""

    def __init__(self, name: str, reconcile: Reconcile, *, workers: int = 1, queue: WorkQueue | None = None) -> None:
        self.name = name
        self.queue = WorkQueue(name) if queue is None else queue
        self._reconcile = reconcile
        self._workers = workers
        self._informers: list[Syncing] = []
        self._threads: list[threading.Thread] = []

    def enqueue(self, key: str) -> None:
        self.queue.add(key)

    def enqueue_after(self, key: str, seconds: float) -> None:
        self.queue.add_after(key, seconds)

    def watch(self, informer: Informer, key_fn: KeyFunction = key) -> None:
        """Enqueues what ``key_fn`` makes of each changed object, old and new: a key, several or none."""
        self.requires(informer)

        def handle(old: Object | None, new: Object | None) -> None:
            for obj in (old, new):
                if obj is not None:
                    for object_key in _keys(key_fn(obj)):
                        self.queue.add(object_key)

        informer.add_handler(handle)

    def requires(self, *informers: Syncing) -> None:
        """Lets no worker start before these caches are filled."""
        self._informers.extend(informers)

    def start(self, stop: threading.Event) -> None:
        """Runs the workers, each in a thread of its own, until ``stop``. The informers are started by their owner."""
        call_on(stop, self.queue.shut_down)
        for number in range(self._workers):
            thread = threading.Thread(target=self._work, args=(stop,), name=f"{self.name}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Waits until the workers have finished what they hold, after ``stop``."""
        for thread in self._threads:
            thread.join(timeout)

    def process(self, key: str) -> None:
        """Reconciles one key now and queues what follows from it: a later look, a retry, nothing."""
        try:
            again = self._reconcile(key)
        except errors.Conflict as error:
            # Somebody was faster; the change is on its way through the watch.
            log.debug("%s %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except (errors.ServiceUnavailable, errors.Timeout) as error:
            # Nothing is wrong with the key, and no event will tell that the API server is back.
            log.warning("%s %s: %s (try %d)", self.name, key, error, self.queue.failures(key) + 1)
            self.queue.add_rate_limited(key, most=UNREACHABLE_RETRY)
        except errors.ApiError as error:
            log.warning("%s %s: %s (try %d)", self.name, key, error, self.queue.failures(key) + 1)
            self.queue.add_rate_limited(key)
        except Exception:
            log.exception("%s %s failed (try %d)", self.name, key, self.queue.failures(key) + 1)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)

    def _work(self, stop: threading.Event) -> None:
        for informer in self._informers:
            while not informer.wait_synced(1.0):
                if stop.is_set():
                    return
        while (key := self.queue.get()) is not None:
            try:
                self.process(key)
            finally:
                self.queue.done(key)


def _keys(made: str | Iterable[str] | None) -> Iterable[str]:
    if made is None:
        return ()
    return (made,) if isinstance(made, str) else made
