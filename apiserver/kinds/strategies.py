"""The strategy of kinds with a spec, which users write, and a status, which a controller writes."""

from __future__ import annotations

from apiserver.model.kind import Strategy
from machinery.objects import Object


def restore(obj: Object, field: str, source: Object) -> None:
    """Set one top-level field to what it is in ``source``; remove it if it is absent there."""
    if field in source:
        obj[field] = source[field]
    else:
        obj.pop(field, None)


class StatusStrategy(Strategy):
    """Keep writers of the object from changing its status, and writers of its status from changing anything else."""

    # The status of a new object, whatever the client has sent.
    initial_status: Object = {}
    # metadata.generation counts the changes of the spec.
    counts_generation = False

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = dict(self.initial_status)
        if self.counts_generation:
            obj["metadata"]["generation"] = 1

    def prepare_update(self, new: Object, old: Object) -> None:
        restore(new, "status", old)
        if self.counts_generation:
            generation = old["metadata"].get("generation", 0)
            changed = new.get("spec") != old.get("spec")
            new["metadata"]["generation"] = generation + 1 if changed else generation

    def prepare_status_update(self, new: Object, old: Object) -> None:
        restore(new, "spec", old)
        if "generation" in old["metadata"]:
            new["metadata"]["generation"] = old["metadata"]["generation"]
