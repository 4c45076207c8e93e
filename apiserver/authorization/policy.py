"""Which rules a user has in a namespace, from the stored roles and bindings.

Upstream: pkg/registry/rbac/validation/rule.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from apiserver.authorization.rules import Rule
from apiserver.kinds.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNT,
    SUBJECT_GROUP,
    USER,
)
from apiserver.model.kind import Kind
from apiserver.model.user import SERVICE_ACCOUNT_PREFIX, User
from apiserver.registry.reader import CacheReader
from machinery.errors import NotFound, not_found, quote
from machinery.objects import Object


class Objects(Protocol):
    """How roles and bindings are read."""

    def stamp(self) -> int:
        """Wait until every acknowledged write is visible; return a number that grows with each change of one."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None: ...

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Object]: ...


_PREFIXES = tuple(kind.prefix for kind in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS))


class CachedObjects(CacheReader):
    """The ``Objects`` of the watch cache, other workers' writes included."""

    def stamp(self) -> int:
        for prefix in _PREFIXES:
            self.cache.catch_up(prefix)
        return max(map(self.cache.changed, _PREFIXES))


class MatchedBinding(NamedTuple):
    """A binding that a user is a subject of.

    ``subject`` is the first that she matches. ``problem`` says why the rules of the role are missing, e.g. that there
    is no such role; it is empty otherwise.
    """

    binding: Object
    subject: Object
    rules: Sequence[Rule]
    problem: str = ""

    def __str__(self) -> str:
        """Describe the binding as in ``RBAC: allowed by …``."""
        meta, ref = self.binding["metadata"], self.binding["roleRef"]
        namespace = meta.get("namespace", "")
        name = quote(f"{meta['name']}/{namespace}" if namespace else meta["name"])
        what = "RoleBinding" if namespace else "ClusterRoleBinding"
        subject = self.subject["name"]
        if self.subject["kind"] == SERVICE_ACCOUNT:
            subject += f"/{self.subject.get('namespace') or namespace}"
        return f"{what} {name} of {ref['kind']} {quote(ref['name'])} to {self.subject['kind']} {quote(subject)}"


class Policy:
    """Looks rules up, anew each time (``rbac.py`` caches answers)."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def held(self, user: User, namespace: str) -> Iterator[MatchedBinding]:
        """Yield the user's bindings: those of the cluster, then those of the namespace if it is not empty."""
        for binding in self._bindings(namespace):
            bound_in = binding["metadata"].get("namespace", "")
            subject = named(user, binding.get("subjects") or (), bound_in)
            if subject is None:
                continue
            try:
                yield MatchedBinding(binding, subject, self.rules_of(binding["roleRef"], bound_in))
            except NotFound as error:
                yield MatchedBinding(binding, subject, (), error.message)

    def _bindings(self, namespace: str) -> Iterator[Object]:
        yield from self.objects.list(CLUSTER_ROLE_BINDINGS)
        if namespace:
            yield from self.objects.list(ROLE_BINDINGS, namespace)

    def rules_of(self, ref: Object, namespace: str) -> Sequence[Rule]:
        """Return the rules of the role that a binding refers to; raises NotFound."""
        name = ref["name"]
        local = ref["kind"] == "Role"
        role = self.objects.get(ROLES, namespace, name) if local else self.objects.get(CLUSTER_ROLES, "", name)
        if role is None:
            raise not_found(f"{'role' if local else 'clusterrole'}.{GROUP}", name)
        return role.get("rules") or ()

    def rules(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """Return all rules that the user has there, and which roles of her bindings do not exist."""
        self.objects.stamp()
        held = list(self.held(user, namespace))
        return [rule for each in held for rule in each.rules], problems(held)


def named(user: User, subjects: Sequence[Object], namespace: str) -> Object | None:
    """Return the first of a binding's subjects that the user matches, None if there is none."""
    return next((subject for subject in subjects if _is(user, subject, namespace)), None)


def _is(user: User, subject: Object, namespace: str) -> bool:
    name = subject["name"]
    match subject["kind"]:
        case kind if kind == USER:
            return bool(user.name == name)
        case kind if kind == SUBJECT_GROUP:
            return name in user.groups
        case kind if kind == SERVICE_ACCOUNT:
            # A RoleBinding means an account of its own namespace unless it says another.
            home = subject.get("namespace") or namespace
            return bool(home) and user.name == f"{SERVICE_ACCOUNT_PREFIX}{home}:{name}"
    return False


def problems(held: Sequence[MatchedBinding]) -> list[str]:
    """Return the problems of bindings, each once."""
    return list(dict.fromkeys(each.problem for each in held if each.problem))


def aggregate(texts: Sequence[str]) -> str:
    """Join error messages as Go's aggregated errors are shown: ``[a, b]``."""
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""
