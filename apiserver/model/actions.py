"""What the action of a subresource may do, such as a pod's eviction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from apiserver.model.kind import Kind
from apiserver.model.user import User
from machinery.objects import Object


class Actions(Protocol):
    """The verbs that an action may use, in the name of its caller. All of them raise ApiErrors."""

    kind: Kind  # of the object whose subresource it is
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


def success() -> Object:
    """Return the Status that an action answers with if it has nothing to show."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
