"""The verbs through the application, on both stores: codes, bodies and messages as upstream's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from integration.apiserver.conftest import Api

pytestmark = pytest.mark.etcd

CMS = "/api/v1/namespaces/{}/configmaps"


def config_map(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **more.pop("metadata", {})}, **more}


def create(api: Api, namespace: str, name: str, **more: Any) -> dict[str, Any]:
    answer = api("POST", CMS.format(namespace), config_map(name, **more))
    assert answer.code == 201, answer
    created: dict[str, Any] = answer.json
    return created


# Create


def test_create_stamps_the_object(api: Api, namespace: str) -> None:
    sent = config_map("a", metadata={"uid": "x", "creationTimestamp": "2000-01-01T00:00:00Z", "managedFields": []})
    obj = api("POST", CMS.format(namespace), {**sent, "data": {"k": "v"}}).json
    meta = obj["metadata"]
    assert (obj["kind"], obj["apiVersion"], obj["data"]) == ("ConfigMap", "v1", {"k": "v"})
    assert meta["namespace"] == namespace
    assert len(meta["uid"]) == 36
    assert not meta["creationTimestamp"].startswith("2000")
    assert int(meta["resourceVersion"]) > 0
    assert [entry["fieldsV1"] for entry in meta["managedFields"]] == [{"f:data": {".": {}, "f:k": {}}}]
    assert api("GET", CMS.format(namespace) + "/a").json == obj


def test_create_twice(api: Api, namespace: str) -> None:
    create(api, namespace, "a")
    answer = api("POST", CMS.format(namespace), config_map("a"))
    assert (answer.code, answer.json["reason"]) == (409, "AlreadyExists")
    assert answer.json["message"] == 'configmaps "a" already exists'
    assert answer.json["details"] == {"name": "a", "kind": "configmaps"}


def test_generate_name(api: Api, namespace: str) -> None:
    names = set()
    for _ in range(3):
        answer = api("POST", CMS.format(namespace), {"metadata": {"generateName": "x-"}})
        assert answer.code == 201
        names.add(answer.json["metadata"]["name"])
    assert len(names) == 3
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            {"metadata": {}},
            422,
            'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
        ),
        (
            {"metadata": {"name": "A"}},
            422,
            'ConfigMap "A" is invalid: metadata.name: Invalid value: "A": a lowercase RFC',
        ),
        (
            {"metadata": {"name": "a", "namespace": "other"}},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            {"metadata": {"name": "a", "resourceVersion": "1"}},
            400,
            "resourceVersion should not be set on objects to be created",
        ),
        ({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}, 400, "Pod"),
        (
            {"metadata": {"name": "a", "labels": {"-": "x"}}},
            422,
            'ConfigMap "a" is invalid: metadata.labels: Invalid value: "-"',
        ),
        (
            {"metadata": {"name": "a", "finalizers": ["x"]}},
            422,
            'ConfigMap "a" is invalid: metadata.finalizers: Invalid value: "x": name is neither a standard finalizer',
        ),
        (
            {"metadata": {"name": "a", "annotations": {"a": "x" * 262144}}},
            422,
            'ConfigMap "a" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes',
        ),
        (b"{", 400, "json parse error: unexpected end of data"),
        (b"", 400, ""),
        ([], 400, ""),
        ({"metadata": {"name": 3}}, 400, "cannot be handled as a ConfigMap"),
    ],
)
def test_create_refuses(api: Api, namespace: str, body: Any, code: int, message: str) -> None:
    answer = api("POST", CMS.format(namespace), body)
    assert answer.code == code, answer
    assert answer.json["kind"] == "Status"
    assert message in answer.json["message"]


def test_create_in_a_namespace_that_is_not(api: Api) -> None:
    answer = api("POST", CMS.format("nowhere"), config_map("a"))
    assert (answer.code, answer.json["message"]) == (404, 'namespaces "nowhere" not found')


def test_dry_run_stores_nothing(api: Api, namespace: str) -> None:
    answer = api("POST", CMS.format(namespace) + "?dryRun=All", config_map("a"))
    assert answer.code == 201
    assert "resourceVersion" not in answer.json["metadata"]
    assert api("GET", CMS.format(namespace) + "/a").code == 404


def test_unknown_fields_are_told_of(api: Api, namespace: str) -> None:
    answer = api("POST", CMS.format(namespace), config_map("a", colour="red"))
    assert answer.code == 201
    assert answer.headers["Warning"] == '299 - "unknown field \\"colour\\""'
    assert "colour" not in answer.json
    strict = api("POST", CMS.format(namespace) + "?fieldValidation=Strict", config_map("b", colour="red"))
    assert strict.code == 400
    assert 'strict decoding error: unknown field "colour"' in strict.json["message"]


# Get and list


def test_get_of_nothing(api: Api, namespace: str) -> None:
    answer = api("GET", CMS.format(namespace) + "/a")
    assert answer.code == 404
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "a" not found',
        "reason": "NotFound",
        "details": {"name": "a", "kind": "configmaps"},
        "code": 404,
    }


def test_list_with_selectors(api: Api, namespace: str) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "back")):
        create(api, namespace, name, metadata={"labels": {"tier": tier}})
    path = CMS.format(namespace)

    def names(query: str) -> list[str]:
        return [item["metadata"]["name"] for item in api("GET", f"{path}?{query}").json["items"]]

    assert names("") == ["a", "b", "c"]
    assert names("labelSelector=tier%3Dback") == ["b", "c"]
    assert names("labelSelector=tier%20in%20(front,back),tier!%3Dback") == ["a"]
    assert names("fieldSelector=metadata.name%3Db") == ["b"]
    assert names(f"fieldSelector=metadata.namespace!%3D{namespace}") == []
    assert api("GET", f"{path}?labelSelector=a%20in%20(").code == 400
    assert api("GET", f"{path}?fieldSelector=spec.x%3Da").code == 400


def test_list_of_all_namespaces(api: Api, namespace: str) -> None:
    create(api, namespace, "a")
    listed = api("GET", "/api/v1/configmaps").json
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert namespace in {item["metadata"]["namespace"] for item in listed["items"]}
    assert int(listed["metadata"]["resourceVersion"]) > 0


def test_chunks_are_one_consistent_list(api: Api, namespace: str) -> None:
    path = CMS.format(namespace)
    for name in "abcde":
        create(api, namespace, name)
    first = api("GET", f"{path}?limit=2").json
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    api("DELETE", path + "/d")
    create(api, namespace, "ca")
    second = api("GET", f"{path}?limit=2&continue={first['metadata']['continue']}").json
    third = api("GET", f"{path}?limit=2&continue={second['metadata']['continue']}").json
    assert [item["metadata"]["name"] for item in second["items"] + third["items"]] == ["c", "d", "e"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in third["metadata"]


def test_a_token_too_old_offers_to_go_on(api: Api, namespace: str) -> None:
    path = CMS.format(namespace)
    for name in "abc":
        create(api, namespace, name)
    token = api("GET", f"{path}?limit=1").json["metadata"]["continue"]
    api("DELETE", path + "/b")
    last = create(api, namespace, "d")
    api.server.store.compact(int(last["metadata"]["resourceVersion"]))
    gone = api("GET", f"{path}?limit=1&continue={token}")
    assert (gone.code, gone.json["reason"]) == (410, "Expired")
    rest = api("GET", f"{path}?continue={gone.json['metadata']['continue']}").json
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d"]


@pytest.mark.parametrize("token", ["x", "e30", base64.urlsafe_b64encode(b'{"v":"v0","rv":1,"start":"a"}').decode()])
def test_a_token_that_is_none(api: Api, namespace: str, token: str) -> None:
    answer = api("GET", f"{CMS.format(namespace)}?continue={token}")
    assert answer.code == 400
    assert answer.json["message"].startswith("invalid continue token: continue key is not valid")


def test_resource_versions_of_a_list(api: Api, namespace: str) -> None:
    path = CMS.format(namespace)
    old = create(api, namespace, "a")["metadata"]["resourceVersion"]
    create(api, namespace, "b")

    def names(query: str) -> list[str]:
        return [item["metadata"]["name"] for item in api("GET", f"{path}?{query}").json["items"]]

    assert names("") == ["a", "b"]
    assert names("resourceVersion=0") == ["a", "b"]
    assert names(f"resourceVersion={old}") == ["a", "b"]
    assert names(f"resourceVersion={old}&resourceVersionMatch=Exact") == ["a"]
    assert names(f"resourceVersion={old}&limit=5") == ["a"]
    future = api("GET", f"{path}?resourceVersion=99999999")
    assert (future.code, future.json["reason"]) == (504, "Timeout")
    assert "Too large resource version: 99999999, current: " in future.json["message"]
    assert api("GET", f"{path}?resourceVersion=x").code == 400
    assert api("GET", f"{path}?resourceVersionMatch=Exact").code == 422
    assert api("GET", f"{path}?resourceVersion=0&resourceVersionMatch=Exact").code == 422


# Update and patch


def test_update(api: Api, namespace: str) -> None:
    obj = create(api, namespace, "a", data={"k": "1"})
    obj["data"] = {"k": "2"}
    answer = api("PUT", CMS.format(namespace) + "/a", obj)
    assert answer.code == 200
    assert answer.json["data"] == {"k": "2"}
    assert int(answer.json["metadata"]["resourceVersion"]) > int(obj["metadata"]["resourceVersion"])
    for field in ("uid", "creationTimestamp", "name", "namespace"):
        assert answer.json["metadata"][field] == obj["metadata"][field]


def test_stale_update(api: Api, namespace: str) -> None:
    obj = create(api, namespace, "a")
    assert api("PUT", CMS.format(namespace) + "/a", {**obj, "data": {"k": "1"}}).code == 200
    answer = api("PUT", CMS.format(namespace) + "/a", {**obj, "data": {"k": "2"}})
    assert (answer.code, answer.json["reason"]) == (409, "Conflict")
    assert answer.json["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_an_update_without_change_writes_nothing(api: Api, namespace: str) -> None:
    obj = create(api, namespace, "a", data={"k": "1", "l": "2"})
    again = {**obj, "data": {"l": "2", "k": "1"}}
    assert api("PUT", CMS.format(namespace) + "/a", again).json == obj


def test_update_of_nothing_and_of_another_name(api: Api, namespace: str) -> None:
    assert api("PUT", CMS.format(namespace) + "/a", config_map("a")).code == 404
    create(api, namespace, "a")
    answer = api("PUT", CMS.format(namespace) + "/a", config_map("b"))
    assert answer.code == 400
    assert answer.json["message"] == "the name of the object (b) does not match the name on the URL (a)"


def test_update_of_another_incarnation(api: Api, namespace: str) -> None:
    create(api, namespace, "a")
    answer = api("PUT", CMS.format(namespace) + "/a", config_map("a", metadata={"uid": "x"}))
    uid = api("GET", CMS.format(namespace) + "/a").json["metadata"]["uid"]
    assert (answer.code, answer.json["message"]) == (409, wrong_uid(namespace, "x", uid))


def wrong_uid(namespace: str, sent: str, found: str) -> str:
    return (
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, '
        f"Key: /registry/configmaps/{namespace}/a, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {sent}, UID in object meta: {found}"
    )


def test_update_of_what_was_deleted_meanwhile(api: Api, namespace: str) -> None:
    """A client that read the object, with its uid, hears of a conflict; it must not think that it may create it."""
    found = create(api, namespace, "a")
    path = CMS.format(namespace) + "/a"
    assert api("DELETE", path).code == 200
    answer = api("PUT", path, found)
    assert (answer.code, answer.json["reason"]) == (409, "Conflict")
    assert answer.json["message"] == wrong_uid(namespace, found["metadata"]["uid"], "")
    found["metadata"].pop("uid")
    assert api("PUT", path, found).json["message"] == 'configmaps "a" not found'


def test_a_new_object_has_no_resource_version(api: Api, namespace: str) -> None:
    answer = api("POST", CMS.format(namespace), config_map("a", metadata={"resourceVersion": "1"}))
    assert (answer.code, answer.json["message"]) == (400, "resourceVersion should not be set on objects to be created")


def test_an_object_that_etcd_would_not_take(api: Api, namespace: str) -> None:
    finalizers = [f"example.com/{number}-{'x' * 50}" for number in range(10_000)]
    body = config_map("a", metadata={"finalizers": finalizers}, data={"k": "x" * 1_000_000})
    answer = api("POST", CMS.format(namespace), body)
    assert (answer.code, answer.json["message"]) == (413, "etcdserver: request is too large")


def test_patches(api: Api, namespace: str) -> None:
    create(api, namespace, "a", data={"k": "1"})
    path = CMS.format(namespace) + "/a"

    def patch(kind: str, body: Any) -> Any:
        return api("PATCH", path, body, {"Content-Type": f"application/{kind}"})

    assert patch("merge-patch+json", {"data": {"l": "2"}}).json["data"] == {"k": "1", "l": "2"}
    assert patch("strategic-merge-patch+json", {"data": {"k": None}}).json["data"] == {"l": "2"}
    operations = [{"op": "test", "path": "/data/l", "value": "2"}, {"op": "add", "path": "/data/m", "value": "3"}]
    assert patch("json-patch+json", operations).json["data"] == {"l": "2", "m": "3"}
    assert patch("merge-patch+json", {"metadata": {"resourceVersion": "1"}}).code == 409
    assert patch("merge-patch+json", {"metadata": {"name": "b"}}).code == 400
    assert patch("json", {}).code == 415
    assert patch("x", {}).code == 415
    assert patch("merge-patch+json", b"{").code == 400


def test_an_immutable_config_map(api: Api, namespace: str) -> None:
    obj = create(api, namespace, "a", immutable=True, data={"k": "1"})
    answer = api("PUT", CMS.format(namespace) + "/a", {**obj, "data": {"k": "2"}})
    assert answer.code == 422


# Delete


def test_what_is_odd_is_told_to_who_wrote_it(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    variables = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    spec = {"containers": [{"name": "a", "image": "i", "env": variables}]}
    created = api("POST", path, {"metadata": {"name": "a"}, "spec": spec})
    assert 'spec.containers[0].env[1]: hides previous definition of \\"A\\"' in created.headers["Warning"]
    patch = {"Content-Type": "application/merge-patch+json"}
    assert "Warning" in api("PATCH", f"{path}/a", {"metadata": {"labels": {"k": "v"}}}, patch).headers
    status = api("PATCH", f"{path}/a/status", {"status": {"message": "m"}}, patch)
    assert (status.code, "Warning" in status.headers) == (200, False)


def test_delete_answers_with_a_status(api: Api, namespace: str) -> None:
    obj = create(api, namespace, "a")
    answer = api("DELETE", CMS.format(namespace) + "/a")
    assert answer.code == 200
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "kind": "configmaps", "uid": obj["metadata"]["uid"]}
    assert api("DELETE", CMS.format(namespace) + "/a").code == 404


def test_delete_with_preconditions(api: Api, namespace: str) -> None:
    obj = create(api, namespace, "a")
    path = CMS.format(namespace) + "/a"
    for preconditions in ({"uid": "x"}, {"resourceVersion": "1"}):
        answer = api("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions})
        assert (answer.code, answer.json["reason"]) == (409, "Conflict")
    assert api("DELETE", path, {"preconditions": {"uid": obj["metadata"]["uid"]}}).code == 200


def test_finalizers_keep_an_object(api: Api, namespace: str) -> None:
    create(api, namespace, "a", metadata={"finalizers": ["example.com/x"]})
    path = CMS.format(namespace) + "/a"
    answer = api("DELETE", path)
    assert answer.code == 200
    assert answer.json["metadata"]["deletionTimestamp"]
    again = api("POST", CMS.format(namespace), config_map("a"))
    assert again.json["message"] == 'object is being deleted: configmaps "a" already exists'
    merge = {"Content-Type": "application/merge-patch+json"}
    more = api("PATCH", path, {"metadata": {"finalizers": ["example.com/x", "example.com/y"]}}, merge)
    assert (more.code, "no new finalizers can be added" in more.json["message"]) == (422, True)
    assert api("PATCH", path, {"metadata": {"finalizers": None}}, merge).code == 200
    assert api("GET", path).code == 404


@pytest.mark.parametrize(
    ("policy", "finalizers"), [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)]
)
def test_propagation(api: Api, namespace: str, policy: str, finalizers: list[str] | None) -> None:
    create(api, namespace, "a")
    path = CMS.format(namespace) + "/a"
    assert api("DELETE", f"{path}?propagationPolicy={policy}").code == 200
    left = api("GET", path)
    assert (left.json["metadata"]["finalizers"] if left.code == 200 else None) == finalizers
    api("PATCH", path, {"metadata": {"finalizers": None}}, {"Content-Type": "application/merge-patch+json"})


def test_a_policy_that_is_none(api: Api, namespace: str) -> None:
    create(api, namespace, "a")
    answer = api("DELETE", CMS.format(namespace) + "/a", {"propagationPolicy": "Never"})
    assert answer.code == 422
    assert 'propagationPolicy: Unsupported value: "Never"' in answer.json["message"]


def test_delete_collection(api: Api, namespace: str) -> None:
    for name in "abc":
        create(api, namespace, name, metadata={"labels": {"x": "y" if name != "b" else "z"}})
    answer = api("DELETE", CMS.format(namespace) + "?labelSelector=x%3Dy")
    assert answer.code == 200
    assert [item["metadata"]["name"] for item in answer.json["items"]] == ["a", "c"]
    left = api("GET", CMS.format(namespace)).json["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


def test_a_pod_on_a_node_is_deleted_gracefully(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}
    assert api("POST", path, pod).code == 201
    deleted = api("DELETE", path + "/p").json
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 30
    sooner = api("DELETE", path + "/p?gracePeriodSeconds=5").json
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5
    assert sooner["metadata"]["deletionTimestamp"] < deleted["metadata"]["deletionTimestamp"]
    later = api("DELETE", path + "/p?gracePeriodSeconds=60").json
    assert later["metadata"]["deletionGracePeriodSeconds"] == 5
    gone = api("DELETE", path + "/p", {"gracePeriodSeconds": 0})
    assert (gone.code, gone.json["kind"]) == (200, "Pod")
    assert api("GET", path + "/p").code == 404


# What is no object


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", "/api/v1/unicorns", 404),
        ("GET", "/apis/x/v1/unicorns", 404),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("POST", "/api/v1/namespaces/default/configmaps/a", 405),
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", "/version", 405),
        ("GET", "/api/v1/namespaces/default/configmaps/a/status", 404),
        ("GET", "/api", 200),
        ("GET", "/apis", 200),
        ("GET", "/api/v1", 200),
        ("GET", "/version", 200),
        ("GET", "/healthz", 200),
        ("GET", "/livez/ping", 200),
        ("GET", "/", 200),
    ],
)
def test_paths(api: Api, method: str, path: str, code: int) -> None:
    answer = api(method, path)
    assert answer.code == code, answer
    if code >= 400:
        assert answer.json["kind"] == "Status"


def test_oversized_body(api: Api, namespace: str) -> None:
    body = json.dumps(config_map("a", data={"k": "x" * (3 << 20)})).encode()
    answer = api("POST", CMS.format(namespace), body)
    assert (answer.code, answer.json["reason"]) == (413, "RequestEntityTooLarge")


def test_media_types(api: Api, namespace: str) -> None:
    path = CMS.format(namespace)
    yaml = b"metadata: {name: yam}\ndata: {k: v}\n"
    assert api("POST", path, yaml, {"Content-Type": "application/yaml"}).code == 201
    assert api("POST", path, b"x", {"Content-Type": "text/plain"}).code == 415
    assert api("GET", path + "/yam", headers={"Accept": "image/png"}).code == 406
    assert b"kind: ConfigMap" in api("GET", path + "/yam", headers={"Accept": "application/yaml"}).body


def test_tables(api: Api, namespace: str) -> None:
    create(api, namespace, "a", data={"k": "v"})
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    table = api("GET", CMS.format(namespace), headers=accept).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [row["cells"][0] for row in table["rows"]] == ["a"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_another_version_of_a_kind(api: Api, namespace: str) -> None:
    path = f"/apis/discovery.k8s.io/v1beta1/namespaces/{namespace}/endpointslices"
    sent = {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": []}
    answer = api("POST", path, sent)
    assert answer.code == 201, answer
    assert answer.json["apiVersion"] == "discovery.k8s.io/v1beta1"
    assert api("GET", path).json["apiVersion"] == "discovery.k8s.io/v1beta1"
    assert api("GET", path.replace("v1beta1", "v1") + "/s").json["apiVersion"] == "discovery.k8s.io/v1"


# Who asks


def test_credentials(api: Api, namespace: str) -> None:
    path = CMS.format(namespace)
    wrong = api("GET", path, headers={"Authorization": "Bearer wrong"})
    assert (wrong.code, wrong.json["reason"]) == (401, "Unauthorized")
    nobody = api("GET", path, headers={"Authorization": ""})
    assert nobody.code == 403
    assert nobody.json["message"] == (
        'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" '
        f'in API group "" in the namespace "{namespace}"'
    )
    somebody = {"Authorization": "Bearer somebody-token"}
    assert api("GET", path, headers=somebody).code == 403
    assert api("GET", "/api", headers=somebody).code == 200
    assert api("GET", "/api", headers={"Authorization": ""}).json["message"] == (
        'forbidden: User "system:anonymous" cannot get path "/api"'
    )


def test_service_account_tokens(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    answer = api("POST", path + "/token", {"spec": {"expirationSeconds": 600}})
    assert answer.code == 201, answer
    bearer = {"Authorization": f"Bearer {answer.json['status']['token']}"}
    review = api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, bearer).json
    info = review["status"]["userInfo"]
    assert info["username"] == f"system:serviceaccount:{namespace}:default"
    assert f"system:serviceaccounts:{namespace}" in info["groups"]
    assert api("GET", "/api/v1/pods", headers=bearer).code == 403
    assert api("POST", path + "/token", {"spec": {"expirationSeconds": 60}}).code == 422
    other = api("POST", path + "/token", {"spec": {"audiences": ["vault"]}}).json["status"]["token"]
    assert api("GET", "/api", headers={"Authorization": f"Bearer {other}"}).code == 401
    review = {"spec": {"token": other, "audiences": ["vault"]}}
    assert api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).json["status"]["authenticated"]
    api("DELETE", path)
    assert api("GET", "/api", headers=bearer).code == 401


def test_a_token_bound_to_a_pod_goes_with_it(api: Api, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = api("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    assert pod.code == 201, pod
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod.json["metadata"]["uid"]}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = api("POST", path, {"spec": {"boundObjectRef": ref}}).json["status"]["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert api("GET", "/api", headers=bearer).code == 200
    assert api("POST", path, {"spec": {"boundObjectRef": {**ref, "uid": "x"}}}).code == 409
    assert api("POST", path, {"spec": {"boundObjectRef": {**ref, "name": "q"}}}).code == 404
    api("DELETE", pods + "/p?gracePeriodSeconds=0")
    assert api("GET", "/api", headers=bearer).code == 401
