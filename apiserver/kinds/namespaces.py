"""Namespaces: deleted in two steps, so that their contents can go first (upstream: pkg/registry/core/namespace).

A deletion marks the namespace Terminating and keeps it while ``spec.finalizers`` names anyone. The namespace
controller empties it and takes itself off that list through the ``finalize`` subresource; with the last name the
object goes.
"""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.kinds.cells import AGE, NAME
from apiserver.kinds.strategies import StatusStrategy, restore
from apiserver.kinds.subresources import STATUS
from apiserver.kinds.subresources.finalize import FINALIZE, validate_finalizers
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import upstream
from machinery import validation
from machinery.errors import FieldError
from machinery.objects import Object

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"
ACTIVE, TERMINATING = "Active", "Terminating"


class NamespaceStrategy(StatusStrategy):
    initial_status = {"phase": ACTIVE}
    max_name_length = 63

    def default(self, obj: Object) -> None:
        """Set the label by which every namespace can be selected by its name."""
        metadata = obj.get("metadata", {})
        if metadata.get("name"):
            metadata["labels"] = {**(metadata.get("labels", {})), NAME_LABEL: metadata["name"]}

    def validate_name(self, name: str) -> list[str]:
        return validation.is_dns1123_label(name)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        self.default(obj)  # the name may have been generated after the first call
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)

    def validate(self, obj: Object) -> checks.Errors:
        return validate_finalizers("spec.finalizers", obj)

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        restore(new, "spec", old)

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        phase = new.get("status", {}).get("phase", "")
        deleted = old["metadata"].get("deletionTimestamp")
        if not deleted and phase != ACTIVE:
            why = "may only be 'Active' if `deletionTimestamp` is empty"
            return [FieldError.invalid("status.Phase", phase, why)]
        if deleted and phase != TERMINATING:
            why = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            return [FieldError.invalid("status.Phase", phase, why)]
        return []

    def prepare_delete(self, obj: Object) -> None:
        obj["status"] = {**(obj.get("status", {})), "phase": TERMINATING}

    def may_remove(self, obj: Object) -> bool:
        return not obj.get("spec", {}).get("finalizers")

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.phase": obj.get("status", {}).get("phase", "")}


NAMESPACES = Kind(
    *upstream("", "Namespace"),
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(FINALIZE, STATUS),
    strategy=NamespaceStrategy(),
    columns=(NAME, Column("Status", lambda obj: obj.get("status", {}).get("phase", "")), AGE),
)
