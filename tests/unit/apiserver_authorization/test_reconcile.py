"""Default roles are completed, never cut; aggregated roles are the sum of their parts."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.authorization.defaults import default_policy
from apiserver.control.rolereconcile import aggregated_rules, is_protected, reconciled_binding, reconciled_role
from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS
from machinery.objects import Object


def rule(verb: str, resource: str = "pods") -> Object:
    return {"verbs": [verb], "apiGroups": [""], "resources": [resource]}


def role(*rules: Object, name: str = "r", labels: Any = None, annotations: Any = None, **more: Any) -> Object:
    return {
        "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
        "rules": [*rules],
        **more,
    }


def test_missing_rules_are_added_and_others_kept() -> None:
    existing, wanted = role(rule("get"), rule("delete")), role({**rule("get"), "verbs": ["get", "list"]})
    assert reconciled_role(existing, wanted)["rules"] == [rule("get"), rule("delete"), rule("list")]
    assert reconciled_role(wanted, wanted) == wanted
    covering = role({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
    assert reconciled_role(covering, wanted) == covering


def test_labels_and_annotations_of_the_administrator_win() -> None:
    existing = role(labels={"a": "hers", "b": "hers"}, annotations={"x": "hers"})
    wanted = role(labels={"a": "ours", "c": "ours"}, annotations={"y": "ours"})
    metadata = reconciled_role(existing, wanted)["metadata"]
    assert metadata["labels"] == {"a": "hers", "b": "hers", "c": "ours"}
    assert metadata["annotations"] == {"x": "hers", "y": "ours"}


def test_aggregation_rules() -> None:
    ours, hers = {"matchLabels": {"ours": "true"}}, {"matchLabels": {"hers": "true"}}
    wanted, existing = {"clusterRoleSelectors": [ours]}, {"clusterRoleSelectors": [hers]}
    found = reconciled_role(role(aggregationRule=existing), role(aggregationRule=wanted))
    assert found["aggregationRule"] == {"clusterRoleSelectors": [hers, ours]}
    assert reconciled_role(role(), role(aggregationRule=wanted))["aggregationRule"] == wanted
    assert "aggregationRule" not in reconciled_role(role(aggregationRule=existing), role())


def test_an_object_may_be_kept_out_of_it() -> None:
    assert is_protected(role(annotations={"rbac.authorization.kubernetes.io/autoupdate": "false"}))
    assert not is_protected(role(annotations={"rbac.authorization.kubernetes.io/autoupdate": "true"}))
    assert not is_protected({"metadata": {}})


def test_bindings() -> None:
    jane, joe = {"kind": "User", "name": "jane"}, {"kind": "User", "name": "joe"}
    ref = {"kind": "ClusterRole", "name": "r"}
    wanted: Object = {"metadata": {"name": "b"}, "roleRef": ref, "subjects": [jane]}
    existing = {**wanted, "subjects": [joe]}
    found = reconciled_binding(existing, wanted)
    assert found is not None
    assert found["subjects"] == [joe, jane]
    assert reconciled_binding({**wanted, "roleRef": {**ref, "name": "other"}}, wanted) is None
    without = {key: value for key, value in wanted.items() if key != "subjects"}
    found = reconciled_binding(without, without)
    assert found is not None and "subjects" not in found


def test_an_aggregated_role_has_the_rules_of_those_that_it_selects() -> None:
    selectors = [{"matchLabels": {"to": "a"}}, {"matchExpressions": [{"key": "also", "operator": "Exists"}]}]
    sum_ = role(name="sum", labels={"to": "a"}, aggregationRule={"clusterRoleSelectors": selectors})
    roles = [
        role(rule("list"), rule("get"), name="z", labels={"to": "a"}),
        role(rule("get"), name="b", labels={"to": "a"}),
        role(rule("watch"), name="c", labels={"also": ""}),
        role(rule("delete"), name="d", labels={"to": "b"}),
        {**sum_, "rules": [rule("patch")]},
    ]
    assert aggregated_rules(sum_, roles) == [rule("get"), rule("list"), rule("watch")]


@pytest.mark.parametrize("kind", ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"])
def test_the_default_policy_passes_its_own_checks(kind: str) -> None:
    found = [(row, obj) for row, obj in default_policy() if obj["kind"] == kind]
    assert found
    for row, obj in found:
        before = dict(obj)
        row.strategy.default(obj)
        assert obj == before
        assert list(row.strategy.validate(obj)) == [] and row.strategy.validate_name(obj["metadata"]["name"]) == []
    names = [(obj["metadata"].get("namespace"), obj["metadata"]["name"]) for _, obj in found]
    assert len(names) == len(set(names))


def test_every_binding_of_the_default_policy_has_its_role() -> None:
    roles = {obj["metadata"]["name"] for _, obj in default_policy() if obj["kind"].endswith("Role")}
    for kind, obj in default_policy():
        if kind is CLUSTER_ROLE_BINDINGS:
            assert obj["roleRef"]["name"] in roles
