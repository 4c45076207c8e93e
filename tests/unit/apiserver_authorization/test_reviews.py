"""SubjectAccessReviews and their like: what is asked, what is answered, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.api.accessreviews import access_reviews
from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.kinds import reviews as kinds
from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.registry.call import Call
from machinery.errors import ApiError
from machinery.objects import Object

JANE = User("jane", ("devs", "system:authenticated"))
PODS: Object = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
GET_PODS = {"verb": "get", "resource": "pods", "namespace": "ns"}


class Asking:
    """Posts reviews."""

    def __init__(self, authorizer: UnionAuthorizer) -> None:
        self._answers = access_reviews(authorizer, authorizer.policy)

    def __call__(self, kind: Kind, spec: Object, at: str = "", user: User = JANE, **metadata: Any) -> Object:
        call = Call("create", kind, "v1", at, "", "", user, {}, {})
        answer: Object = self._answers[kind.resource](call, {"metadata": metadata, "spec": spec})
        return dict(answer["status"])

    def refusal(self, kind: Kind, spec: Object, at: str = "", **metadata: Any) -> str:
        with pytest.raises(ApiError) as caught:
            self(kind, spec, at, **metadata)
        return f"{caught.value.code} {caught.value.message}"


@pytest.fixture
def ask(objects: Any, authorizer: UnionAuthorizer) -> Asking:
    objects.role("reader", PODS, {"verbs": ["get"], "nonResourceURLs": ["/x"]})
    objects.bind("jane", "ClusterRole/reader", "User jane")
    return Asking(authorizer)


YES = {
    "allowed": True,
    "reason": 'RBAC: allowed by ClusterRoleBinding "jane" of ClusterRole "reader" to User "jane"',
}


def test_may_i(ask: Asking) -> None:
    own = kinds.SELF_SUBJECT_ACCESS_REVIEWS
    assert ask(own, {"resourceAttributes": GET_PODS}) == YES
    assert ask(own, {"resourceAttributes": {**GET_PODS, "verb": "list"}}) == {"allowed": False}
    assert ask(own, {"nonResourceAttributes": {"verb": "get", "path": "/x"}}) == YES
    assert ask(own, {"resourceAttributes": {}}) == {"allowed": False}
    assert ask(own, {"resourceAttributes": GET_PODS}, user=User("x", ("system:masters",))) == {"allowed": True}


def test_may_somebody(ask: Asking) -> None:
    of = kinds.SUBJECT_ACCESS_REVIEWS
    assert ask(of, {"user": "jane", "resourceAttributes": GET_PODS}, user=User("other")) == YES
    assert ask(of, {"user": "joe", "resourceAttributes": GET_PODS}) == {"allowed": False}
    assert ask(of, {"groups": ["system:masters"], "resourceAttributes": GET_PODS}) == {"allowed": True}
    kubelet = {"user": "system:node:n", "groups": ["system:nodes"]}
    pods: Object = {"verb": "list", "resource": "pods"}
    one = {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n"]}]}
    assert ask(of, {**kubelet, "resourceAttributes": {**pods, "fieldSelector": one}}) == {"allowed": True}
    raw = {"rawSelector": "spec.nodeName=n"}
    assert ask(of, {**kubelet, "resourceAttributes": {**pods, "fieldSelector": raw}}) == {"allowed": True}
    assert not ask(of, {**kubelet, "resourceAttributes": pods})["allowed"]


def test_in_a_namespace(ask: Asking) -> None:
    local = kinds.LOCAL_SUBJECT_ACCESS_REVIEWS
    assert ask(local, {"user": "jane", "resourceAttributes": GET_PODS}, "ns", namespace="ns") == YES
    said = ask.refusal(local, {"user": "jane", "resourceAttributes": GET_PODS}, "other", namespace="other")
    assert said.endswith('spec.resourceAttributes.namespace: Invalid value: "ns": must match metadata.namespace')
    said = ask.refusal(local, {"user": "jane", "nonResourceAttributes": {"path": "/x", "verb": "get"}}, "ns")
    assert said.endswith(
        'spec.nonResourceAttributes: Invalid value: authorization.NonResourceAttributes{Path:"/x", Verb:"get"}: '
        "disallowed on this kind of request"
    )


@pytest.mark.parametrize(
    ("spec", "metadata", "said"),
    [
        ({"user": "x"}, {}, 'spec.resourceAttributes: Invalid value: "null": exactly one of nonResourceAttributes '
         "or resourceAttributes must be specified"),
        ({"user": "x", "resourceAttributes": {}, "nonResourceAttributes": {}}, {},
         'spec.nonResourceAttributes: Invalid value: authorization.NonResourceAttributes{Path:"", Verb:""}: '
         "cannot be specified in combination with resourceAttributes"),
        ({"resourceAttributes": {}}, {},
         'spec.user: Invalid value: "": at least one of user or group must be specified'),
        ({"user": "x", "resourceAttributes": {}}, {"name": "n"},
         'metadata: Invalid value: map[string]string{"name":"n"}: must be empty'),
        ({"user": "x", "resourceAttributes": {"fieldSelector": {}}}, {},
         "spec.resourceAttributes.fieldSelector.requirements: Required value: when "
         "spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required"),
        ({"user": "x", "resourceAttributes": {"labelSelector": {"rawSelector": "a", "requirements": [{}]}}}, {},
         'spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a": '
         "may not specified at the same time as requirements"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(ask: Asking, spec: Object, metadata: Object, said: str) -> None:
    assert ask.refusal(kinds.SUBJECT_ACCESS_REVIEWS, spec, **metadata) == (
        f'422 SubjectAccessReview.authorization.k8s.io "" is invalid: {said}'
    )


def test_my_rules(ask: Asking, objects: Any) -> None:
    own = kinds.SELF_SUBJECT_RULES_REVIEWS
    names = {**PODS, "resourceNames": ["a"]}
    objects.role("local", names, namespace="ns")
    objects.bind("local", "Role/local", "Group devs", namespace="ns")
    rules = {"resourceRules": [PODS], "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}
    assert ask(own, {"namespace": "other"}) == {**rules, "incomplete": False}
    assert ask(own, {"namespace": "ns"}) == {**rules, "resourceRules": [PODS, names], "incomplete": False}
    objects.bind("lost", "Role/lost", "Group devs", namespace="ns")
    assert ask(own, {"namespace": "ns"})["evaluationError"] == 'role.rbac.authorization.k8s.io "lost" not found'
    kubelet = ask(own, {"namespace": "ns"}, user=User("system:node:n", ("system:nodes",)))
    assert kubelet == {
        "resourceRules": [],
        "nonResourceRules": [],
        "incomplete": True,
        "evaluationError": "node authorizer does not support user rule resolution",
    }
    assert ask.refusal(own, {}) == "400 no namespace on request"
