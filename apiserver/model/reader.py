"""How admission, authorization and subresources read other objects: from the watch cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apiserver.model.kind import Kind
from machinery.objects import Object


class Reader(Protocol):
    """Reads objects from the watch cache. What it returns is shared by all threads and must not be modified.

    Without ``consistent`` an answer may be some milliseconds older than the store. A consistent read waits until the
    cache shows every acknowledged write to the kind, and raises Timeout if that takes too long.
    """

    def get(self, kind: Kind, namespace: str, name: str, *, consistent: bool = False) -> Object | None:
        """Return one object, or None if it does not exist."""

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        """Return one object as soon as it exists, or None if it does not within ``seconds``."""

    def list(self, kind: Kind, namespace: str = "", *, consistent: bool = False) -> Sequence[Object]:
        """Return all objects of a kind, or only those of one namespace if it is given."""
