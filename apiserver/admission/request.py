"""What a plugin is given and what it must look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from apiserver.kind import Kind
from machinery.objects import Object


class Reader(Protocol):
    """Looks an object up in the watch cache; None when there is none."""

    def __call__(self, kind: Kind, namespace: str, name: str) -> Object | None: ...


@dataclass
class AdmissionRequest:
    """One write on its way to the store. ``object`` is None on a deletion, ``old_object`` on a creation."""

    operation: str  # CREATE, UPDATE, DELETE or CONNECT
    kind: Kind
    namespace: str
    name: str
    subresource: str
    user: str
    object: Object | None
    old_object: Object | None
    dry_run: bool
    reader: Reader


class Plugin:
    """A plugin changes ``request.object`` in place or raises an ApiError; the defaults do neither."""

    name = ""

    def handles(self, request: AdmissionRequest) -> bool:
        """Whether this plugin has anything to do with the request."""
        raise NotImplementedError

    def admit(self, request: AdmissionRequest) -> None:
        """Fills in; runs before validation."""

    def validate(self, request: AdmissionRequest) -> None:
        """Refuses; runs after every plugin's ``admit``."""
