"""What one rule allows, and what rules cover."""

from __future__ import annotations

import pytest

from apiserver.authorization.covering import uncovered
from apiserver.authorization.rules import Rule, allows, describe, describe_all
from apiserver.model.attributes import Attributes
from apiserver.model.user import User

JANE = User("jane")
READ_PODS: Rule = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}


def resource(verb: str, resource: str, group: str = "", subresource: str = "", name: str = "") -> Attributes:
    return Attributes(JANE, verb, group, resource, subresource, "ns", name)


def path(verb: str, path: str) -> Attributes:
    return Attributes(JANE, verb, path=path, is_resource=False)


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        (READ_PODS, resource("get", "pods"), True),
        (READ_PODS, resource("get", "pods", name="p"), True),
        (READ_PODS, resource("watch", "pods"), False),
        (READ_PODS, resource("get", "pods", "metrics.k8s.io"), False),
        (READ_PODS, resource("get", "pods", subresource="log"), False),
        (READ_PODS, resource("get", "secrets"), False),
        (READ_PODS, path("get", "/api"), False),
        ({**READ_PODS, "verbs": ["*"]}, resource("bind", "pods"), True),
        ({**READ_PODS, "apiGroups": ["*"]}, resource("get", "pods", "x"), True),
        ({**READ_PODS, "resources": ["*"]}, resource("get", "pods", subresource="log"), True),
        ({**READ_PODS, "resources": ["pods/log"]}, resource("get", "pods", subresource="log"), True),
        ({**READ_PODS, "resources": ["pods/log"]}, resource("get", "pods"), False),
        ({**READ_PODS, "resources": ["*/log"]}, resource("get", "pods", subresource="log"), True),
        ({**READ_PODS, "resources": ["*/log"]}, resource("get", "pods", subresource="catalog"), False),
        ({**READ_PODS, "resources": ["pods/*"]}, resource("get", "pods", subresource="log"), False),
        ({**READ_PODS, "resourceNames": ["a", "b"]}, resource("get", "pods", name="b"), True),
        ({**READ_PODS, "resourceNames": ["a", "b"]}, resource("get", "pods", name="c"), False),
        ({**READ_PODS, "resourceNames": ["a", "b"]}, resource("list", "pods"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/api"]}, path("get", "/api"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/api"]}, path("get", "/api/v1"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, path("get", "/api/v1"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, path("get", "/apis"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, path("get", "/x"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, path("post", "/x"), False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, path("get", "/x"), False),
        ({}, resource("get", "pods"), False),
    ],
)
def test_allows(rule: Rule, asked: Attributes, allowed: bool) -> None:
    assert allows(rule, asked) is allowed


def rule(verbs: str, resources: str, groups: str = "core", names: str = "") -> Rule:
    found: Rule = {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
    }
    return {**found, "resourceNames": names.split()} if names else found


def urls(verbs: str, paths: str) -> Rule:
    return {"verbs": verbs.split(), "nonResourceURLs": paths.split()}


@pytest.mark.parametrize(
    ("owner", "servant", "missing"),
    [
        ([rule("get list", "pods")], [rule("get", "pods")], []),
        ([rule("get", "pods"), rule("list", "pods")], [rule("get list", "pods")], []),
        ([rule("*", "*", "*")], [rule("get list", "pods pods/log secrets", "core apps")], []),
        ([rule("get", "pods")], [rule("get", "pods", names="a")], []),
        ([rule("get", "pods", names="a b")], [rule("get", "pods", names="b")], []),
        (
            [rule("get", "pods", names="a")],
            [rule("get", "pods")],
            ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'],
        ),
        (
            [rule("get", "pods", names="a")],
            [rule("get", "pods", names="a c")],
            ['{APIGroups:[""], Resources:["pods"], ResourceNames:["c"], Verbs:["get"]}'],
        ),
        ([rule("update", "*/scale", "*")], [rule("update", "deployments/scale", "apps")], []),
        (
            [rule("update", "*/scale", "*")],
            [rule("update", "deployments", "apps")],
            ['{APIGroups:["apps"], Resources:["deployments"], Verbs:["update"]}'],
        ),
        (
            [rule("get", "pods")],
            [rule("*", "pods")],
            ['{APIGroups:[""], Resources:["pods"], Verbs:["*"]}'],
        ),
        ([urls("get", "/api/*")], [urls("get", "/api/v1 /api/*")], []),
        ([urls("get", "/api/*")], [urls("get post", "/api/v1")], ['{NonResourceURLs:["/api/v1"], Verbs:["post"]}']),
        ([rule("*", "*", "*")], [urls("get", "/api")], ['{NonResourceURLs:["/api"], Verbs:["get"]}']),
        ([urls("*", "*")], [rule("get", "pods")], ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}']),
        (
            [],
            [rule("get list", "secrets pods")],
            [
                '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
                '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
            ],
        ),
        ([], [], []),
    ],
)
def test_covers(owner: list[Rule], servant: list[Rule], missing: list[str]) -> None:
    assert describe_all(uncovered(owner, servant)) == missing


def test_a_rule_with_everything_is_shown_in_gos_words() -> None:
    shown = describe({"resourceNames": ["a"], "verbs": ["get"], "apiGroups": ["", "x"], "resources": ["p", "q"]})
    assert shown == '{APIGroups:["" "x"], Resources:["p" "q"], ResourceNames:["a"], Verbs:["get"]}'


def test_a_role_that_means_billions_is_looked_at_by_its_parts() -> None:
    """Made one by one, the combinations of either rule would not be done in the test's lifetime."""
    many = " ".join(f"a{number}" for number in range(5_000))
    huge = rule(many, many, many, many)
    assert uncovered([huge], [huge]) == []
    assert uncovered([rule("*", "*", "*")], [huge]) == []
    assert len(uncovered([rule("get", "pods")], [huge])) == 10_000


def test_rules_that_could_not_be_compared_in_time_are_not_covered() -> None:
    each = [f"a{number}" for number in range(60)]
    owner = [rule(verb, resource, group) for verb, resource, group in zip(each, each, each, strict=True)]
    parts = " ".join(each)
    assert len(uncovered(owner, [rule(parts, parts, parts, parts)] * 3)) == 10_000
