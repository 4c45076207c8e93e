"""Translate the managedFields of an object to those of its Scale and back (upstream: managedfields/scalehandler.go).

A Scale has one field that can be owned, ``.spec.replicas``; its owners are the owners of the object's replicas.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.managedfields import entries, fieldset
from apiserver.managedfields.entries import UPDATE, ManagerIdentifier, Managers, Owned
from apiserver.managedfields.fieldset import LEAF, Fields
from machinery.objects import Object

API_VERSION = "autoscaling/v1"
REPLICAS = ("f:spec", "f:replicas")


def to_scale(parent: Iterable[Object], path: tuple[str, ...] = REPLICAS) -> list[Object]:
    """Return the entries of a Scale: one for each manager that owns the replicas, at ``path`` of the parent."""
    managers = {
        _in_version(who, API_VERSION): Owned(_only(REPLICAS), API_VERSION, owned.time)
        for who, owned in entries.read(parent).items()
        if fieldset.has(owned.fields, path)
    }
    return entries.write(managers)


def to_parent(
    parent: Iterable[Object], scale: Iterable[Object], api_version: str, path: tuple[str, ...] = REPLICAS
) -> list[Object]:
    """Return the parent's entries after a write of its Scale, whose entries say who owns the replicas now."""
    owners = {
        _in_version(who, ""): owned
        for who, owned in entries.read(scale).items()
        if fieldset.has(owned.fields, REPLICAS)
    }
    after: Managers = {}
    for who, owned in entries.read(parent).items():
        if fieldset.has(owned.fields, path) and owners.pop(_in_version(who, ""), None) is None:
            owned = owned._replace(fields=fieldset.difference(owned.fields, _only(path)))
        if owned.fields:
            after[who] = owned
    for who, owned in owners.items():
        known = _in_version(who, api_version)
        fields = fieldset.union(after[known].fields if known in after else {}, _only(path))
        after[known] = Owned(fields, api_version, owned.time)
    return entries.write(after)


def _in_version(who: ManagerIdentifier, version: str) -> ManagerIdentifier:
    return who._replace(api_version=version if who.operation == UPDATE else "")


def _only(path: tuple[str, ...]) -> Fields:
    fields = LEAF
    for element in reversed(path):
        fields = {element: fields}
    return fields
