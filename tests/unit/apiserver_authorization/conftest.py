"""Roles and bindings in a dict, and the authorizer over them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.authorization.defaults import default_policy
from apiserver.authorization.node import NodeAuthorizer
from apiserver.authorization.policy import Policy
from apiserver.authorization.rbac import Rbac
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from apiserver.model.kind import Kind
from machinery.objects import Object

ROLE_KINDS = {kind.kind: kind for kind in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)}


class Objects:
    """See ``policy.Objects``; counts how often it was read."""

    def __init__(self) -> None:
        self.stored: dict[tuple[Kind, str, str], Object] = {}
        self.changes = 0
        self.reads = 0

    def stamp(self) -> int:
        return self.changes

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.stored.get((kind, namespace, name))

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Object]:
        self.reads += 1
        return [obj for (of, where, _), obj in self.stored.items() if of is kind and namespace in ("", where)]

    def put(self, obj: Object) -> None:
        meta = obj["metadata"]
        self.stored[ROLE_KINDS[obj["kind"]], meta.get("namespace", ""), meta["name"]] = obj
        self.changes += 1

    def role(self, name: str, *rules: Object, namespace: str = "") -> None:
        kind = "Role" if namespace else "ClusterRole"
        self.put({"kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": list(rules)})

    def bind(self, name: str, ref: str, *subjects: str, namespace: str = "") -> None:
        """``ref`` is ``Role/name`` or ``ClusterRole/name``; see ``_subject``."""
        kind, _, role = ref.partition("/")
        self.put({
            "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
            "subjects": [_subject(text) for text in subjects],
        })  # fmt: skip


def _subject(text: str) -> Object:
    """``User jane``, ``Group devs`` or ``ServiceAccount name@namespace``."""
    kind, _, rest = text.partition(" ")
    name, _, namespace = rest.partition("@")
    return {"kind": kind, "name": name, **({"namespace": namespace} if namespace else {})}


class Pods:
    """A ``Reader`` of pods."""

    def __init__(self) -> None:
        self.pods: list[Object] = []

    def list(self, kind: Kind, namespace: str = "", *, consistent: bool = False) -> Sequence[Object]:
        assert kind is PODS and consistent
        return [pod for pod in self.pods if pod["metadata"]["namespace"] == namespace]

    def get(self, kind: Kind, namespace: str, name: str, *, consistent: bool = False) -> Object | None:
        found = self.list(kind, namespace, consistent=consistent)
        return next((pod for pod in found if pod["metadata"]["name"] == name), None)

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        raise AssertionError("an authorizer waits for no object")


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def defaults(objects: Objects) -> Objects:
    """With the roles of every cluster."""
    for _, obj in default_policy():
        objects.put(obj)
    return objects


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def authorizer(objects: Objects, pods: Pods) -> UnionAuthorizer:
    roles_exist = threading.Event()
    roles_exist.set()
    return UnionAuthorizer(NodeAuthorizer(pods), Rbac(Policy(objects)), roles_exist)
