"""Keeps the CustomResourceDefinitions' status: names, conditions, and the end of those that are deleted.

As upstream, this runs inside the API server, and as ``Bootstrap`` in all workers at once: what is decided is decided
again on the newest object, and accepted names are claimed in the transaction that writes them. It is woken by changes
of definitions, and of objects whose definition waits for their removal.
"""

from __future__ import annotations

import logging
import threading

from apiserver.customresources import conditions
from apiserver.customresources.definition import is_true
from apiserver.customresources.rows import storage_row
from apiserver.customresources.served import Served
from apiserver.deletion import DeleteOptions
from apiserver.kind import Kind
from apiserver.kinds.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS as DEFINITIONS
from apiserver.kinds.customresourcedefinitions import FINALIZER
from apiserver.request import LOOPBACK
from apiserver.rest import Change, Rest
from apiserver.store.protocol import StoreError
from machinery.errors import ApiError, Conflict, NotFound
from machinery.objects import Object, set_condition

log = logging.getLogger(__name__)

RESYNC = 300.0
# Between two attempts while the store is away, or another worker is at it.
RETRY = 0.25


class Definitions:
    """A thread, until ``stop``."""

    def __init__(self, rest: Rest, served: Served) -> None:
        self._rest = rest
        self._served = served
        self._emptying: frozenset[str] = frozenset()  # the prefixes whose objects are on their way out
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="customresourcedefinitions", daemon=True)

    def start(self) -> None:
        self._rest.cache.listen(self._noticed)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._changed.set()

    def _noticed(self, key: str) -> None:
        if key.startswith((DEFINITIONS.prefix, *self._emptying)):
            self._changed.set()

    def _run(self) -> None:
        failed = ""
        while not self._stop.is_set():
            self._changed.clear()
            try:
                self._rest.cache.wait_for(1)
                self._sync()
            except (Conflict, NotFound) as error:
                log.debug("another worker was faster: %s", error)
                self._changed.wait(RETRY)
            except (ApiError, StoreError) as error:
                if str(error) != failed:
                    failed = str(error)
                    log.warning("custom resource definitions: %s; trying again until it works", error)
                self._changed.wait(RETRY)
            else:
                failed = ""
                self._changed.wait(RESYNC)

    def _sync(self) -> None:
        """One look at all definitions, of which there are few."""
        self._served.registry()
        crds = self._rest.reader.list(DEFINITIONS, fresh=True)
        deleted = [crd for crd in crds if crd["metadata"].get("deletionTimestamp")]
        self._emptying = frozenset(_prefix(crd) for crd in deleted)
        for crd in crds:
            if conditions.decide(crd, self._others(crd)) != crd:
                self._write(crd, lambda old: conditions.decide(old, self._others(old)))
        for crd in deleted:
            if FINALIZER in (crd["metadata"].get("finalizers") or ()):
                self._finalize(crd)

    def _others(self, crd: Object) -> list[Object]:
        name = crd["metadata"]["name"]
        return [each for each in self._rest.reader.list(DEFINITIONS) if each["metadata"]["name"] != name]

    def _write(self, crd: Object, change: Change) -> Object:
        name = crd["metadata"]["name"]
        return self._rest.modify(DEFINITIONS, "", name, change, LOOPBACK, subresource="status", hooks=False).object

    def _finalize(self, crd: Object) -> None:
        """Removes what objects there are, and lets the definition go with the last of them."""
        if not is_true(crd, "Established"):
            self._end(crd, "NeverEstablished", "resource was never established")
            return
        kind = storage_row(crd)
        self._write(crd, _in_progress)
        self._served.registry()
        for obj in self._rest.reader.list(kind, fresh=True):
            self._delete(kind, obj["metadata"])
        if not self._rest.store.list(kind.prefix, limit=1).total:
            self._end(crd, "InstanceDeletionCompleted", "removed all instances")

    def _delete(self, kind: Kind, meta: Object) -> None:
        if meta.get("deletionTimestamp"):
            return
        try:
            self._rest.delete(kind, meta.get("namespace", ""), meta["name"], DeleteOptions(), LOOPBACK)
        except NotFound:
            return

    def _end(self, crd: Object, reason: str, message: str) -> None:
        def change(old: Object) -> Object:
            set_condition(old, "Terminating", "False", reason, message)
            names = old["metadata"].get("finalizers") or ()
            old["metadata"]["finalizers"] = [name for name in names if name != FINALIZER]
            return old

        self._write(crd, change)
        log.info("%s is gone: %s", crd["metadata"]["name"], message)


def _in_progress(crd: Object) -> Object:
    set_condition(
        crd, "Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"
    )  # fmt: skip
    return crd


def _prefix(crd: Object) -> str:
    return f"/registry/{crd['spec']['group']}/{crd['spec']['names']['plural']}/"
