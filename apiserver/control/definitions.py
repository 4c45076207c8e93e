"""The controller of CustomResourceDefinitions: accepted names, conditions, and deletion with all custom objects.

As upstream, it runs inside the API server, here in all workers at once: accepted names are claimed in the transaction
that writes them, so no two definitions can get the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from apiserver.crdschema.definition import is_true
from apiserver.customresources import conditions
from apiserver.customresources.rows import storage_row
from apiserver.kinds.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS as DEFINITIONS
from apiserver.kinds.customresourcedefinitions import FINALIZER
from apiserver.model.kind import Kind
from apiserver.registry.customkinds import CustomKinds, ServedDefinition
from apiserver.registry.deletion import DeleteOptions
from apiserver.registry.rest import Rest
from apiserver.registry.update import Change
from apiserver.registry.writerequest import own_write
from machinery.errors import NotFound
from machinery.objects import Object, set_condition

log = logging.getLogger(__name__)

RESYNC = 300.0


class Definitions:
    """Reconciles the definitions that have changed since the last ``sync``, and those of the same groups."""

    def __init__(self, rest: Rest, served: CustomKinds) -> None:
        self._rest = rest
        self._served = served
        self._seen: Mapping[str, ServedDefinition] = {}  # by the last sync
        self._emptying: frozenset[str] = frozenset()  # prefixes of kinds whose objects are being deleted

    def concerns(self, key: str) -> bool:
        """Return whether the key is a definition's, or that of an object whose definition waits for its removal."""
        return key.startswith((DEFINITIONS.prefix, *self._emptying))

    def sync(self) -> None:
        """Write conditions and finish deletions. Raises StoreError or ApiError (Conflict: another was faster)."""
        found, before = self._served.definitions(), self._seen
        deleted = [each for each in found.values() if each.outline["metadata"].get("deletionTimestamp")]
        self._emptying = frozenset(_prefix(each.outline) for each in deleted)
        changed = [name for name in found.keys() | before.keys() if found.get(name) is not before.get(name)]
        groups = {_group(known[name].outline) for name in changed for known in (found, before) if name in known}
        for each in found.values():
            crd = each.outline
            if _group(crd) in groups and conditions.decide(crd, self._others(crd)) != crd:
                self._write(crd, lambda old: conditions.decide(old, self._others(old)))
        for each in deleted:
            if FINALIZER in (each.outline["metadata"].get("finalizers") or ()):
                self._finalize(each.source.load())
        self._seen = found

    def _others(self, crd: Object) -> list[Object]:
        name, group = crd["metadata"]["name"], _group(crd)
        outlines = (each.outline for each in self._served.definitions().values())
        return [other for other in outlines if _group(other) == group and other["metadata"]["name"] != name]

    def _write(self, crd: Object, change: Change) -> Object:
        write = own_write(DEFINITIONS, "", crd["metadata"]["name"], owns_fields=False)
        return self._rest.modify(replace(write, subresource="status", hooks=False), change).object

    def _finalize(self, crd: Object) -> None:
        """Delete the custom objects, and take the finalizer off the definition when none is left."""
        if not is_true(crd, "Established"):
            self._end(crd, "NeverEstablished", "resource was never established")
            return
        kind = storage_row(crd)
        self._write(crd, _in_progress)
        self._served.registry()
        for obj in self._rest.reader.list(kind, consistent=True):
            self._delete(kind, obj["metadata"])
        if not self._rest.store.list(kind.prefix, limit=1).total:
            self._end(crd, "InstanceDeletionCompleted", "removed all instances")

    def _delete(self, kind: Kind, meta: Object) -> None:
        if meta.get("deletionTimestamp"):
            return
        try:
            self._rest.delete(own_write(kind, meta.get("namespace", ""), meta["name"]), DeleteOptions())
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
    message = "CustomResource deletion is in progress"
    set_condition(crd, "Terminating", "True", "InstanceDeletionInProgress", message)
    return crd


def _group(crd: Object) -> str:
    return str(crd["spec"]["group"])


def _prefix(crd: Object) -> str:
    return f"/registry/{crd['spec']['group']}/{crd['spec']['names']['plural']}/"
