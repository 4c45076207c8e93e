"""What the verbs ask of managed fields. The package ``managedfields`` does it; a server without them does nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from apiserver.model.fieldmanager import Configuration, Writer
from apiserver.model.kind import Kind
from apiserver.model.patchtypes import APPLY_PATCH
from apiserver.schema.body import unsupported_media_type
from machinery.objects import Object


class FieldManager(Protocol):
    """Keeps ``metadata.managedFields`` (upstream: apimachinery's managedfields.FieldManager)."""

    def created(self, kind: Kind, obj: Object, writer: Writer) -> None:
        """Set the managed fields of a new object, in place."""

    def updated(self, kind: Kind, new: Object, old: Object, writer: Writer) -> None:
        """Set the managed fields of a changed object, in place."""

    def settle(self, new: Object, old: Object) -> None:
        """Restore the old entries where the new ones differ only in their times, so that a no-op update stays one."""

    def read(self, kind: Kind, version: str, body: bytes, field_validation: str) -> Configuration:
        """Return the configuration in the body of an apply. Raises BadRequest or UnsupportedMediaType."""

    def apply(self, kind: Kind, live: Object | None, config: Object, writer: Writer, *, force: bool) -> Object:
        """Merge a configuration into the live object, if there is one. Raises Conflict or BadRequest."""

    def to_scale(self, parent: Iterable[Object], path: tuple[str, ...]) -> list[Object]:
        """Return the entries of a Scale, from its parent's and the ``path`` of the replicas in the parent."""

    def to_parent(
        self, parent: Iterable[Object], scale: Iterable[Object], api_version: str, path: tuple[str, ...]
    ) -> list[Object]:
        """Return the parent's entries after a write of its Scale, which has the entries ``scale``."""


class NoManagedFields:
    """A ``FieldManager`` for a server that keeps no managed fields and knows no server-side apply."""

    def created(self, kind: Kind, obj: Object, writer: Writer) -> None:
        obj["metadata"].pop("managedFields", None)

    def updated(self, kind: Kind, new: Object, old: Object, writer: Writer) -> None:
        new["metadata"].pop("managedFields", None)

    def settle(self, new: Object, old: Object) -> None:
        """Leave both as they are."""

    def read(self, kind: Kind, version: str, body: bytes, field_validation: str) -> Configuration:
        raise unsupported_media_type(*(known for known in kind.codec.patch_types if known != APPLY_PATCH))

    def apply(self, kind: Kind, live: Object | None, config: Object, writer: Writer, *, force: bool) -> Object:
        raise unsupported_media_type(*(known for known in kind.codec.patch_types if known != APPLY_PATCH))

    def to_scale(self, parent: Iterable[Object], path: tuple[str, ...]) -> list[Object]:
        return []

    def to_parent(
        self, parent: Iterable[Object], scale: Iterable[Object], api_version: str, path: tuple[str, ...]
    ) -> list[Object]:
        return []
