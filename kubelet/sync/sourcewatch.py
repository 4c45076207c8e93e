"""Watch the config maps and secrets that this node's pods refer to, each by itself, for as long as a pod does.

The API server's node authorizer lets a kubelet see no others, so there is one watch for each object, as in upstream's
watch-based manager. The root CA's config map is not watched, because every pod has it and it never changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from kubelet.container.env import Kind
from kubelet.sync.sources import RESOURCES, ROOT_CA, references
from machinery.informer import Informer, ListerWatcher
from machinery.objects import Object, is_pod_terminal

Wanted = tuple[Kind, str, str]  # kind, namespace, name
Changed = Callable[[Kind, str, str], None]


class _Watched(NamedTuple):
    informer: Informer
    stop: threading.Event
    pods: set[str]


class SourceWatch:
    """Starts a watch with the first pod that refers to an object and ends it with the last."""

    def __init__(self, client: ListerWatcher, changed: Changed) -> None:
        self._client = client
        self._changed = changed
        self._lock = threading.Lock()
        self._watched: dict[Wanted, _Watched] = {}
        self._closed = False

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return the object as the watch has seen it, None if it does not exist or has not been seen yet."""
        with self._lock:
            watched = self._watched.get((kind, namespace, name))
        return watched.informer.get(f"{namespace}/{name}") if watched else None

    def pod_changed(self, pod: Object) -> None:
        """Watch what the pod refers to. A pod that has ended needs nothing any more."""
        meta = pod["metadata"]
        wanted = {(kind, str(meta["namespace"]), name) for kind, name in references(pod) if name and name != ROOT_CA}
        self._want(meta["uid"], set() if is_pod_terminal(pod) else wanted)

    def pod_gone(self, pod: Object) -> None:
        self._want(pod["metadata"]["uid"], set())

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for watched in self._watched.values():
                watched.stop.set()

    def _want(self, uid: str, wanted: set[Wanted]) -> None:
        with self._lock:
            for what in wanted - self._watched.keys():
                self._watched[what] = self._start(what)
            for what, watched in list(self._watched.items()):
                if what in wanted:
                    watched.pods.add(uid)
                elif uid in watched.pods:
                    watched.pods.discard(uid)
                    if not watched.pods:
                        watched.stop.set()
                        del self._watched[what]

    def _start(self, what: Wanted) -> _Watched:
        kind, namespace, name = what
        stop = threading.Event()
        if self._closed:
            stop.set()
        selector = f"metadata.name={name}"
        informer = Informer(self._client, RESOURCES[kind], namespace=namespace, field_selector=selector)
        informer.add_handler(lambda old, new: self._changed(kind, namespace, name))
        informer.start(stop)
        return _Watched(informer, stop, set())
