"""What the verbs call to track managed fields on every write, and to apply.

- ``created`` and ``updated`` set ``metadata.managedFields`` of an object that is about to be stored. A client may also
  send the field itself: an empty list forgets all managers, other entries replace those that are stored.
- ``apply`` makes a new object of the live one and a configuration, its managed fields included.
- ``settle`` takes back a new timestamp if nothing else is new, so that a write that changes nothing stores nothing.

A write without a writer, such as a binding or a deletion, leaves managed fields as they are. Upstream:
apimachinery/pkg/util/managedfields, and apiserver endpoints/handlers/fieldmanager.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from apiserver.managedfields import entries, fieldset, lastapplied, typecheck, updating, walks
from apiserver.managedfields.configuration import describe
from apiserver.managedfields.entries import APPLY, UPDATE, ManagerIdentifier, Managers, Owned
from apiserver.managedfields.fieldset import Fields
from apiserver.managedfields.updating import ConflictsError, VersionedSchema
from apiserver.model.fieldmanager import Writer
from apiserver.model.kind import Kind
from machinery.errors import BadRequest, Conflict
from machinery.objects import Object, now

# The manager that is given all fields of an object without managed fields, before something is applied to it.
BEFORE_FIRST_APPLY = "before-first-apply"


def created(kind: Kind, obj: Object, writer: Writer) -> None:
    """Set the managed fields of a new object, in place."""
    metadata = obj["metadata"]
    if metadata.get("managedFields") is not None:
        _written(kind, obj, {"metadata": {}}, writer)
        return
    # Most new objects come so: then the writer is the only manager, and owns all there is.
    metadata.pop("managedFields", None)
    schema = schema_of(kind, writer)
    taken = updating.compare(schema, {"metadata": {}}, obj).taken
    if taken:
        who = entries.manager(writer.name, UPDATE, schema.api_version, writer.subresource)
        metadata["managedFields"] = entries.write({who: Owned(taken, schema.api_version, now())})


def updated(kind: Kind, new: Object, old: Object, writer: Writer) -> None:
    """Set the managed fields of a changed object, in place."""
    _written(kind, new, old, writer)


def _written(kind: Kind, new: Object, old: Object, writer: Writer) -> None:
    metadata = new["metadata"]
    sent, stored = metadata.pop("managedFields", None), old["metadata"].get("managedFields")
    schema = schema_of(kind, writer)
    difference = updating.compare(schema, old, new)
    if sent is None or sent == stored or writer.subresource:
        if stored and not any(difference):
            metadata["managedFields"] = stored
            return
        managers = entries.read(stored or ())
    else:
        managers = _sent_or_stored(sent, stored)
    if not managers and old["metadata"].get("uid"):
        return  # managed fields have been reset, or this object never had any
    who = entries.manager(writer.name, UPDATE, schema.api_version, writer.subresource)
    if any(difference):
        managers = _reconciled(kind, schema, managers)
        managers = entries.capped(updating.update(schema, difference, managers, who, now()))
    if managers:
        metadata["managedFields"] = entries.write(managers)


def _sent_or_stored(sent: Any, stored: Any) -> Managers:
    """Return the managers in the entries that a client sent; the stored ones if those are malformed."""
    if entries.is_reset(sent):
        return {}
    try:
        managers = entries.parse(sent)
    except (ValueError, AttributeError):
        managers = {}
    return managers or entries.read(stored or ())


def _reconciled(kind: Kind, schema: VersionedSchema, managers: Managers) -> Managers:
    """Return the managers with their sets in terms of the schema as it is now, if it may have changed."""
    if not kind.codec.dynamic:
        return managers
    return {who: owned._replace(fields=walks.reconciled(schema.node, owned.fields)) for who, owned in managers.items()}


def settle(new: Object, old: Object) -> None:
    """Give the old managed fields to the new object, in place, if only timestamps and nothing else in it has changed.

    Upstream: fieldmanager.IgnoreManagedFieldsTimestampsTransformer.
    """
    after, before = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if not after or not before or after == before or len(after) != len(before):
        return
    if entries.same_but_time(after, before):
        new["metadata"]["managedFields"] = before
        if new != old:
            new["metadata"]["managedFields"] = after


def apply(kind: Kind, live: Object | None, config: Object, writer: Writer, *, force: bool) -> Object:
    """Return a new object: the configuration merged into the live one, which is None when there is none.

    ``config`` must fit the schema, else BadRequest is raised. Conflict is raised if it would change fields that other
    managers own, unless ``force`` is set.
    """
    schema = schema_of(kind, writer)
    _check(schema, config)
    metadata = live["metadata"] if live else {}
    managers = _reconciled(kind, schema, entries.read(metadata.get("managedFields") or ()))
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    bare = {**live, "metadata": kept} if live else {}
    time = now()
    if live and not managers:
        before = entries.manager(BEFORE_FIRST_APPLY, UPDATE, schema.api_version, writer.subresource)
        managers = updating.update(schema, updating.compare(schema, {}, bare), {}, before, time)
    who = entries.manager(writer.name, APPLY, schema.api_version, writer.subresource)
    try:
        applied = updating.apply(schema, bare, config, managers, who, time, force=force)
    except ConflictsError as error:
        conflicts = error.conflicts
        if writer.name == lastapplied.MANAGER:
            conflicts = lastapplied.remaining(schema, bare, conflicts)
        if conflicts:
            raise conflict(conflicts) from None
        applied = updating.apply(schema, bare, config, managers, who, time, force=True)
    # This copies, because the caller changes the result in place, and needs the configuration again when another writer
    # was faster.
    result: Object = orjson.loads(orjson.dumps(applied.object))
    result["metadata"] = result.get("metadata") or {}
    if applied.managers:
        result["metadata"]["managedFields"] = entries.write(applied.managers)
    if writer.name == lastapplied.MANAGER:
        lastapplied.update(result, config)
    return result


def _check(schema: VersionedSchema, config: Object) -> None:
    metadata = config.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    problems = typecheck.problems(schema.node, config)
    if problems:
        name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
        raise BadRequest(f"failed to create typed patch object ({name}; {describe(config)}): {problems}")


def schema_of(kind: Kind, writer: Writer) -> VersionedSchema:
    """Return what the requests of a writer are compared by."""
    version = writer.version or kind.version
    api_version = f"{kind.group}/{version}" if kind.group else version
    return VersionedSchema(
        (kind.stored_as or kind).codec.node, api_version, kind.strategy.reset_fields(writer.subresource)
    )


def conflict(conflicts: dict[ManagerIdentifier, Fields]) -> Conflict:
    """Return upstream's 409, which names each field and its owner."""
    found = [(str(who), path) for who in sorted(conflicts) for path in fieldset.paths(conflicts[who])]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path} for who, path in found
    ]
    if len(found) == 1:
        message = f"1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        message = f"{len(found)} conflicts: {_by_manager(found)}"
    return Conflict(f"Apply failed with {message}", details={"causes": causes})


def _by_manager(found: Iterable[tuple[str, str]]) -> str:
    lines: list[str] = []
    last = ""
    for who, path in found:
        if who != last:
            lines.append(f"conflicts with {who}:")
            last = who
        lines.append(f"- {path}")
    return "\n".join(lines)
