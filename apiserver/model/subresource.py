"""A subresource is a row too, which discovery, OpenAPI and the verbs read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from apiserver.model.kind import Column, Kind
from apiserver.model.user import User
from machinery.objects import Object


class Actions(Protocol):
    """The verbs that an action may use, in the name of its caller. All of them raise ApiErrors."""

    dry_run: bool
    user: User

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object; raises NotFound."""

    def list(self, kind: Kind, namespace: str) -> Sequence[Object]:
        """Read the objects of a kind in a namespace, none if the kind is not served. They must not be changed."""

    def update(self, kind: Kind, namespace: str, name: str, change: Callable[[Object], Any]) -> Object:
        """Write what ``change`` makes of a copy of the object; begins again when another writer was faster."""

    def delete(self, kind: Kind, namespace: str, name: str, options: Object) -> Object:
        """Delete an object as the verb does, with DeleteOptions; return it."""


@dataclass(frozen=True)
class Subresource:
    """One row. ``kind``, ``group``, ``version`` and ``definition`` are those of the body; if empty, the parent's."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""
    definition: str = ""
    also_taken: tuple[str, ...] = ()  # other versions that the body may have, with the same schema
    show: Callable[[Object], Object] | None = None
    apply: Callable[[Object, Object], None] | None = None  # (parent to change, body); raises ApiError
    act: Callable[[Actions, Object, Object], Object] | None = None  # (actions, parent, body) → response
    columns: tuple[Column, ...] = ()  # of the Table, if a view has a form of its own
    # Strategy and admission check what a view writes. False for a view that writes what the strategy would restore.
    hooks: bool = True
    # Of a scale: the path of the replicas in the parent, as elements of FieldsV1.
    replicas: tuple[str, ...] = ("f:spec", "f:replicas")


def success() -> Object:
    """Return the Status that an action answers with if it has nothing to show."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
