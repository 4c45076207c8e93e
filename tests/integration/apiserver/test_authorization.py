"""Roles at work: over both stores in this process, and with two workers over the network."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from integration.apiserver.conftest import Api
from integration.served import Served

from machinery.objects import Object

pytestmark = pytest.mark.etcd

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
READ: dict[str, Any] = {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"]}


def as_(user: str, *groups: str) -> dict[str, str]:
    return {"Impersonate-User": user, **({"Impersonate-Group": ",".join(groups)} if groups else {})}


def binding(name: str, ref: str, *users: str) -> dict[str, Any]:
    kind, _, role = ref.partition("/")
    subjects = [{"kind": "User", "name": user} for user in users]
    return {"metadata": {"name": name}, "roleRef": {"kind": kind, "name": role}, "subjects": subjects}


@pytest.fixture
def jane(api: Api, namespace: str) -> dict[str, str]:
    """May do in the namespace what its administrators may."""
    user = f"jane-{namespace}"
    made = api("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", binding("jane", "ClusterRole/admin", user))
    assert made.code == 201, made
    return as_(user)


def test_an_administrator_of_a_namespace(api: Api, namespace: str, jane: dict[str, str]) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert api("POST", maps, {"metadata": {"name": "c"}}, jane).code == 201
    assert api("GET", maps, headers=jane).json["items"]
    assert api("GET", f"/api/v1/namespaces/{namespace}", headers=jane).code == 200
    for path in ("/api/v1/configmaps", "/api/v1/namespaces/default/configmaps", "/api/v1/nodes", "/api/v1/namespaces"):
        assert api("GET", path, headers=jane).code == 403, path
    assert api("DELETE", f"/api/v1/namespaces/{namespace}", headers=jane).code == 403
    assert api("GET", "/metrics", headers=jane).code == 403


def test_the_clusters_objects_are_not_to_be_had_through_a_namespace(api: Api, namespace: str) -> None:
    """Whoever may do everything in a namespace could do everything, else."""
    root = as_("root-of-one")
    all_ = binding("all", "ClusterRole/cluster-admin", "root-of-one")
    assert api("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", all_).code == 201
    assert api("GET", f"/api/v1/namespaces/{namespace}/secrets", headers=root).code == 200
    for path in (
        f"/api/v1/namespaces/{namespace}/nodes",
        f"/api/v1/namespaces/{namespace}/namespaces",
        f"/api/v1/namespaces/{namespace}/namespaces/default",
        f"{RBAC}/namespaces/{namespace}/clusterroles",
        f"{RBAC}/namespaces/{namespace}/clusterroles/view",
    ):
        assert api("GET", path, headers=root).code == 404, path
    everyone = binding("x", "ClusterRole/cluster-admin", "root-of-one")
    assert api("POST", f"{RBAC}/namespaces/{namespace}/clusterrolebindings", everyone, root).code == 404


def test_a_binding_gone_is_a_right_gone(api: Api, namespace: str, jane: dict[str, str]) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert api("GET", maps, headers=jane).code == 200
    assert api("DELETE", f"{RBAC}/namespaces/{namespace}/rolebindings/jane").code == 200
    refused = api("GET", maps, headers=jane)
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    assert refused.json["message"] == (
        f'configmaps is forbidden: User "{jane["Impersonate-User"]}" cannot list resource "configmaps" '
        f'in API group "" in the namespace "{namespace}"'
    )
    assert refused.json["details"] == {"kind": "configmaps"}


def test_roles_and_bindings_do_not_escalate(api: Api, namespace: str, jane: dict[str, str]) -> None:
    roles, bindings = (f"{RBAC}/namespaces/{namespace}/{plural}" for plural in ("roles", "rolebindings"))
    nodes = {**READ, "resources": ["nodes"]}
    assert api("POST", roles, {"metadata": {"name": "own"}, "rules": [READ]}, jane).code == 201
    refused = api("POST", roles, {"metadata": {"name": "more"}, "rules": [nodes]}, jane)
    assert refused.code == 403
    assert refused.json["message"].endswith(
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list" "watch"]}'
    )
    grown = {"rules": [READ, nodes]}
    assert api("PATCH", f"{roles}/own", grown, {**jane, **MERGE}).code == 403
    assert api("PATCH", f"{roles}/own", {"metadata": {"labels": {"a": "b"}}}, {**jane, **MERGE}).code == 200
    assert api("POST", bindings, binding("own", "Role/own", "joe"), jane).code == 201
    assert api("POST", bindings, binding("root", "ClusterRole/cluster-admin", "joe"), jane).code == 403
    assert api("POST", bindings, binding("none", "ClusterRole/none", "joe"), jane).code == 404
    assert api("GET", f"/api/v1/namespaces/{namespace}/configmaps", headers=as_("joe")).code == 200


def test_a_role_ref_stays(api: Api, namespace: str, jane: dict[str, str]) -> None:
    path = f"{RBAC}/namespaces/{namespace}/rolebindings/jane"
    refused = api("PATCH", path, {"roleRef": {"name": "view"}}, MERGE)
    assert refused.code == 422
    assert refused.json["message"].endswith("cannot change roleRef")


def test_an_update_that_creates_needs_both_rights(api: Api, namespace: str) -> None:
    role = {"metadata": {"name": "updater"}, "rules": [
        {"verbs": ["update", "get"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}]}  # fmt: skip
    assert api("POST", f"{RBAC}/namespaces/{namespace}/roles", role).code == 201
    bound = binding("updater", "Role/updater", "updater")
    assert api("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", bound).code == 201
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/l"
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "x"}}
    refused = api("PUT", path, lease, as_("updater"))
    assert refused.code == 403 and "cannot create resource" in refused.json["message"]
    assert api("PUT", path, lease).code == 201
    assert api("PUT", path, lease | {"spec": {"holderIdentity": "y"}}, as_("updater")).code in (200, 422)


def test_aggregated_roles_follow_their_parts(api: Api, namespace: str) -> None:
    part: Object = {
        "metadata": {"name": f"part-{namespace}", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"verbs": ["get"], "apiGroups": [f"{namespace}.example.com"], "resources": ["widgets"]}],
    }
    revision = api("GET", f"{RBAC}/clusterroles").json["metadata"]["resourceVersion"]
    assert api("POST", f"{RBAC}/clusterroles", part).code == 201
    watch = f"{RBAC}/clusterroles?watch=true&resourceVersion={revision}&timeoutSeconds=10"
    # view is part of edit, and edit of admin.
    waiting = {"view", "edit", "admin"}
    for event in api.events(watch, 4):
        name = event["object"]["metadata"]["name"]
        if part["rules"][0] in event["object"].get("rules", []):
            waiting.discard(name)
    assert not waiting
    assert api("DELETE", f"{RBAC}/clusterroles/part-{namespace}").code == 200


def test_the_roles_of_every_cluster_come_back_with_the_server(api: Api) -> None:
    from apiserver.control.policykeeper import PolicyKeeper

    path = f"{RBAC}/clusterroles/system:node-problem-detector"
    PolicyKeeper(api.server.rest, threading.Event()).run()  # at the latest now they are there
    assert api("GET", path).json["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "rbac-defaults"}
    api("PATCH", path, {"rules": [], "metadata": {"labels": {"mine": "too"}}}, MERGE)
    api("DELETE", f"{RBAC}/clusterrolebindings/system:node-proxier")
    other = binding("system:node-proxier", "ClusterRole/view", "somebody")
    assert api("POST", f"{RBAC}/clusterrolebindings", other).code == 201
    PolicyKeeper(api.server.rest, threading.Event()).run()
    role = api("GET", path).json
    assert len(role["rules"]) == 8, "each missing right by itself"
    assert role["metadata"]["labels"]["mine"] == "too"
    bound = api("GET", f"{RBAC}/clusterrolebindings/system:node-proxier").json
    assert bound["roleRef"]["name"] == "system:node-proxier"
    assert [subject["name"] for subject in bound["subjects"]] == ["system:kube-proxy"]


def test_access_reviews(api: Api, namespace: str, jane: dict[str, str]) -> None:
    asked = {"verb": "create", "resource": "pods", "namespace": namespace}
    mine = api("POST", f"{REVIEWS}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": asked}}, jane)
    assert mine.code == 201
    assert mine.json["kind"] == "SelfSubjectAccessReview"
    assert mine.json["status"]["allowed"] and mine.json["status"]["reason"].startswith('RBAC: allowed by RoleBinding "')
    hers = {"spec": {"user": jane["Impersonate-User"], "resourceAttributes": asked}}
    assert api("POST", f"{REVIEWS}/subjectaccessreviews", hers).json["status"]["allowed"]
    assert api("POST", f"{REVIEWS}/subjectaccessreviews", hers, jane).code == 403
    local = f"{REVIEWS}/namespaces/{namespace}/localsubjectaccessreviews"
    assert api("POST", local, hers, jane).json["status"]["allowed"]
    elsewhere = {"metadata": {"namespace": "default"}, **hers}
    assert api("POST", local, elsewhere, jane).code == 400
    rules = api("POST", f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": namespace}}, jane).json["status"]
    assert {"verbs": ["create"], "apiGroups": [""], "resources": ["pods/eviction"]} in rules["resourceRules"]
    assert not rules["incomplete"]
    table = {**jane, "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    refused = api("POST", f"{REVIEWS}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": asked}}, table)
    assert refused.code == 406
    assert api("POST", f"{REVIEWS}/selfsubjectaccessreviews", {"spec": {}}, jane).code == 422
    assert api("GET", f"{REVIEWS}/selfsubjectaccessreviews").code == 405


def test_impersonation(api: Api, namespace: str) -> None:
    who = {**as_("ann", "devs", "ops"), "Impersonate-Uid": "u", "Impersonate-Extra-Acme.com%2fTeam": "red"}
    me = api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, who).json["status"]["userInfo"]
    assert me == {
        "username": "ann",
        "uid": "u",
        "groups": ["devs", "ops", "system:authenticated"],
        "extra": {"acme.com/team": ["red"]},
    }
    somebody = {"Authorization": "Bearer somebody-token"}
    refused = api("GET", "/api", headers={**somebody, **as_("admin")})
    assert refused.code == 403
    assert refused.json["message"] == (
        'users "admin" is forbidden: User "somebody" cannot impersonate resource "users" in API group "" '
        "at the cluster scope"
    )
    assert api("GET", "/api", headers={**somebody, "Impersonate-Group": "system:masters"}).code == 400


def test_a_kubelet(api: Api, namespace: str) -> None:
    kubelet = as_("system:node:n1", "system:nodes")
    assert api("POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}, kubelet).code == 403
    api("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}}, kubelet)
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    for name in ("used", "other"):
        assert api("POST", secrets, {"metadata": {"name": name}}).code == 201
    pod = {
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "secret": {"secretName": "used"}}],
        },
    }
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert api("GET", f"{secrets}/used", headers=kubelet).code == 403
    made = api("POST", pods, pod)
    assert made.code == 201, made
    assert api("GET", f"{secrets}/used", headers=kubelet).code == 200
    assert api("GET", f"{secrets}?fieldSelector=metadata.name=used", headers=kubelet).code == 200
    assert api("GET", f"{secrets}/other", headers=kubelet).code == 403
    assert api("GET", secrets, headers=kubelet).code == 403
    assert api("GET", f"{secrets}/used", headers=as_("system:node:n2", "system:nodes")).code == 403

    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made.json["metadata"]["uid"]}
    assert api("POST", account, {"spec": {"boundObjectRef": bound}}, kubelet).code == 201
    refused = api("POST", account, {"spec": {}}, kubelet)
    assert (refused.code, refused.json["message"]) == (
        403,
        'serviceaccounts "default" is forbidden: node requested token not bound to a pod',
    )
    status = {"status": {"phase": "Running"}}
    assert api("PATCH", f"{pods}/p/status", status, {**kubelet, **MERGE}).code == 200
    other = as_("system:node:n2", "system:nodes")
    assert api("PATCH", f"{pods}/p/status", status, {**other, **MERGE}).code == 403
    tainted = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    assert api("PATCH", "/api/v1/nodes/n1", tainted, {**kubelet, **MERGE}).code == 403
    assert api("POST", f"{pods}/p/eviction", {"metadata": {"name": "p"}}, other).code == 403
    assert api("DELETE", f"{pods}/p?gracePeriodSeconds=0", headers=kubelet).code == 200
    assert api("GET", f"{secrets}/used", headers=kubelet).code == 403


def test_a_right_given_through_one_worker_counts_in_the_other_at_once(served: Served) -> None:
    """Each connection stays with its worker; enough of them reach both."""
    connections = [served.connect() for _ in range(8)]
    maps, bindings = "/api/v1/namespaces/default/configmaps", f"{RBAC}/namespaces/default/rolebindings"
    for number in range(20):
        user = as_(f"user-{number}")
        giver, asker = connections[number % 8], connections[(number + 3) % 8]
        assert served("GET", maps, headers=user, connection=asker).code == 403
        made = binding(f"b-{number}", "ClusterRole/view", user["Impersonate-User"])
        assert served("POST", bindings, made, connection=giver).code == 201
        assert [served("GET", maps, headers=user, connection=each).code for each in connections] == [200] * 8
        assert served("DELETE", f"{bindings}/b-{number}", connection=giver).code == 200
        assert [served("GET", maps, headers=user, connection=each).code for each in connections] == [403] * 8
