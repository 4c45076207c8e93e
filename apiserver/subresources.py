"""The parts of an object that have a path of their own, one row each: what discovery says, and what a request does.

Three sorts, told apart by the function that the row has:

- a *view* (status, scale, finalize) shows the parent in another form (``show``) and writes a change of that form back
  into it (``apply``, on a copy of the parent that is then checked and stored like any update);
- an *action* (binding, token, eviction) is a create that does something to the parent (``act``);
- a *connection* (log, exec, proxy …) has neither: ``connect.py`` carries its bytes to the kubelet.

Rows are found by ``<plural>/<name>`` first and by ``<name>`` alone after that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from apiserver.kind import Kind
from machinery.objects import Object

READ_WRITE = ("get", "patch", "update")
CONNECT = ("create", "delete", "get", "patch", "update")


class Actions(Protocol):
    """What an action may do to the world, given by the verbs in ``rest.py``. Every error is an ApiError."""

    dry_run: bool

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Reads another object; raises NotFound."""

    def update(self, kind: Kind, namespace: str, name: str, change: Callable[[Object], Any]) -> Object:
        """Reads, lets ``change`` modify a copy, writes; again from the start when another writer was faster."""

    def delete(self, kind: Kind, namespace: str, name: str, options: Object) -> Object:
        """Deletes as the verb does, with DeleteOptions."""


@dataclass(frozen=True)
class Subresource:
    """One row. Group, version and kind are those of the body; empty means the parent's."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""
    definition: str = ""
    show: Callable[[Object], Object] | None = None
    apply: Callable[[Object, Object], None] | None = None  # (parent to change, body); raises ApiError
    act: Callable[[Actions, Object, Object], Object] | None = None  # (actions, parent, body) → response
    # Whether the strategy looks at what a view writes; not where it would put back the very field the view is for (finalize).
    hooks: bool = True


def find_subresource(kind: Kind, name: str) -> Subresource | None:
    """The row for one of the kind's subresources, None when the kind has no such."""
    if name not in kind.subresources:
        return None
    return SUBRESOURCES.get(f"{kind.plural}/{name}") or SUBRESOURCES[name]


def _connection(name: str, options: str, verbs: tuple[str, ...] = ("create", "get")) -> Subresource:
    return Subresource(name, verbs, kind=options, version="v1", definition=f"io.k8s.api.core.v1.{options}")


SUBRESOURCES: dict[str, Subresource] = {
    "status": Subresource("status", READ_WRITE),
    "log": Subresource("log", ("get",)),
    "exec": _connection("exec", "PodExecOptions"),
    "attach": _connection("attach", "PodAttachOptions"),
    "portforward": _connection("portforward", "PodPortForwardOptions"),
    "pods/proxy": _connection("proxy", "PodProxyOptions", CONNECT),
    "services/proxy": _connection("proxy", "ServiceProxyOptions", CONNECT),
    "nodes/proxy": _connection("proxy", "NodeProxyOptions", CONNECT),
}
