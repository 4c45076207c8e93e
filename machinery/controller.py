"""The loop of every reconciler: events add keys to a queue, workers reconcile them, one retry policy for all.

    controller = Controller("replicationcontroller", reconcile, workers=2)
    controller.watch(informers.of(REPLICATION_CONTROLLERS))
    controller.start(stop)

``reconcile(key)`` compares what is wanted with what is there, and acts. It handles no errors of the API itself:

- It returns None when the key is done; its backoff is reset.
- It returns seconds when it wants to look again after them, for example when a deadline passes.
- It raises Conflict: somebody changed the object since the informer saw it. The key is retried with backoff, by which
  time the change has come through the watch. This is normal and not worth a line in the log.
- It raises ServiceUnavailable or Timeout: the API server cannot be reached. The key is retried with backoff, but after
  UNREACHABLE_RETRY seconds at the latest, since no event tells that the server is back.
- It raises any other error: that is logged, and the key is retried with backoff, from 5 ms up to 1000 s.
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

UNREACHABLE_RETRY = 2.0  # seconds

Reconcile = Callable[[str], float | None]
KeyFunction = Callable[[Object], str | Iterable[str] | None]


class InformerSynced(Protocol):
    """A cache, of which a reconciler must not see a part: an informer, or several."""

    def wait_synced(self, timeout: float | None = None) -> bool: ...


class Controller:
    """One work queue and the workers that take keys from it; see the file's docstring."""

    def __init__(self, name: str, reconcile: Reconcile, *, workers: int = 1, queue: WorkQueue | None = None) -> None:
        self.name = name
        self.queue = WorkQueue(name) if queue is None else queue
        self._reconcile = reconcile
        self._workers = workers
        self._informers: list[InformerSynced] = []
        self._threads: list[threading.Thread] = []

    def enqueue(self, key: str) -> None:
        self.queue.add(key)

    def enqueue_after(self, key: str, seconds: float) -> None:
        self.queue.add_after(key, seconds)

    def watch(self, informer: Informer, key_fn: KeyFunction = key) -> None:
        """Enqueue for each change what ``key_fn`` returns for the old and for the new object: a key, several or None.

        The old object counts because a change may move an object from one key to another, e.g. a pod whose labels a
        selector no longer matches.
        """
        self.requires(informer)

        def handle(old: Object | None, new: Object | None) -> None:
            for obj in (old, new):
                if obj is not None:
                    for object_key in _keys(key_fn(obj)):
                        self.queue.add(object_key)

        informer.add_handler(handle)

    def requires(self, *informers: InformerSynced) -> None:
        """Let no worker begin before these informers have synced."""
        self._informers.extend(informers)

    def start(self, stop: threading.Event) -> None:
        """Run the workers in threads of their own until ``stop``. Starting the informers is the caller's business."""
        call_on(stop, self.queue.shut_down)
        for number in range(self._workers):
            thread = threading.Thread(target=self._work, args=(stop,), name=f"{self.name}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait after ``stop`` until the workers have ended, for ``timeout`` seconds each."""
        for thread in self._threads:
            thread.join(timeout)

    def process(self, key: str) -> None:
        """Reconcile one key now, and add it to the queue again if its result asks for that."""
        try:
            again = self._reconcile(key)
        except errors.Conflict as error:
            log.debug("%s %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except (errors.ServiceUnavailable, errors.Timeout) as error:
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


def _keys(result: str | Iterable[str] | None) -> Iterable[str]:
    if result is None:
        return ()
    return (result,) if isinstance(result, str) else result
