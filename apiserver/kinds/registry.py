"""Finds a kind's row by the names that requests, kubectl and other code use for it.

The rows themselves stand in ``kinds/``; adding a kind is adding its row to ``kinds.ROWS``.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.kinds.rows import ROWS
from apiserver.model.kind import Kind
from machinery.errors import no_such_resource


class Registry:
    """An immutable index over rows."""

    def __init__(self, rows: Iterable[Kind]) -> None:
        self._rows = tuple(rows)
        # The first wins: built-in kinds over custom ones, and of the rows of a custom kind the preferred version's.
        last = self._rows[::-1]
        self._by_path = {(row.group, version, row.plural): row for row in last for version in row.versions}
        self._by_kind = {(row.group, row.kind): row for row in last}

    def find(self, group: str, version: str, plural: str) -> Kind:
        """The row served at this path; raises NotFound with upstream's message for an unknown path."""
        row = self.get(group, version, plural)
        if row is None:
            raise no_such_resource()
        return row

    def get(self, group: str, version: str, plural: str) -> Kind | None:
        """The row served at this path, None when there is none."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, group: str, kind: str) -> Kind | None:
        """The row of ``kind``, None when it is not served."""
        return self._by_kind.get((group, kind))

    def by_name(self, name: str) -> Kind | None:
        """The row that a person means by a plural, singular, short name or kind."""
        wanted = name.lower()
        for row in self._rows:
            if wanted in (row.plural, row.singular or row.kind.lower(), *row.short_names):
                return row
        return None

    def kinds(self) -> tuple[Kind, ...]:
        """Every row, in the order of discovery."""
        return self._rows

    def stored(self) -> tuple[Kind, ...]:
        """The rows whose objects are kept in the store."""
        return tuple(row for row in self._rows if "list" in row.verbs and not row.computed)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Group → its served versions, the preferred first; the core group is ``""`` and comes first."""
        found: dict[str, list[str]] = {}
        for row in self._rows:
            versions = found.setdefault(row.group, [])
            versions += [version for version in row.versions if version not in versions]
        return {group: tuple(versions) for group, versions in found.items()}


REGISTRY = Registry(ROWS)
