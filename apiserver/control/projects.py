"""Completes a new project: bindings make its requester the administrator (see ``authorization/ownership.py``).

The namespace and its bindings are several writes. The first sets a mark and the last removes it, so that a server that
starts can complete projects of one that was killed.
"""

from __future__ import annotations

import logging

from apiserver.admission.projectrequest import UNFINISHED
from apiserver.authorization.ownership import REQUESTER
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.rbac import GROUP, ROLE_BINDINGS, USER
from apiserver.model.item import Item
from apiserver.model.user import LOOPBACK
from apiserver.registry.rest import Rest
from apiserver.registry.writerequest import WriteRequest, own_write
from machinery.errors import AlreadyExists, Forbidden, NotFound
from machinery.objects import Object

log = logging.getLogger(__name__)

# The owner's bindings and their ClusterRoles. OpenShift's admin may also delete the project, upstream's may not.
BINDINGS = {"admin": "admin", "project-owner": "project-owner"}


class Projects:
    """Completes new projects: those that are created here, and at the start those that a killed server left undone."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def complete(self, namespace: Item) -> Item:
        """Return a new namespace as it is in the end: a project has its owner's bindings."""
        return _complete(self._rest, namespace.object) or namespace

    def concerns(self, key: str) -> bool:
        """Return False: only a server that starts finds unfinished projects."""
        return False

    def run(self) -> None:
        """Complete every project. Raises ApiError or StoreError."""
        for namespace in self._rest.reader.list(NAMESPACES, consistent=True):
            try:
                if _complete(self._rest, namespace):
                    log.info("completed project %s", namespace["metadata"]["name"])
            except (NotFound, Forbidden):
                continue  # It is being deleted, and takes no bindings any more.


def _complete(rest: Rest, namespace: Object) -> Item | None:
    """Write the bindings and remove the mark; return None if the namespace is no project or is complete."""
    meta = namespace["metadata"]
    annotations = meta.get("annotations") or {}
    if UNFINISHED not in annotations:
        return None
    for name, role in BINDINGS.items():
        try:
            rest.create(own_write(ROLE_BINDINGS, meta["name"], name), _binding(name, role, annotations[REQUESTER]))
        except AlreadyExists:
            continue
    return rest.modify(WriteRequest(NAMESPACES, "", meta["name"], LOOPBACK), _finish)


def _binding(name: str, role: str, user: str) -> Object:
    return {
        "kind": "RoleBinding",
        "apiVersion": f"{GROUP}/v1",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": USER, "name": user}],
    }


def _finish(namespace: Object) -> Object:
    (namespace["metadata"].get("annotations") or {}).pop(UNFINISHED, None)
    return namespace
