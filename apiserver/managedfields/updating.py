"""Who owns what after an update or an apply (upstream: structured-merge-diff, merge/update.go, and the field manager).

Upstream converts an object to the version of each manager before it compares; here all versions of a kind have the
fields of the stored one. Fields that a request cannot change (``reset``: ``status`` for the main resource, everything
but ``status`` for the subresource) do not change their owners either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from apiserver.managedfields import fieldset, merging, walks
from apiserver.managedfields.entries import ManagerIdentifier, Managers, Owned
from apiserver.managedfields.fieldset import Fields
from apiserver.managedfields.walks import Comparison
from apiserver.schema.tree import SchemaNode
from machinery.objects import Object

# Fields that the server sets have no owner (upstream: stripmeta.go).
_UNOWNED = ("apiVersion", "kind", "metadata")
_UNOWNED_METADATA = (
    *("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation"),
    *("managedFields", "resourceVersion"),
)
_UNOWNED_FIELDS: Fields = {
    **{f"f:{key}": fieldset.LEAF for key in ("apiVersion", "kind")},
    "f:metadata": fieldset.member({f"f:{key}": fieldset.LEAF for key in _UNOWNED_METADATA}),
}


class VersionedSchema(NamedTuple):
    """What a request is compared by: the schema, the version that it writes in, and FieldsV1 that it cannot change."""

    node: SchemaNode
    api_version: str
    reset: Mapping[str, Any]


class ConflictsError(Exception):
    """An apply would change fields that other managers own. ``conflicts`` says which."""

    def __init__(self, conflicts: dict[ManagerIdentifier, Fields]) -> None:
        super().__init__(conflicts)
        self.conflicts = conflicts


def compare(schema: VersionedSchema, old: Object, new: Object) -> Comparison:
    """Return what a write changes of the fields that can have an owner."""
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


def update(
    schema: VersionedSchema, difference: Comparison, managers: Managers, who: ManagerIdentifier, now: str
) -> Managers:
    """Return the managers after an update: ``who`` owns what it added or modified, and nobody else does any longer."""
    after = _disown(managers, difference)
    if difference.taken:
        mine = after[who].fields if who in after else {}
        after[who] = Owned(fieldset.union(mine, difference.taken), schema.api_version, now)
    return after


def _disown(managers: Managers, difference: Comparison, but: ManagerIdentifier | None = None) -> Managers:
    """Take the changed fields from all managers ``but`` one; managers that own nothing are dropped."""
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
    """The object and its managers after an apply."""

    object: Object
    managers: Managers


def apply(
    schema: VersionedSchema,
    live: Object,
    config: Object,
    managers: Managers,
    who: ManagerIdentifier,
    now: str,
    *,
    force: bool,
) -> Applied:
    """Merge a configuration into the live object, and remove what ``who`` applied before and left out now.

    ``live`` is {} if there is no object. With ``force``, the manager takes over fields that others own. Raises
    ConflictsError otherwise.
    """
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
    return Applied(merged, managers)


def _prune(node: SchemaNode, merged: Object, managers: Managers, last: Fields) -> Object:
    """Remove from the merged object what is in ``last`` and no manager owns now.

    ``managers`` already have the new set of the applier. Removing a field takes along everything below it, so two steps
    find out what to remove: ``kept`` is what remains after a removal of ``last``, together with what is owned;
    ``pruned`` is the object with everything else removed, and what is missing there is removed if it is in ``last``.
    Upstream: merge/update.go, prune.
    """
    last = walks.with_fields(node, last)
    everything = walks.present(node, merged)
    kept = walks.present(node, merging.remove(node, merged, last))
    for owned in managers.values():
        kept = fieldset.union(kept, walks.with_fields(node, owned.fields))
    pruned = merging.remove(node, merged, fieldset.difference(everything, kept))
    gone = fieldset.difference(everything, walks.present(node, pruned))
    result: Object = merging.remove(node, merged, fieldset.intersection(gone, last))
    # The metadata that the server sets stays, though nobody owns it.
    before, after = merged.get("metadata") or {}, result.get("metadata") or {}
    own = {key: before[key] for key in _UNOWNED_METADATA if key in before and key not in after}
    return {**result, "metadata": {**after, **own}} if own else result
