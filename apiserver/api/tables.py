"""What ``kubectl get`` prints: objects as rows of a Table, and objects reduced to their metadata.

A kind's row in the registry has its columns. ``Name`` is put before them and ``Age`` before the wide ones, unless the
row has columns of these names itself; a kind without columns gets upstream's generic two. Cells of type ``date`` in
the generic table are times; ``Age`` is a duration for people already, as in upstream's tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from apiserver.model.kind import Column, Kind
from apiserver.model.printing import age
from machinery.objects import Object

_NAME_DESCRIPTION = "The object's name, which no other object of this kind has in its namespace."
_CREATED_DESCRIPTION = "When the server created the object."

NAME = Column("Name", lambda obj: obj["metadata"].get("name", ""), format="name", description=_NAME_DESCRIPTION)
_AGE = Column("Age", lambda obj: age(obj["metadata"].get("creationTimestamp", "")), description=_CREATED_DESCRIPTION)
_CREATED = Column(
    "Created At", lambda obj: obj["metadata"].get("creationTimestamp"), type="date", description=_CREATED_DESCRIPTION
)


def render(
    kind: Kind,
    objects: Sequence[Object],
    list_metadata: Object,
    version: str = "v1",
    include_object: str = "Metadata",
    *,
    headers: bool = True,
) -> Object:
    """Return a Table (of ``meta.k8s.io/<version>``) with a row for each object.

    ``list_metadata`` is the list's, or has the one object's resourceVersion. ``headers`` is false for all but the first
    event of a watch.
    """
    columns = columns_of(kind)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {key: value for key, value in list_metadata.items() if key in _LIST_METADATA},
        "columnDefinitions": [_definition(column) for column in columns] if headers else None,
        "rows": [_row(columns, obj, version, include_object) for obj in objects],
    }


_LIST_METADATA = ("resourceVersion", "continue", "remainingItemCount", "selfLink")


def columns_of(kind: Kind) -> tuple[Column, ...]:
    """Return a kind's columns, with the generic ones in their places."""
    return _completed(kind.columns)


@lru_cache(maxsize=256)
def _completed(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    own = list(columns)
    if not own:
        return (NAME, _CREATED)
    names = {column.name for column in own}
    if "Name" in names:
        return tuple(own)
    if "Age" not in names:
        wide = next((index for index, column in enumerate(own) if column.priority > 0), len(own))
        own.insert(wide, _AGE)
    return (NAME, *own)


def _definition(column: Column) -> Object:
    return {field: getattr(column, field) for field in ("name", "type", "format", "description", "priority")}


def _row(columns: Sequence[Column], obj: Object, version: str, include_object: str) -> Object:
    # A bookmark is an object of the kind that has nothing but a revision, so its cells are empty.
    is_bookmark = "name" not in obj["metadata"]
    row: Object = {"cells": ["" if is_bookmark else column.value(obj) for column in columns]}
    row["object"] = None
    if include_object != "None":
        row["object"] = obj if include_object == "Object" else partial_metadata(obj, version)
    return row


def partial_metadata(obj: Object, version: str = "v1") -> Object:
    """Return an object as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def partial_metadata_list(objects: Sequence[Object], list_metadata: Object, version: str = "v1") -> Object:
    """Return a list as PartialObjectMetadataList."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": list_metadata,
        "items": [partial_metadata(obj, version) for obj in objects],
    }


def cells(kind: Kind, obj: Object) -> list[Any]:
    """Return the cells of one object."""
    return [column.value(obj) for column in columns_of(kind)]
