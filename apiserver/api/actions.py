"""The verbs for the action of a subresource, such as a pod's eviction, in the name of its caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.registry import deletion
from apiserver.registry.reader import require_object
from apiserver.registry.rest import Rest
from apiserver.registry.writerequest import WriteRequest
from machinery.objects import Object


class RestActions:
    """Implements ``model.actions.Actions``."""

    def __init__(self, rest: Rest, kind: Kind, user: User, dry_run: bool) -> None:
        self.kind = kind
        self.dry_run = dry_run
        self.user = user
        self._rest = rest

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return require_object(self._rest.reader, kind, namespace, name)

    def list(self, kind: Kind, namespace: str) -> Sequence[Object]:
        return self._rest.reader.list(kind, namespace, consistent=True)

    def update(self, kind: Kind, namespace: str, name: str, change: Callable[[Object], Any]) -> Object:
        def apply(old: Object) -> Object:
            change(old)
            return old

        write = replace(self._write(kind, namespace, name), hooks=False)
        return self._rest.modify(write, apply).object

    def delete(self, kind: Kind, namespace: str, name: str, options: Object) -> Object:
        parsed = deletion.parse_options(options, {}, ["All"] if self.dry_run else [])
        write = replace(self._write(kind, namespace, name), dry_run=parsed.dry_run)
        return self._rest.delete(write, parsed)[0].object

    def _write(self, kind: Kind, namespace: str, name: str) -> WriteRequest:
        return WriteRequest(kind, namespace, name, self.user, dry_run=self.dry_run)
