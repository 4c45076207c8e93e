"""Nobody gives away what she has not got."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.admission.escalation import Escalation
from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.writerequest import WriteRequest
from machinery.errors import ApiError
from machinery.objects import Object

JANE = User("jane", ("devs", "system:authenticated"))
ADMIN = User("admin", ("system:masters",))
READ_PODS: Object = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}
READ_SECRETS: Object = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"]}
EVERYTHING: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
ALL_PATHS: Object = {"verbs": ["*"], "nonResourceURLs": ["*"]}
ATTEMPT = (
    'is forbidden: user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions '
    "not currently held:\n"
)


def verdict(
    authorizer: UnionAuthorizer, kind: Kind, obj: Object, *, old: Object | None = None, user: User = JANE
) -> str:
    """What the plugin says; empty for nothing."""
    meta = obj["metadata"]
    write = WriteRequest(kind, meta.get("namespace", ""), meta["name"], user)
    request = AdmissionRequest("UPDATE" if old else "CREATE", write, obj, old, reader=None)  # type: ignore[arg-type]
    plugin = Escalation(authorizer)
    assert plugin.handles(request)
    try:
        plugin.admit(request)
    except ApiError as error:
        return f"{error.code} {error.message}"
    return ""


def role(*rules: Object, name: str = "r", namespace: str = "", **more: Any) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "rules": list(rules), **more}


def binding(ref: str, namespace: str = "") -> Object:
    kind, _, name = ref.partition("/")
    return {
        "metadata": {"name": "b", "namespace": namespace},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name},
    }


@pytest.fixture
def jane(objects: Any) -> Any:
    """May read pods in ns."""
    objects.role("pods", READ_PODS)
    objects.role("secrets", READ_SECRETS)
    objects.bind("jane", "ClusterRole/pods", "User jane", namespace="ns")
    return objects


def test_roles(jane: Any, authorizer: UnionAuthorizer) -> None:
    assert verdict(authorizer, ROLES, role(READ_PODS, namespace="ns")) == ""
    assert verdict(authorizer, ROLES, role({**READ_PODS, "resourceNames": ["p"]}, namespace="ns")) == ""
    said = verdict(authorizer, ROLES, role(READ_PODS, READ_SECRETS, ALL_PATHS, namespace="ns"))
    assert said == (
        f'403 roles.rbac.authorization.k8s.io "r" {ATTEMPT}'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}\n'
        '{NonResourceURLs:["*"], Verbs:["*"]}'
    )
    assert verdict(authorizer, ROLES, role(READ_PODS, namespace="other")).startswith("403")
    assert verdict(authorizer, CLUSTER_ROLES, role(READ_PODS)).startswith("403 clusterroles.rbac")
    assert verdict(authorizer, CLUSTER_ROLES, role(EVERYTHING), user=ADMIN) == ""


def test_escalate_lifts_it(jane: Any, authorizer: UnionAuthorizer) -> None:
    jane.role("e", {"verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["roles"], "resourceNames": ["r"]})
    jane.bind("e", "ClusterRole/e", "User jane", namespace="ns")
    new, old = role(READ_SECRETS, namespace="ns"), role(namespace="ns")
    assert verdict(authorizer, ROLES, new, old=old) == ""
    assert verdict(authorizer, ROLES, new).startswith("403"), "a new role's name is not in the request's path"


def test_an_aggregated_role_is_for_those_who_may_do_all(jane: Any, authorizer: UnionAuthorizer) -> None:
    rule = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    said = "must have cluster-admin privileges to use the aggregationRule"
    assert verdict(authorizer, CLUSTER_ROLES, role(aggregationRule=rule)).endswith(said)
    assert verdict(authorizer, CLUSTER_ROLES, role(name="x"), old=role(aggregationRule=rule)).endswith(said)
    jane.role("all", EVERYTHING, ALL_PATHS)
    jane.bind("all", "ClusterRole/all", "User jane")
    assert verdict(authorizer, CLUSTER_ROLES, role(aggregationRule=rule)) == ""


def test_the_garbage_collector_may_change_any_role(jane: Any, authorizer: UnionAuthorizer) -> None:
    old = role(EVERYTHING, namespace="ns")
    new = {**old, "metadata": {**old["metadata"], "finalizers": ["x/y"], "ownerReferences": [{"name": "o"}]}}
    assert verdict(authorizer, ROLES, new, old=old) == ""
    new["metadata"]["labels"] = {"a": "b"}
    assert verdict(authorizer, ROLES, new, old=old).startswith("403")


def test_bindings(jane: Any, authorizer: UnionAuthorizer) -> None:
    assert verdict(authorizer, ROLE_BINDINGS, binding("ClusterRole/pods", "ns")) == ""
    assert verdict(authorizer, CLUSTER_ROLE_BINDINGS, binding("ClusterRole/pods")).startswith("403")
    assert verdict(authorizer, ROLE_BINDINGS, binding("ClusterRole/secrets", "ns")) == (
        f'403 rolebindings.rbac.authorization.k8s.io "b" {ATTEMPT}'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )
    absent = 'roles.rbac.authorization.k8s.io "gone" not found'
    assert verdict(authorizer, ROLE_BINDINGS, binding("Role/gone", "ns")) == f"404 {absent}"
    assert verdict(authorizer, ROLE_BINDINGS, binding("Role/gone", "ns"), user=ADMIN) == ""
    assert verdict(authorizer, ROLE_BINDINGS, binding("Robot/x", "ns")) == "", "is refused for its form"


def test_bind_lifts_it(jane: Any, authorizer: UnionAuthorizer) -> None:
    jane.role(
        "b", {"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["secrets"]}
    )
    jane.bind("b", "ClusterRole/b", "User jane", namespace="ns")
    assert verdict(authorizer, ROLE_BINDINGS, binding("ClusterRole/secrets", "ns")) == ""
    assert verdict(authorizer, CLUSTER_ROLE_BINDINGS, binding("ClusterRole/secrets")).startswith("403")


def test_a_lost_role_is_told_with_the_missing_rights(jane: Any, authorizer: UnionAuthorizer) -> None:
    jane.bind("lost", "ClusterRole/lost", "User jane", namespace="ns")
    said = verdict(authorizer, ROLES, role(READ_SECRETS, namespace="ns"))
    assert said.endswith('; resolution errors: clusterrole.rbac.authorization.k8s.io "lost" not found')
