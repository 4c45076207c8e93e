"""An index of the rows by the names that requests, kubectl and other code use for it.

The rows themselves stand in the files of this folder; ``rows.py`` and the features list them.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.kinds.unsupported import upstream_kinds, why_not_served
from apiserver.model.kind import Kind
from machinery.errors import no_such_resource

# The order of the groups in discovery, by which clients resolve a name that several groups have. Upstream orders them
# by priorities (cmd/kube-apiserver/app/aggregator.go: apiVersionPriorities).
_GROUPS = (
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "metrics.k8s.io",
)


class Registry:
    """An immutable index over rows, which keeps their order."""

    def __init__(self, rows: Iterable[Kind]) -> None:
        self._rows = tuple(rows)
        # The first wins: built-in kinds over custom ones, and of the rows of a custom kind the preferred version's.
        last = self._rows[::-1]
        self._by_path = {(row.group, version, row.plural): row for row in last for version in row.versions}
        self._by_kind = {(row.group, row.kind): row for row in last}

    @classmethod
    def of_builtin(cls, rows: Iterable[Kind]) -> Registry:
        """Index built-in rows in the order of discovery: by group, then by plural.

        Raises ValueError for a group that the order does not name.
        """
        return cls(sorted(rows, key=lambda row: (_GROUPS.index(row.group), row.plural)))

    def extended(self, rows: Iterable[Kind]) -> Registry:
        """Return an index of these rows too, behind those that there are."""
        return Registry((*self._rows, *rows))

    def find(self, group: str, version: str, plural: str) -> Kind:
        """Return the row that is served at this path; raises NotFound if there is none."""
        row = self.get(group, version, plural)
        if row is None:
            raise no_such_resource(self._why_not(group, version, plural))
        return row

    def _why_not(self, group: str, version: str, plural: str) -> str:
        kind = upstream_kinds().get((group, version, plural))
        if kind is None:
            return ""
        row = self.by_kind(group, kind)
        return why_not_served(group, kind) if row is None else f"{kind} is served in {row.api_version}"

    def get(self, group: str, version: str, plural: str) -> Kind | None:
        """Return the row that is served at this path, or None."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, group: str, kind: str) -> Kind | None:
        """Return the row of a kind, or None if it is not served."""
        return self._by_kind.get((group, kind))

    def by_name(self, name: str) -> Kind | None:
        """Return the row that a person means by a plural, singular, short name or kind, or None."""
        wanted = name.lower()
        names = ((row, (row.plural, row.singular or row.kind.lower(), *row.short_names)) for row in self._rows)
        return next((row for row, known in names if wanted in known), None)

    def kinds(self) -> tuple[Kind, ...]:
        """Return every row, in the order of discovery."""
        return self._rows

    def stored(self) -> tuple[Kind, ...]:
        """Return the rows whose objects are kept in the store."""
        return tuple(row for row in self._rows if "list" in row.verbs and not row.computed)
