"""``kubectl auth`` and ``kubectl create`` of roles, tokens and bindings, in both generations."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from e2e.harness import Kubectl

pytestmark = pytest.mark.client("kubectl")
verb = pytest.mark.verb


def create(kubectl: Kubectl, *words: str) -> None:
    kubectl("create", *words)


@pytest.fixture(scope="module")
def reader(kubectl: Kubectl) -> str:
    """A user who may read config maps in the namespace, and everything named c in the cluster."""
    create(kubectl, "role", "reader", "--verb=get,list", "--resource=configmaps")
    create(kubectl, "rolebinding", "reader", "--role=reader", "--user=reader", "--group=readers")
    return "reader"


@verb("auth can-i")
def test_can_i(kubectl: Kubectl, reader: str) -> None:
    def can(*words: str, user: str = reader) -> bool:
        result = kubectl.run("auth", "can-i", *words, f"--as={user}")
        said = result.stdout.strip().partition(" ")[0]
        assert said in ("yes", "no"), result
        assert result.returncode == (0 if said == "yes" else 1)
        return said == "yes"

    assert can("list", "configmaps")
    assert can("get", "configmap/c")
    assert not can("delete", "configmaps")
    assert not can("list", "configmaps", "--all-namespaces")
    assert not can("get", "pods", "--subresource=log")
    assert can("get", "/version")
    assert not can("get", "/metrics")
    assert not can("list", "configmaps", user="other")
    assert can("list", "configmaps", user="other") is can("list", "configmaps", user="another")
    assert kubectl("auth", "can-i", "list", "configmaps", "--as=x", "--as-group=readers") == "yes\n"
    assert kubectl("auth", "can-i", "*", "*") == "yes\n"


@verb("auth can-i")
def test_can_i_list(kubectl: Kubectl, reader: str) -> None:
    lines = [line.split() for line in kubectl("auth", "can-i", "--list", f"--as={reader}").splitlines()]
    assert ["configmaps", "[]", "[]", "[get", "list]"] in lines
    assert any(line[0] == "selfsubjectaccessreviews.authorization.k8s.io" for line in lines)
    assert any("[/version]" in line for line in lines)


@verb("auth whoami")
def test_whoami(kubectl: Kubectl, is_new: bool) -> None:
    if not is_new:
        pytest.skip("kubectl before 1.27 has no auth whoami")
    who = json.loads(kubectl("auth", "whoami", "--output=json", "--as=ann", "--as-group=devs", "--as-uid=7"))
    info = who["status"]["userInfo"]
    assert info == {"username": "ann", "uid": "7", "groups": ["devs", "system:authenticated"]}
    assert kubectl("auth", "whoami").splitlines()[0].split() == ["ATTRIBUTE", "VALUE"]


@verb("create token")
def test_create_token(kubectl: Kubectl, is_new: bool) -> None:
    if not is_new:
        pytest.skip("kubectl before 1.24 has no create token")
    token = kubectl("create", "token", "default", "--duration=11m", "--audience=vault").strip()
    assert token.count(".") == 2
    refused = kubectl.run("create", "token", "default", "--duration=1m")
    assert "may not specify a duration less than 10 minutes" in refused.stderr


def policy(namespace: str, bound: str) -> str:
    """A role for pods, and a binding of one; this command wants the namespace in each object."""
    group = "rbac.authorization.k8s.io"
    meta = {"name": "reconciled", "namespace": namespace}
    objects: list[dict[str, Any]] = [
        {"kind": "Role", "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
        {
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": group, "kind": "Role", "name": bound},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "ann"}],
        },
    ]
    return yaml.safe_dump_all([{"apiVersion": f"{group}/v1", "metadata": meta, **obj} for obj in objects])


@verb("auth reconcile")
def test_reconcile(kubectl: Kubectl) -> None:
    text = policy(kubectl.namespace, "reconciled")
    said = kubectl("auth", "reconcile", "-f", "-", stdin=text)
    assert "role.rbac.authorization.k8s.io/reconciled reconciled" in said
    kubectl("create", "role", "other", "--verb=list", "--resource=pods")
    kubectl("auth", "reconcile", "-f", "-", stdin=policy(kubectl.namespace, "other"))
    found = kubectl.json("get", "rolebinding", "reconciled")
    assert found["roleRef"]["name"] == "other"
    assert kubectl("auth", "can-i", "list", "pods", "--as=ann") == "yes\n"
    assert "reconciled" in kubectl("auth", "reconcile", "-f", "-", stdin=text)


def test_what_is_shown(kubectl: Kubectl, reader: str) -> None:
    assert kubectl("get", "roles").splitlines()[0].split() == ["NAME", "CREATED", "AT"]
    row = kubectl("get", "rolebinding", "reader", "-o", "wide").splitlines()[1].split()
    assert row[:2] == ["reader", "Role/reader"] and row[3:] == ["reader", "readers"]
    described = kubectl("describe", "clusterrole", "view")
    assert "configmaps" in described and "[get list watch]" in described
    assert "PolicyRule" in kubectl("describe", "role", "reader")


def test_a_refusal_is_told(kubectl: Kubectl, reader: str) -> None:
    refused = kubectl.run("delete", "configmap", "x", f"--as={reader}")
    assert refused.returncode == 1
    assert refused.stderr == (
        'Error from server (Forbidden): configmaps "x" is forbidden: User "reader" cannot delete resource "configmaps" '
        f'in API group "" in the namespace "{kubectl.namespace}"\n'
    )
