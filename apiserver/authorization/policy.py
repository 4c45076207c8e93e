"""The roles and bindings in force: which rules a user has in a namespace.

Upstream: pkg/registry/rbac/validation/rule.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from apiserver.authorization.rules import Rule
from apiserver.authorization.tokens import PREFIX
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
from apiserver.model.user import User
from machinery.errors import NotFound, not_found, quote
from machinery.objects import Object


class Objects(Protocol):
    """Where roles and bindings are read."""

    def stamp(self) -> int:
        """Waits for every write that somebody could know of; the number is another after each change."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None: ...

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Object]: ...


class Held(NamedTuple):
    """A binding, the first of its subjects that the user is, and the rules of its role; a problem instead of rules."""

    binding: Object
    subject: Object
    rules: Sequence[Rule]
    problem: str = ""

    def __str__(self) -> str:
        """As in ``RBAC: allowed by …``."""
        meta, ref = self.binding["metadata"], self.binding["roleRef"]
        namespace = meta.get("namespace", "")
        name = quote(f"{meta['name']}/{namespace}" if namespace else meta["name"])
        what = "RoleBinding" if namespace else "ClusterRoleBinding"
        subject = self.subject["name"]
        if self.subject["kind"] == SERVICE_ACCOUNT:
            subject += f"/{self.subject.get('namespace') or namespace}"
        return f"{what} {name} of {ref['kind']} {quote(ref['name'])} to {self.subject['kind']} {quote(subject)}"


class Policy:
    """Looks up; remembers nothing."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def held(self, user: User, namespace: str) -> Iterator[Held]:
        """What the user holds: cluster-wide, then in the namespace if there is one."""
        for binding in self._bindings(namespace):
            bound_in = binding["metadata"].get("namespace", "")
            subject = named(user, binding.get("subjects") or (), bound_in)
            if subject is None:
                continue
            try:
                yield Held(binding, subject, self.rules_of(binding["roleRef"], bound_in))
            except NotFound as error:
                yield Held(binding, subject, (), error.message)

    def _bindings(self, namespace: str) -> Iterator[Object]:
        yield from self.objects.list(CLUSTER_ROLE_BINDINGS)
        if namespace:
            yield from self.objects.list(ROLE_BINDINGS, namespace)

    def rules_of(self, ref: Object, namespace: str) -> Sequence[Rule]:
        """The rules of the role that a binding refers to; raises NotFound."""
        name = ref["name"]
        local = ref["kind"] == "Role"
        role = self.objects.get(ROLES, namespace, name) if local else self.objects.get(CLUSTER_ROLES, "", name)
        if role is None:
            raise not_found(f"{'role' if local else 'clusterrole'}.{GROUP}", name)
        return role.get("rules") or ()

    def rules(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """All rules that the user has there, and what kept some from being found."""
        self.objects.stamp()
        held = list(self.held(user, namespace))
        return [rule for each in held for rule in each.rules], problems(held)


def named(user: User, subjects: Sequence[Object], namespace: str) -> Object | None:
    """The first of a binding's subjects that is this user."""
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
            return bool(home) and user.name == f"{PREFIX}{home}:{name}"
    return False


def problems(held: Sequence[Held]) -> list[str]:
    """Which roles were not to be found, each once."""
    return list(dict.fromkeys(each.problem for each in held if each.problem))


def aggregate(texts: Sequence[str]) -> str:
    """Several errors as one, in Go's form."""
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""
