"""The entries of ``metadata.managedFields`` ↔ managers and what they own.

Upstream: apimachinery util/managedfields/internal, managedfields.go and capmanagers.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from apiserver.managedfields import fieldset
from apiserver.managedfields.fieldset import Fields
from machinery.errors import quote
from machinery.objects import Object

APPLY, UPDATE = "Apply", "Update"
FIELDS_TYPE = "FieldsV1"
# An object keeps at most this many managers by update; the oldest of more are merged into one named ANCIENT.
MOST_UPDATERS = 10
ANCIENT = "ancient-changes"


class ManagerIdentifier(NamedTuple):
    """The identity of an entry: entries with equal identities are one (upstream: BuildManagerIdentifier).

    A manager has one set of fields by Apply, whatever version it applies in, but one by Update for each version.
    """

    name: str
    operation: str
    api_version: str  # empty for APPLY
    subresource: str = ""

    def __str__(self) -> str:
        text = quote(self.name)
        if self.subresource:
            text += f" with subresource {quote(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


class Owned(NamedTuple):
    """What a manager owns. ``fields`` is in terms of ``api_version``; ``time`` is that of its last change."""

    fields: Fields
    api_version: str
    time: str = ""


Managers = dict[ManagerIdentifier, Owned]


def manager(name: str, operation: str, api_version: str, subresource: str = "") -> ManagerIdentifier:
    """Return the manager in whose name a request writes."""
    return ManagerIdentifier(name or "unknown", operation, api_version if operation == UPDATE else "", subresource)


def read(entries: Iterable[Any]) -> Managers:
    """Return the managers in stored entries, which are trusted to be valid."""
    return {
        manager(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", "")): Owned(
            entry["fieldsV1"], entry["apiVersion"], entry.get("time", "")
        )
        for entry in entries
    }


def parse(entries: Iterable[Object]) -> Managers:
    """Return the managers in entries that a client sent; raises ValueError if one is malformed."""
    managers: Managers = {}
    for index, entry in enumerate(entries):
        if entry.get("operation") not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        if not entry.get("apiVersion"):
            raise ValueError("apiVersion must not be empty")
        if entry.get("fieldsType") != FIELDS_TYPE:
            raise ValueError(f"invalid fieldsType {quote(entry.get('fieldsType', ''))} in managed fields entry {index}")
        fields = fieldset.parse(entry.get("fieldsV1") or {})
        who = ManagerIdentifier(
            entry.get("manager", ""),
            entry["operation"],
            entry["apiVersion"] if entry["operation"] == UPDATE else "",
            entry.get("subresource", ""),
        )
        managers[who] = Owned(fields, entry["apiVersion"], entry.get("time") or "")
    return managers


def is_reset(entries: Any) -> bool:
    """Return True if a client asks to forget all managers, by an empty list or a list of one empty entry."""
    return entries is not None and (not entries or (len(entries) == 1 and not entries[0]))


def write(managers: Mapping[ManagerIdentifier, Owned]) -> list[Object]:
    """Return the entries in the order in which they are stored: Apply before Update, then by time."""
    ordered = sorted(managers.items(), key=lambda item: (item[0].operation, item[1].time, *item[0]))
    return [_entry(who, owned) for who, owned in ordered]


def _entry(who: ManagerIdentifier, owned: Owned) -> Object:
    entry: Object = {"manager": who.name, "operation": who.operation, "apiVersion": owned.api_version}
    if owned.time:
        entry["time"] = owned.time
    entry["fieldsType"] = FIELDS_TYPE
    entry["fieldsV1"] = owned.fields
    if who.subresource:
        entry["subresource"] = who.subresource
    return entry


def same_but_time(left: Iterable[Object], right: Iterable[Object]) -> bool:
    """Return True if two lists of entries differ at most in their timestamps."""
    return [{**entry, "time": ""} for entry in left] == [{**entry, "time": ""} for entry in right]


def capped(managers: Managers) -> Managers:
    """Return the managers with the oldest by update merged, version by version, until MOST_UPDATERS are left."""
    updaters = [who for who in managers if who.operation == UPDATE]
    excess = len(updaters) - MOST_UPDATERS
    if excess <= 0:
        return managers
    updaters.sort(key=lambda who: (managers[who].time, who))
    managers = dict(managers)
    first: dict[str, ManagerIdentifier] = {}
    for who in updaters:
        if excess <= 0:
            break
        version = managers[who].api_version
        if version not in first:
            first[version] = who
            continue
        bucket = ManagerIdentifier(ANCIENT, UPDATE, version)
        if bucket not in managers:
            managers[bucket] = managers.pop(first[version])
        old, merged = managers[bucket], managers.pop(who)
        managers[bucket] = Owned(fieldset.union(old.fields, merged.fields), version, merged.time)
        excess -= 1
    return managers
