"""Cells that the columns of many kinds share: ages, shortened lists, label maps; and the columns Name and Age.

The texts are those of upstream's server-side printers (pkg/printers/internalversion).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apiserver.model.kind import Column
from apiserver.model.printing import age
from machinery.objects import Object

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


def created(obj: Object) -> str:
    """Return how long ago the object was created."""
    return age(obj["metadata"].get("creationTimestamp"))


NAME = Column(
    "Name", lambda obj: obj["metadata"]["name"], format="name", description="Name must be unique within a namespace."
)
AGE = Column("Age", created, description="CreationTimestamp is the time when this object was created.")


def cut(items: Sequence[str], empty: str = UNSET, most: int = 3) -> str:
    """Join the first ``most`` items and say how many more there are; without items it is ``empty``."""
    text = ",".join(items[:most])
    if len(items) > most:
        return f"{text} + {len(items) - most} more..."
    return text or empty


def label_map(labels: Mapping[str, str] | None) -> str:
    """Return labels as ``a=b,c=d``, sorted."""
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels)) if labels else NONE


def names(items: Iterable[Mapping[str, Any]], field: str) -> str:
    """Join one field of each item with commas."""
    return ",".join(str(item.get(field, "")) for item in items)
