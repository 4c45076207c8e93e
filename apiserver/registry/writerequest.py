"""What every writing verb is told about its request."""

from __future__ import annotations

from dataclasses import dataclass, field

from apiserver.model.fieldmanager import Writer
from apiserver.model.kind import Kind
from apiserver.model.user import LOOPBACK, User


@dataclass(frozen=True)
class WriteRequest:
    """One write, without the object or the change that it is about.

    ``name`` is empty for a create that leaves the name to the server (``generateName``). Without a ``writer`` the
    managed fields of an object are left as the change makes them. Without ``hooks`` neither the kind's strategy nor
    admission looks at a change: it is the server's own. Texts for ``Warning`` headers are appended to ``warnings``.
    """

    kind: Kind
    namespace: str
    name: str
    user: User
    subresource: str = ""
    writer: Writer | None = None
    dry_run: bool = False
    hooks: bool = True
    warnings: list[str] = field(default_factory=list)


def own_write(kind: Kind, namespace: str, name: str, *, owns_fields: bool = True) -> WriteRequest:
    """Return a request of the API server itself.

    Without ``owns_fields`` the managed fields of the object are left as the change makes them.
    """
    writer = Writer("kube-apiserver") if owns_fields else None
    return WriteRequest(kind, namespace, name, LOOPBACK, writer=writer)
