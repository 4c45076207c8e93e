"""Subresources: the parts of an object that have a path of their own, one row each.

Three sorts are told apart by the function that the row has:

- a *view* (scale, finalize) shows the parent in another form (``show``) and writes a change of that form back into it
  (``apply``, on a copy of the parent that is then checked and stored like any update); ``status`` and ``approval`` are
  the parent itself;
- an *action* (binding, token, eviction) is a create that does something to the parent (``act``);
- a *connection* (log, exec, proxy …) has neither: a handler in ``streaming/`` carries its bytes to the kubelet.

A kind's row names the subresources that it has. Their rows are found by ``<plural>/<name>``, or else by ``<name>``.
"""

from __future__ import annotations

from apiserver.kinds.subresources import scale
from apiserver.kinds.subresources.binding import bind
from apiserver.kinds.subresources.eviction import evict
from apiserver.kinds.subresources.finalize import finalize
from apiserver.model.kind import Kind
from apiserver.model.subresource import Actions, Subresource
from apiserver.schema.codec import upstream

__all__ = ["SUBRESOURCES", "Actions", "Subresource", "find_subresource"]

READ_WRITE = ("get", "patch", "update")
CONNECT = ("create", "delete", "get", "patch", "update")


def find_subresource(kind: Kind, name: str) -> Subresource | None:
    """Return the row of one of the kind's subresources, or None if the kind has none of this name."""
    if name not in kind.subresources:
        return None
    own: Subresource | None = kind.own_subresources.get(name)
    return own or SUBRESOURCES.get(f"{kind.plural}/{name}") or SUBRESOURCES[name]


def _body(group: str, kind: str) -> tuple[str, str, str, str]:
    """Return what a row says about the kind of its body: kind, group, version and definition."""
    _, version, _, _, codec = upstream(group, kind)
    return kind, group, version, codec.definition


def _connection(name: str, options: str, verbs: tuple[str, ...] = ("create", "get")) -> Subresource:
    return Subresource(name, verbs, *_body("", options))


SUBRESOURCES: dict[str, Subresource] = {
    "status": Subresource("status", READ_WRITE),
    "approval": Subresource("approval", READ_WRITE),
    "finalize": Subresource("finalize", ("update",), apply=finalize, hooks=False),
    "scale": Subresource(
        "scale", READ_WRITE, *_body("autoscaling", "Scale"), show=scale.show, apply=scale.resize, columns=scale.COLUMNS
    ),
    "binding": Subresource("binding", ("create",), *_body("", "Binding"), act=bind),
    "eviction": Subresource(
        "eviction",
        ("create",),
        *_body("policy", "Eviction"),
        also_taken=("v1beta1",),  # kubectl before v1.22 sends it
        act=evict,
    ),
    "token": Subresource("token", ("create",), *_body("authentication.k8s.io", "TokenRequest")),
    "log": Subresource("log", ("get",)),
    "exec": _connection("exec", "PodExecOptions"),
    "attach": _connection("attach", "PodAttachOptions"),
    "portforward": _connection("portforward", "PodPortForwardOptions"),
    "pods/proxy": _connection("proxy", "PodProxyOptions", CONNECT),
    "services/proxy": _connection("proxy", "ServiceProxyOptions", CONNECT),
    "nodes/proxy": _connection("proxy", "NodeProxyOptions", CONNECT),
}
