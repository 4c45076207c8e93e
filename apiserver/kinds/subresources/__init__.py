"""Subresources: the parts of an object that have a path of their own, one row (``model.kind.Subresource``) each.

What a row has in it answers the requests for it:

- a *view* (scale, finalize) shows the parent in another form (``show``) and writes a change of that form back into it
  (``apply``, on a copy of the parent that is then checked and stored like any update); ``status`` and ``approval``,
  which have no function at all, are the parent itself;
- an *action* (binding, eviction) is a create that does something to the parent (``act``);
- all others (log, exec, proxy, token …) have a ``handler``, which answers as it likes. Most carry bytes to a kubelet.

A kind's row holds the rows of its own subresources. Those that need more than the kind, such as a proxy, stand beside
their handlers, and are added to the kind by the feature that they belong to. Discovery, OpenAPI and the verbs read them
from the kind, so what is listed is what is served.
"""

from __future__ import annotations

from apiserver.model.kind import Subresource
from apiserver.schema.codec import upstream

READ_WRITE = ("get", "patch", "update")
CONNECT = ("create", "delete", "get", "patch", "update")

STATUS = Subresource("status", READ_WRITE)


def body(group: str, kind: str) -> tuple[str, str, str, str]:
    """Return what a row says about the kind of its body: kind, group, version and definition."""
    _, version, _, _, codec = upstream(group, kind)
    return kind, group, version, codec.definition
