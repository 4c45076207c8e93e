"""Writes the default roles and bindings, and the rules of aggregated roles.

The first happens once, when a worker starts, the second whenever a ClusterRole changes. All workers do both; the one
that comes second finds nothing left to do. ``bootstrap.py`` runs it.
"""

from __future__ import annotations

import logging
import threading

from apiserver.authorization.defaults import default_policy
from apiserver.control.rolereconcile import aggregated_rules, is_protected, reconciled_binding, reconciled_role
from apiserver.kinds.rbac import CLUSTER_ROLES, ROLES
from apiserver.model.kind import Kind
from apiserver.registry.deletion import DeleteOptions
from apiserver.registry.rest import Rest
from apiserver.registry.writerequest import own_write
from machinery.errors import AlreadyExists, NotFound
from machinery.objects import Object

log = logging.getLogger(__name__)


class PolicyKeeper:
    """Sets ``roles_exist`` after its first round, for the authorizer, which waits for that."""

    def __init__(self, rest: Rest, roles_exist: threading.Event) -> None:
        self._rest = rest
        self._roles_exist = roles_exist

    def concerns(self, key: str) -> bool:
        """Return whether a change of this key may leave something to do."""
        return key.startswith(CLUSTER_ROLES.prefix)

    def run(self) -> None:
        """Write what is missing. Raises ApiError or StoreError."""
        if not self._roles_exist.is_set():
            policy = list(default_policy())
            for kind in {kind for kind, _ in policy}:
                self._rest.cache.catch_up(kind.prefix)  # Once is enough: what is created below need not be seen.
            for kind, wanted in policy:
                self._ensure(kind, wanted)
        self._aggregate()
        self._roles_exist.set()

    def _ensure(self, kind: Kind, wanted: Object) -> None:
        rest, meta = self._rest, wanted["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        existing = rest.reader.get(kind, namespace, name)
        write = own_write(kind, namespace, name, owns_fields=False)
        if existing is None:
            self._create(kind, wanted)
        elif is_protected(existing):
            return
        elif kind in (CLUSTER_ROLES, ROLES):
            if reconciled_role(existing, wanted) != existing:
                rest.modify(write, lambda old: reconciled_role(old, wanted))
                log.info("completed %s %s", kind.kind, name)
        elif reconciled_binding(existing, wanted) is None:
            rest.delete(write, DeleteOptions())
            self._create(kind, wanted)
        elif reconciled_binding(existing, wanted) != existing:
            rest.modify(write, lambda old: reconciled_binding(old, wanted) or old)
            log.info("completed %s %s", kind.kind, name)

    def _create(self, kind: Kind, wanted: Object) -> None:
        metadata = dict(wanted["metadata"])
        try:
            write = own_write(kind, metadata.get("namespace", ""), metadata["name"])
            self._rest.create(write, {**wanted, "metadata": metadata})
        except AlreadyExists:
            return  # Another worker has created it.
        log.debug("created %s %s", kind.kind, metadata["name"])

    def _aggregate(self) -> None:
        """Write aggregated rules until nothing changes any more: an aggregated role may be part of another."""
        while sum(self._aggregate_one(role) for role in self._rest.reader.list(CLUSTER_ROLES, consistent=True)):
            continue

    def _aggregate_one(self, role: Object) -> bool:
        if not role.get("aggregationRule"):
            return False
        if aggregated_rules(role, self._rest.reader.list(CLUSTER_ROLES)) == (role.get("rules") or []):
            return False

        def change(newest: Object) -> Object:
            if newest.get("aggregationRule"):
                newest["rules"] = aggregated_rules(newest, self._rest.reader.list(CLUSTER_ROLES))
            return newest

        try:
            self._rest.modify(own_write(CLUSTER_ROLES, "", role["metadata"]["name"], owns_fields=False), change)
        except NotFound:
            return False
        return True
