"""The kinds that are served now: the built-in ones, and what a feature may add while the server runs."""

from __future__ import annotations

from typing import Protocol

from apiserver.kinds.registry import Registry
from apiserver.model.kind import Kind


class ServedKinds(Protocol):
    """Finds rows; safe to use from several threads."""

    def find(self, group: str, version: str, plural: str) -> Kind:
        """Return the row that is served at a path. Raises NotFound."""

    def registry(self) -> Registry:
        """Return all rows, as of every acknowledged write."""


class BuiltinKinds:
    """The kinds of a server to which none can be added."""

    def __init__(self, builtin: Registry) -> None:
        self._builtin = builtin

    def find(self, group: str, version: str, plural: str) -> Kind:
        return self._builtin.find(group, version, plural)

    def registry(self) -> Registry:
        return self._builtin
