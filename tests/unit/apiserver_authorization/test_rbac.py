"""Roles and bindings in force: who is bound, what is remembered, what is said."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.authorization import rbac
from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.control.rolereconcile import aggregated_rules
from apiserver.kinds.rbac import CLUSTER_ROLES
from apiserver.model.attributes import Attributes, attributes_of
from apiserver.model.requestinfo import parse_request
from apiserver.model.user import User
from machinery.errors import Forbidden

AUTHENTICATED = "system:authenticated"
JANE = User("jane", ("devs", AUTHENTICATED))
ROBOT = User("system:serviceaccount:ns:robot", ("system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ADMIN = User("admin", ("system:masters", AUTHENTICATED))
PODS: dict[str, Any] = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


def get(user: User, resource: str = "pods", namespace: str = "ns", name: str = "") -> Attributes:
    return Attributes(user, "get", resource=resource, namespace=namespace, name=name)


@pytest.mark.parametrize(
    ("subject", "user", "bound"),
    [
        ("User jane", JANE, True),
        ("User joe", JANE, False),
        ("Group devs", JANE, True),
        ("Group jane", JANE, False),
        ("Group system:serviceaccounts:ns", ROBOT, True),
        ("User system:serviceaccount:ns:robot", ROBOT, True),
        ("ServiceAccount robot@ns", ROBOT, True),
        ("ServiceAccount robot@other", ROBOT, False),
        ("ServiceAccount robot", ROBOT, True),  # of the RoleBinding's own namespace
        ("ServiceAccount jane@ns", JANE, False),
        ("Group system:unauthenticated", ANONYMOUS, True),
    ],
)
def test_subjects(objects: Any, authorizer: UnionAuthorizer, subject: str, user: User, bound: bool) -> None:
    objects.role("reader", PODS, namespace="ns")
    objects.bind("b", "Role/reader", subject, namespace="ns")
    assert authorizer.allows(get(user)) is bound
    assert not authorizer.allows(get(user, namespace="other"))
    assert not authorizer.allows(get(user, namespace=""))


def test_an_account_without_a_namespace_means_nobody_clusterwide(objects: Any, authorizer: UnionAuthorizer) -> None:
    objects.role("reader", PODS)
    objects.bind("b", "ClusterRole/reader", "ServiceAccount robot")
    assert not authorizer.allows(get(ROBOT))


def test_a_cluster_role_may_be_bound_in_a_namespace_or_everywhere(objects: Any, authorizer: UnionAuthorizer) -> None:
    objects.role("reader", PODS)
    objects.bind("b", "ClusterRole/reader", "User jane", namespace="ns")
    assert authorizer.allows(get(JANE))
    assert not authorizer.allows(get(JANE, namespace=""))
    objects.bind("b", "ClusterRole/reader", "User jane")
    assert authorizer.allows(get(JANE, namespace=""))
    assert authorizer.allows(get(JANE, namespace="any"))


def test_names_of_several_rules_add_up(objects: Any, authorizer: UnionAuthorizer) -> None:
    objects.role("a", {**PODS, "resourceNames": ["a"]})
    objects.role("b", {**PODS, "resourceNames": ["b"]})
    for role in "ab":
        objects.bind(role, f"ClusterRole/{role}", "User jane")
    assert [authorizer.allows(get(JANE, name=name)) for name in ("a", "b", "c", "")] == [True, True, False, False]


def test_what_was_found_is_remembered_until_a_role_changes(objects: Any, authorizer: UnionAuthorizer) -> None:
    objects.role("reader", PODS)
    objects.bind("b", "ClusterRole/reader", "User jane")
    assert authorizer.allows(get(JANE))
    before = objects.reads
    for number in range(100):
        assert authorizer.allows(get(JANE, name=f"pod-{number}"))
    assert objects.reads == before
    objects.role("reader")
    assert not authorizer.allows(get(JANE))


def test_the_memory_is_bounded(objects: Any, authorizer: UnionAuthorizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rbac, "MOST_REMEMBERED", 10)
    for number in range(100):
        assert not authorizer.allows(get(JANE, namespace=f"ns-{number}"))
        assert len(authorizer._rbac._memo.found) <= 10


def test_reasons(objects: Any, authorizer: UnionAuthorizer) -> None:
    objects.role("reader", PODS)
    objects.bind("everywhere", "ClusterRole/reader", "Group devs")
    said = 'RBAC: allowed by ClusterRoleBinding "everywhere" of ClusterRole "reader" to Group "devs"'
    assert authorizer.decide(get(JANE)) == (True, said)
    objects.bind("here", "ClusterRole/reader", "ServiceAccount robot", namespace="ns")
    said = 'RBAC: allowed by RoleBinding "here/ns" of ClusterRole "reader" to ServiceAccount "robot/ns"'
    assert authorizer.decide(get(ROBOT)) == (True, said)
    assert authorizer.decide(get(ADMIN)) == (True, "")
    assert authorizer.decide(get(ANONYMOUS)) == (False, "")


def test_a_role_that_is_not_there_is_told(objects: Any, authorizer: UnionAuthorizer) -> None:
    objects.bind("a", "Role/gone", "User jane", namespace="ns")
    with pytest.raises(Forbidden) as caught:
        authorizer.require(get(JANE, name="p"))
    assert caught.value.message == (
        'pods "p" is forbidden: User "jane" cannot get resource "pods" in API group "" in the namespace "ns": '
        'RBAC: role.rbac.authorization.k8s.io "gone" not found'
    )
    objects.bind("b", "ClusterRole/gone", "User jane")
    assert authorizer.decide(get(JANE)).reason == (
        'RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, '
        'role.rbac.authorization.k8s.io "gone" not found]'
    )


@pytest.mark.parametrize(
    ("user", "method", "path", "allowed"),
    [
        (ADMIN, "DELETE", "/api/v1/namespaces/a", True),
        (User("system:kube-proxy", (AUTHENTICATED,)), "GET", "/api/v1/services", True),
        (User("system:kube-proxy", (AUTHENTICATED,)), "GET", "/api/v1/pods", False),
        (User("system:kube-impostor", (AUTHENTICATED,)), "GET", "/api/v1/services", False),
        (User("system:kube-scheduler", (AUTHENTICATED,)), "POST", "/api/v1/namespaces/a/pods/p/binding", True),
        (User("system:kube-scheduler", (AUTHENTICATED,)), "GET", "/api/v1/secrets", False),
        (User("kube-apiserver-kubelet-client", (AUTHENTICATED,)), "POST", "/api/v1/nodes/n/proxy/exec", True),
        (User("x", ("system:monitoring", AUTHENTICATED)), "GET", "/metrics", True),
        (ROBOT, "GET", "/metrics", False),
        (ROBOT, "GET", "/api/v1/pods", False),
        (ROBOT, "GET", "/api/v1", True),
        (ROBOT, "GET", "/openapi/v2", True),
        (ROBOT, "GET", "/.well-known/openid-configuration", True),
        (JANE, "GET", "/.well-known/openid-configuration", False),
        (ROBOT, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", True),
        (ROBOT, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", True),
        (ROBOT, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", False),
        (ANONYMOUS, "GET", "/healthz", True),
        (ANONYMOUS, "GET", "/version", True),
        (ANONYMOUS, "GET", "/livez/ping", False),  # what a single check says is for monitors
        (ANONYMOUS, "GET", "/versions", False),
        (ANONYMOUS, "POST", "/version", False),
        (ANONYMOUS, "GET", "/api", False),
        (ANONYMOUS, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", False),
    ],
)
def test_who_may_what_in_every_cluster(
    defaults: Any, authorizer: UnionAuthorizer, user: User, method: str, path: str, allowed: bool
) -> None:
    assert authorizer.allows(attributes_of(user, parse_request(method, path))) is allowed


@pytest.mark.parametrize(
    ("method", "path", "selector", "message"),
    [
        ("GET", "/x", "", 'forbidden: User "u" cannot get path "/x"'),
        ("GET", "/<b>&", "", 'forbidden: User "u" cannot get path "/&lt;b&gt;&amp;"'),
        (
            "GET",
            "/api/v1/nodes",
            "",
            'nodes is forbidden: User "u" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (
            "GET",
            "/api/v1/nodes",
            "metadata.name=n",
            'nodes "n" is forbidden: User "u" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (
            "GET",
            "/api/v1/namespaces/n/pods/p/log",
            "",
            'pods "p" is forbidden: User "u" cannot get resource "pods/log" in API group "" in the namespace "n"',
        ),
        (
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/n/leases/l",
            "",
            'leases.coordination.k8s.io "l" is forbidden: User "u" cannot update resource "leases" '
            'in API group "coordination.k8s.io" in the namespace "n"',
        ),
    ],
)  # fmt: skip
def test_the_words_of_a_refusal(
    authorizer: UnionAuthorizer, method: str, path: str, selector: str, message: str
) -> None:
    with pytest.raises(Forbidden) as caught:
        authorizer.require(attributes_of(User("u"), parse_request(method, path, field_selector=selector)))
    assert caught.value.message == message
    assert caught.value.details is not None


def test_a_list_of_one_by_its_name_may_be_allowed_by_name(objects: Any, authorizer: UnionAuthorizer) -> None:
    objects.role("one", {"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]})
    objects.bind("b", "ClusterRole/one", "User jane")

    def may(selector: str, *, watch: bool = False) -> bool:
        request = parse_request("GET", "/api/v1/namespaces/ns/pods", watch=watch, field_selector=selector)
        return authorizer.allows(attributes_of(JANE, request))

    assert may("metadata.name=p")
    assert may("metadata.name=p,status.phase=Running", watch=True)
    assert not may("metadata.name!=p")
    assert not may("metadata.name=q")
    assert not may("")
    assert not may("nonsense")


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_who_may_see_a_project_may_see_what_it_uses(defaults: Any, authorizer: UnionAuthorizer, role: str) -> None:
    for name in ("view", "edit", "admin"):  # as the keeper makes them
        aggregated = defaults.get(CLUSTER_ROLES, "", name)
        defaults.put({**aggregated, "rules": aggregated_rules(aggregated, defaults.list(CLUSTER_ROLES))})
    defaults.bind("b", f"ClusterRole/{role}", "User jane", namespace="mine")
    for namespace, allowed in (("mine", True), ("others", False)):
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        assert authorizer.allows(attributes_of(JANE, parse_request("GET", path))) is allowed
    assert not authorizer.allows(attributes_of(JANE, parse_request("GET", "/apis/metrics.k8s.io/v1beta1/nodes")))
