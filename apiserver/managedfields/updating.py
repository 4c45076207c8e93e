"""Who owns what after a write (upstream: structured-merge-diff, merge/update.go, and the field manager around it).

All versions of a kind are taken for the stored one. Fields that a request cannot change (``reset``: ``status`` by the
main resource, all but ``status`` by ``status``) are neither taken nor lost by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from apiserver.managedfields import fieldset, merging, walks
from apiserver.managedfields.entries import Manager, Managers, Owned
from apiserver.managedfields.fieldset import Fields
from apiserver.managedfields.walks import Comparison
from apiserver.schema.nodes import Node
from machinery.objects import Object

# What the server itself says about an object has no owner (upstream: stripmeta.go).
_UNOWNED = ("apiVersion", "kind", "metadata")
_UNOWNED_METADATA = (
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
    "resourceVersion",
)  # fmt: skip
_UNOWNED_FIELDS: Fields = {
    **{f"f:{key}": fieldset.LEAF for key in ("apiVersion", "kind")},
    "f:metadata": fieldset.member({f"f:{key}": fieldset.LEAF for key in _UNOWNED_METADATA}),
}


class Schema(NamedTuple):
    """What is written: its node, its version, and what a request of this sort cannot change."""

    node: Node
    api_version: str
    reset: Mapping[str, Any]


class ConflictsError(Exception):
    """Others own fields that would be changed; not raised when the change is forced."""

    def __init__(self, conflicts: dict[Manager, Fields]) -> None:
        super().__init__(conflicts)
        self.conflicts = conflicts


def compare(schema: Schema, old: Object, new: Object) -> Comparison:
    """What a write changes of what can have an owner."""
    skipped = [*_UNOWNED, *(key[2:] for key, below in schema.reset.items() if fieldset.is_member(below))]
    taken, removed = walks.compare(schema.node, old, new, skipped)
    metadata = walks.below(schema.node, "metadata")
    inside = walks.compare(metadata, old.get("metadata") or {}, new.get("metadata") or {}, _UNOWNED_METADATA)
    if any(inside):
        taken, removed = (_with_metadata(*pair) for pair in zip((taken, removed), inside, strict=True))
        if "f:metadata" in schema.reset:
            taken, removed = fieldset.without(taken, schema.reset), fieldset.without(removed, schema.reset)
    return Comparison(taken, removed)


def _with_metadata(fields: Fields, metadata: Fields) -> Fields:
    return fieldset.union(fields, {"f:metadata": metadata}) if metadata else fields


def update(schema: Schema, difference: Comparison, managers: Managers, who: Manager, now: str) -> Managers:
    """After an ordinary write: what it adds or modifies is its writer's, and nobody else's any longer."""
    after = _disown(managers, difference)
    if difference.taken:
        mine = after[who].fields if who in after else {}
        after[who] = Owned(fieldset.union(mine, difference.taken), schema.api_version, now)
    return after


def _disown(managers: Managers, difference: Comparison, but: Manager | None = None) -> Managers:
    """Takes away what has changed, from all but one; who owns nothing is nobody."""
    after: Managers = {}
    for who, owned in managers.items():
        fields = owned.fields
        if who != but:
            fields = fieldset.difference(fieldset.difference(fields, difference.taken), difference.removed)
        if fields is owned.fields:
            after[who] = owned
        elif fields:
            after[who] = owned._replace(fields=fields)
    return after


class Applied(NamedTuple):
    """What an apply makes of an object and its managers."""

    object: Object
    managers: Managers
    changed: bool


def apply(
    schema: Schema, live: Object, config: Object, managers: Managers, who: Manager, now: str, *, force: bool
) -> Applied:
    """The object with the configuration in it and without what is no longer in it; raises ConflictsError."""
    before = managers.get(who)
    mine = fieldset.without(walks.owned(schema.node, config), schema.reset)
    managers = {**managers, who: Owned(mine, schema.api_version, before.time if before else "")}
    merged: Object = merging.merge(schema.node, live, config)
    if before is not None and before.fields:
        merged = _prune(schema.node, merged, managers, before.fields)
    difference = compare(schema, live, merged)
    conflicts = {
        other: common
        for other, owned in managers.items()
        if other != who and (common := fieldset.intersection(owned.fields, difference.taken))
    }
    if conflicts and not force:
        raise ConflictsError(conflicts)
    managers = _disown(managers, difference, but=who)
    changed = merged != live
    mine = fieldset.difference(mine, _UNOWNED_FIELDS)
    if not mine:
        managers.pop(who, None)
    else:
        same = before is not None and before.fields == mine and not changed
        managers[who] = Owned(mine, schema.api_version, managers[who].time if same else now)
    return Applied(merged, managers, changed)


def _prune(node: Node, merged: Object, managers: Managers, last: Fields) -> Object:
    """Removes what was applied last time and is not now, unless somebody else owns it, or what is below it."""
    last = walks.with_fields(node, last)
    everything = walks.present(node, merged)
    kept = walks.present(node, merging.remove(node, merged, last))
    for owned in managers.values():
        kept = fieldset.union(kept, walks.with_fields(node, owned.fields))
    pruned = merging.remove(node, merged, fieldset.difference(everything, kept))
    gone = fieldset.difference(everything, walks.present(node, pruned))
    result: Object = merging.remove(node, merged, fieldset.intersection(gone, last))
    # The server's own part of the metadata stays, though nobody owns it.
    before, after = merged.get("metadata") or {}, result.get("metadata") or {}
    own = {key: before[key] for key in _UNOWNED_METADATA if key in before and key not in after}
    return {**result, "metadata": {**after, **own}} if own else result
