"""A developer's own projects: namespaces that she makes, fills and removes without any right in the cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
from integration.apiserver.conftest import Api

from apiserver.features.projects import REQUESTER, UNFINISHED, Projects
from apiserver.kinds.namespaces import NAMESPACES as NAMESPACE_KIND
from apiserver.registry.writerequest import own_write

pytestmark = pytest.mark.etcd

NAMESPACES = "/api/v1/namespaces"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}


def developer(name: str = "dora") -> dict[str, str]:
    return {"Impersonate-User": name, "Impersonate-Group": "developers"}


def names(answer: Any) -> set[str]:
    return {item["metadata"]["name"] for item in answer.json["items"]}


def new_project(api: Api, user: str, **metadata: Any) -> str:
    made = api("POST", NAMESPACES, {"metadata": {"generateName": f"{user}-", **metadata}}, developer(user))
    assert made.code == 201, made
    assert made.json["metadata"]["annotations"] == {REQUESTER: user}
    name: str = made.json["metadata"]["name"]
    return name


def test_who_makes_a_namespace_is_its_administrator(api: Api) -> None:
    mine, hers = new_project(api, "dora"), new_project(api, "eve")
    path = f"{NAMESPACES}/{mine}"
    assert api("GET", path, headers=developer()).code == 200
    assert api("POST", f"{path}/configmaps", {"metadata": {"name": "c"}}, developer()).code == 201
    role = {"metadata": {"name": "friend"}, "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "eve"}]}  # fmt: skip
    assert api("POST", f"{RBAC}/namespaces/{mine}/rolebindings", role, developer()).code == 201
    assert api("GET", f"{path}/configmaps", headers=developer("eve")).code == 200
    assert api("POST", f"{path}/configmaps", {"metadata": {"name": "d"}}, developer("eve")).code == 403

    bindings = api("GET", f"{RBAC}/namespaces/{mine}/rolebindings").json["items"]
    assert {item["metadata"]["name"]: item["roleRef"]["name"] for item in bindings} == {
        "admin": "admin",
        "project-owner": "project-owner",
        "friend": "view",
    }
    for other in (hers, "default", "kube-system"):
        assert api("GET", f"{NAMESPACES}/{other}", headers=developer()).code == 403
        assert api("GET", f"{NAMESPACES}/{other}/configmaps", headers=developer()).code == 403
    for path_ in ("/api/v1/nodes", "/api/v1/pods", f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings"):
        assert api("GET", path_, headers=developer()).code == 403
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    assert api("PATCH", path, label, {**developer(), **MERGE}).code == 403
    assert api("DELETE", f"{NAMESPACES}/{hers}", headers=developer()).code == 403
    assert api("DELETE", path, headers=developer()).code in (200, 202)
    assert api("GET", path).json["status"]["phase"] == "Terminating"


def test_she_is_shown_her_own(api: Api) -> None:
    mine = {new_project(api, "fay"), new_project(api, "fay")}
    given = new_project(api, "gus")
    view = {"metadata": {"name": "fay"}, "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "fay"}]}  # fmt: skip
    assert api("POST", f"{RBAC}/namespaces/{given}/rolebindings", view, developer("gus")).code == 201
    assert names(api("GET", NAMESPACES, headers=developer("fay"))) == {*mine, given}
    first = api("GET", f"{NAMESPACES}?limit=1", headers=developer("fay")).json
    assert len(first["items"]) == 1
    rest = api("GET", f"{NAMESPACES}?limit=5&continue={first['metadata']['continue']}", headers=developer("fay"))
    assert names(rest) | {first["items"][0]["metadata"]["name"]} == {*mine, given}
    table = {**developer("fay"), "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    assert len(api("GET", NAMESPACES, headers=table).json["rows"]) == 3
    one = api("GET", f"{NAMESPACES}?fieldSelector=metadata.name=default", headers=developer("fay"))
    assert one.json["items"] == []
    nobody = {"Impersonate-User": "nobody"}
    assert api("GET", NAMESPACES, headers=nobody).code == 403
    assert api("POST", NAMESPACES, {"metadata": {"name": "nobodys"}}, nobody).code == 403
    assert "default" in names(api("GET", NAMESPACES))


def test_a_watch_shows_her_own(api: Api) -> None:
    revision = api("GET", NAMESPACES).json["metadata"]["resourceVersion"]
    mine = new_project(api, "hal")
    new_project(api, "ida")
    api("DELETE", f"{NAMESPACES}/{mine}", headers=developer("hal"))
    watch = f"{NAMESPACES}?watch=true&timeoutSeconds=1&resourceVersion={revision}"
    response = api.app.test_client().get(watch, headers={"Authorization": "Bearer admin-token", **developer("hal")})
    events = [json.loads(line) for line in response.get_data().splitlines()]
    assert {event["object"]["metadata"]["name"] for event in events} == {mine}
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "MODIFIED"]


def test_names_of_the_system_are_not_to_be_had(api: Api) -> None:
    for name in ("kube-mine", "openshift-mine"):
        refused = api("POST", NAMESPACES, {"metadata": {"name": name}}, developer())
        assert refused.code == 403
        assert "cannot request a project starting with" in refused.json["message"]
    taken = api("POST", NAMESPACES, {"metadata": {"name": "default"}}, developer())
    assert (taken.code, taken.json["reason"]) == (409, "AlreadyExists")
    assert api("GET", f"{NAMESPACES}/default", headers=developer()).code == 403


def test_nobody_can_write_the_marks_herself(api: Api, namespace: str) -> None:
    """They would make her the administrator of any namespace whose annotations she may write."""
    marks = {REQUESTER: "lou", UNFINISHED: "true"}
    mine = new_project(api, "jan", annotations={REQUESTER: "somebody-else"})
    assert api("GET", f"{NAMESPACES}/{mine}", headers=developer("jan")).code == 200
    rule = {"verbs": ["create", "get", "patch"], "apiGroups": [""], "resources": ["namespaces"]}
    api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "maker"}, "rules": [rule]})
    bound = {"metadata": {"name": "maker"}, "roleRef": {"kind": "ClusterRole", "name": "maker"},
             "subjects": [{"kind": "User", "name": "lou"}]}  # fmt: skip
    api("POST", f"{RBAC}/clusterrolebindings", bound)
    lou = {"Impersonate-User": "lou"}
    made = api("POST", NAMESPACES, {"metadata": {"generateName": "lou-", "annotations": {**marks, "a": "b"}}}, lou)
    assert (made.code, made.json["metadata"]["annotations"]) == (201, {"a": "b"})
    path = f"{NAMESPACES}/{namespace}"
    patched = api("PATCH", path, {"metadata": {"annotations": {**marks, "a": "b"}}}, {**lou, **MERGE})
    assert (patched.code, patched.json["metadata"]["annotations"]) == (200, {"a": "b"})
    Projects(api.server.rest).run()
    for name in (namespace, made.json["metadata"]["name"]):
        assert api("GET", f"{RBAC}/namespaces/{name}/rolebindings").json["items"] == []


def test_the_administrator_makes_plain_namespaces(api: Api, namespace: str) -> None:
    assert "annotations" not in api("GET", f"{NAMESPACES}/{namespace}").json["metadata"]
    assert api("GET", f"{RBAC}/namespaces/{namespace}/rolebindings").json["items"] == []


def test_a_dry_run_makes_none(api: Api) -> None:
    made = api("POST", f"{NAMESPACES}?dryRun=All", {"metadata": {"name": "dry"}}, developer())
    assert (made.code, made.json["metadata"]["annotations"]) == (201, {REQUESTER: "dora"})
    assert api("GET", f"{NAMESPACES}/dry").code == 404


def test_what_a_killed_server_left_undone_is_done_by_the_next(api: Api) -> None:
    metadata = {"generateName": "kim-", "annotations": {REQUESTER: "kim", UNFINISHED: "true"}}
    left = {"kind": "Namespace", "apiVersion": "v1", "metadata": metadata}
    name = api.server.rest.create(own_write(NAMESPACE_KIND, "", ""), left).object["metadata"]["name"]
    assert api("GET", f"{NAMESPACES}/{name}", headers=developer("kim")).code == 403
    Projects(api.server.rest).run()
    found = api("GET", f"{NAMESPACES}/{name}", headers=developer("kim"))
    assert (found.code, found.json["metadata"]["annotations"]) == (200, {REQUESTER: "kim"})
