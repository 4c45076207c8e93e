"""Server-side apply and managed fields through the API, on both stores."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from integration.apiserver.conftest import Api

from machinery.objects import Object

APPLY = {"Content-Type": "application/apply-patch+yaml"}
FIELDS_V1 = "fieldsV1"


def config_map(name: str = "a", **data: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def apply(api: Api, namespace: str, body: Any, *, query: str = "", plural: str = "configmaps", name: str = "a") -> Any:
    """As the manager "one", unless ``query`` says otherwise."""
    query = query if "fieldManager" in query else f"fieldManager=one&{query}"
    return api("PATCH", f"/api/v1/namespaces/{namespace}/{plural}/{name}?{query}", body, APPLY)


def managers(obj: Object) -> dict[str, Any]:
    """ "manager operation [subresource]" → what it owns."""
    return {
        " ".join(filter(None, (e["manager"], e["operation"], e.get("subresource")))): e[FIELDS_V1]
        for e in obj["metadata"].get("managedFields", [])
    }


def test_created_and_then_changed(api: Api, namespace: str) -> None:
    created = apply(api, namespace, config_map(k="1"))
    assert created.code == 201
    assert managers(created.json) == {"one Apply": {"f:data": {"f:k": {}}}}
    assert created.json["metadata"]["namespace"] == namespace
    again = apply(api, namespace, config_map(k="1"))
    assert (again.code, again.json) == (200, created.json)
    changed = apply(api, namespace, config_map(l="1"))
    assert (changed.code, changed.json["data"]) == (200, {"l": "1"})
    assert changed.json["metadata"]["uid"] == created.json["metadata"]["uid"]


def test_yaml_and_json(api: Api, namespace: str) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {k: '1'}\n"
    assert apply(api, namespace, text).json["data"] == {"k": "1"}
    assert apply(api, namespace, b"  " + json.dumps(config_map(k="2")).encode()).json["data"] == {"k": "2"}
    assert apply(api, namespace, b"{apiVersion: v1, kind: ConfigMap, data: {k: '3'}}").json["data"] == {"k": "3"}


def test_conflict(api: Api, namespace: str) -> None:
    apply(api, namespace, config_map(k="1", l="1"))
    answer = apply(api, namespace, config_map(k="2"), query="fieldManager=two")
    assert answer.code == 409
    assert answer.json["reason"] == "Conflict"
    assert answer.json["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.k'
    assert answer.json["details"] == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.k"}]
    }
    forced = apply(api, namespace, config_map(k="2"), query="fieldManager=two&force=true")
    assert forced.json["data"] == {"k": "2", "l": "1"}
    assert managers(forced.json) == {"one Apply": {"f:data": {"f:l": {}}}, "two Apply": {"f:data": {"f:k": {}}}}


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("fieldManager=", 422, "fieldManager: Required value: is required for apply patch"),
        ("fieldManager=" + "x" * 129, 422, "fieldManager: Too long: may not be more than 128 bytes"),
        ("fieldManager=a%0A", 422, "invalid character U+000A (at position 1)"),
    ],
)
def test_options(api: Api, namespace: str, query: str, code: int, message: str) -> None:
    answer = apply(api, namespace, config_map(), query=query)
    assert answer.code == code
    assert answer.json["message"].startswith('PatchOptions.meta.k8s.io "" is invalid: ')
    assert message in answer.json["message"]


def test_an_apply_without_a_manager(api: Api, namespace: str) -> None:
    answer = api("PATCH", f"/api/v1/namespaces/{namespace}/configmaps/a", config_map(), APPLY)
    assert (answer.code, answer.json["message"]) == (
        422,
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    )


def test_force_is_for_apply_only(api: Api, namespace: str) -> None:
    apply(api, namespace, config_map())
    path = f"/api/v1/namespaces/{namespace}/configmaps/a?force=true"
    answer = api("PATCH", path, {}, {"Content-Type": "application/merge-patch+json"})
    assert answer.code == 422
    assert "force: Forbidden: may not be specified for non-apply patch" in answer.json["message"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", 400, "invalid object type: /, Kind="),
        (b"{}", 400, "invalid object type: /, Kind="),
        ({"apiVersion": "v1", "kind": "Secret"}, 400, "invalid object type: /v1, Kind=Secret"),
        ({"apiVersion": "apps/v1", "kind": "ConfigMap"}, 400, "invalid object type: apps/v1, Kind=ConfigMap"),
        (b"[]", 400, "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array"),
        (b"{a: [", 400, "error decoding YAML: error converting YAML to JSON: yaml: line 2: "),
        (b'{"a": ', 400, "error decoding YAML: error converting YAML to JSON: yaml: line 2: "),
        (config_map() | {"metadata": {"name": "a", "managedFields": []}}, 400, "metadata.managedFields must be nil"),
        (config_map() | {"nonsense": 1}, 400, "/a; /v1, Kind=ConfigMap): .nonsense: field not declared in schema"),
        (config_map(k=1), 400, "/a; /v1, Kind=ConfigMap): .data.k: expected string, got &value."),
        (config_map() | {"metadata": "x"}, 400, ".metadata: expected map, got &{x}"),
        (config_map("b"), 400, "the name of the object (b) does not match the name on the URL (a)"),
        (config_map() | {"metadata": {}}, 400, "(a based on URL) was undeterminable: name must be provided"),
        (config_map() | {"metadata": {"name": "a", "namespace": "x"}}, 400, "the namespace of the provided object"),
        (config_map() | {"metadata": {"name": "a", "uid": "x"}}, 409, "uid mismatch: the provided object specified"),
        (config_map() | {"metadata": {"name": "a", "resourceVersion": "1"}}, 409, "the object does not exist"),
        (config_map(**{"not/a/key": "1"}), 422, "data[not/a/key]: Invalid value"),
    ],
)  # fmt: skip
def test_bad_bodies(api: Api, namespace: str, body: Any, code: int, message: str) -> None:
    answer = apply(api, namespace, body)
    assert answer.code == code
    assert message in answer.json["message"]
    assert api("GET", f"/api/v1/namespaces/{namespace}/configmaps/a").code == 404


def test_duplicate_keys(api: Api, namespace: str) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},\n"data":{"k":"1","k":"2"}}'
    strict = apply(api, namespace, body, query="fieldValidation=Strict")
    assert strict.code == 400
    assert strict.json["message"] == (
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 2: key "k" already set in map'
    )
    warned = apply(api, namespace, body, query="fieldValidation=Warn")
    assert warned.code == 201
    assert 'key \\"k\\" already set in map' in warned.headers["Warning"]
    assert "Warning" not in apply(api, namespace, body, query="fieldValidation=Ignore").headers


def test_preconditions(api: Api, namespace: str) -> None:
    obj = apply(api, namespace, config_map(k="1")).json
    stale = config_map(k="2") | {"metadata": {"name": "a", "resourceVersion": "1"}}
    assert apply(api, namespace, stale).code == 409
    fresh = {"name": "a", "resourceVersion": obj["metadata"]["resourceVersion"], "uid": obj["metadata"]["uid"]}
    assert apply(api, namespace, config_map(k="2") | {"metadata": fresh}).code == 200
    assert apply(api, namespace, config_map(k="3") | {"metadata": fresh | {"resourceVersion": ""}}).code == 200
    assert apply(api, namespace, config_map(k="4") | {"metadata": {"name": "a", "uid": "other"}}).code == 409


def test_dry_run(api: Api, namespace: str) -> None:
    assert apply(api, namespace, config_map(k="1"), query="dryRun=All").json["data"] == {"k": "1"}
    assert api("GET", f"/api/v1/namespaces/{namespace}/configmaps/a").code == 404
    before = apply(api, namespace, config_map(k="1")).json
    shown = apply(api, namespace, config_map(k="2"), query="dryRun=All").json
    assert shown["data"] == {"k": "2"}
    assert api("GET", f"/api/v1/namespaces/{namespace}/configmaps/a").json == before


def pod(**spec: Any) -> Object:
    spec = {"containers": [{"name": "x", "image": "i"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}


def test_defaults_have_no_owner(api: Api, namespace: str) -> None:
    obj = apply(api, namespace, pod(), plural="pods").json
    assert obj["spec"]["restartPolicy"] == "Always"
    container: Object = {'k:{"name":"x"}': {".": {}, "f:image": {}, "f:name": {}}}
    assert managers(obj) == {"one Apply": {"f:spec": {"f:containers": container}}}


def test_what_is_created_by_others(api: Api, namespace: str) -> None:
    """Defaults are the creator's; what admission adds and status are nobody's."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    obj = api("POST", path, pod() | {"status": {"phase": "Running"}}, {"User-Agent": "kubectl/v1.32.0 (x)"}).json
    assert obj["spec"]["tolerations"]
    owned = managers(obj)["kubectl Update"]
    assert owned == {
        "f:spec": {
            "f:containers": {
                'k:{"name":"x"}': {
                    ".": {},
                    "f:image": {},
                    "f:imagePullPolicy": {},
                    "f:name": {},
                    "f:resources": {},
                    "f:terminationMessagePath": {},
                    "f:terminationMessagePolicy": {},
                }
            },
            "f:dnsPolicy": {},
            "f:enableServiceLinks": {},
            "f:restartPolicy": {},
            "f:schedulerName": {},
            "f:securityContext": {},
            "f:terminationGracePeriodSeconds": {},
        }
    }


def test_status(api: Api, namespace: str) -> None:
    apply(api, namespace, pod(), plural="pods")
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    body = pod(nodeName="other") | {"status": status}
    answer = apply(api, namespace, body, plural="pods", name="a/status", query="fieldManager=kubelet")
    assert answer.code == 200
    assert answer.json["status"]["phase"] == "Running"
    assert "nodeName" not in answer.json["spec"]
    conditions: Object = {'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}}
    assert managers(answer.json)["kubelet Apply status"] == {"f:status": {"f:conditions": conditions, "f:phase": {}}}
    # The main resource does not write status, and does not lose it either.
    assert apply(api, namespace, pod(), plural="pods").json["status"]["phase"] == "Running"
    missing = apply(api, namespace, body, plural="pods", name="missing/status")
    assert missing.code == 404


def controller(**spec: Any) -> Object:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "i"}]}}
    spec = {"selector": {"a": "b"}, "template": template, **spec}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "a"}, "spec": spec}


def test_scale(api: Api, namespace: str) -> None:
    plural, path = "replicationcontrollers", f"/api/v1/namespaces/{namespace}/replicationcontrollers/a"
    first = apply(api, namespace, controller(replicas=1), plural=plural).json
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 2}}
    refused = apply(api, namespace, scale, plural=plural, name="a/scale", query="fieldManager=two")
    assert refused.code == 409
    assert refused.json["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    taken = apply(api, namespace, scale, plural=plural, name="a/scale", query="fieldManager=two&force=true")
    assert (taken.code, taken.json["spec"]) == (200, {"replicas": 2})
    obj = api("GET", path).json
    assert managers(obj)["two Apply scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in managers(obj)["one Apply"]["f:spec"]
    assert obj["metadata"]["generation"] == first["metadata"]["generation"] + 1
    answer = apply(api, namespace, controller(replicas=3), plural=plural)
    assert answer.json["message"].endswith('conflict with "two" with subresource "scale": .spec.replicas')
    api("PUT", f"{path}/scale", scale | {"spec": {}}, {"User-Agent": "hpa"})
    obj = api("GET", path).json
    assert obj["spec"]["replicas"] == 0
    assert managers(obj)["hpa Update scale"] == {"f:spec": {"f:replicas": {}}}
    assert "two Apply scale" not in managers(obj)


def test_a_node_port_survives(api: Api, namespace: str) -> None:
    """What the server has allocated is nobody's, and stays when the Service is applied to again."""
    service: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    service["spec"] = {"type": "NodePort", "ports": [{"port": 80}]}
    first = apply(api, namespace, service, plural="services").json
    service["spec"]["ports"].append({"port": 81, "name": "more"})
    service["spec"]["ports"][0]["name"] = "first"
    second = apply(api, namespace, service, plural="services").json
    assert second["spec"]["clusterIP"] == first["spec"]["clusterIP"]
    assert second["spec"]["ports"][0]["nodePort"] == first["spec"]["ports"][0]["nodePort"]
    assert [port["port"] for port in second["spec"]["ports"]] == [80, 81]


def test_an_update_of_nothing_is_none(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    obj = api("POST", path, config_map(k="1"), {"User-Agent": "a"}).json
    for body in (obj, config_map(k="1"), obj | {"metadata": {"name": "a", "managedFields": None}}):
        assert api("PUT", f"{path}/a", body, {"User-Agent": "b"}).json == obj
    for kind in ("merge", "strategic-merge"):
        answer = api("PATCH", f"{path}/a", {"data": {"k": "1"}}, {"Content-Type": f"application/{kind}-patch+json"})
        assert answer.json == obj


def test_updates_and_patches(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    obj = api("POST", path, config_map(k="1", l="1"), {"User-Agent": "a/1"}).json
    obj["data"]["l"] = "2"
    api("PUT", f"{path}/a?fieldManager=b", obj)
    patch = {"Content-Type": "application/merge-patch+json", "User-Agent": "c (x)"}
    found = managers(api("PATCH", f"{path}/a", {"data": {"m": "1"}}, patch).json)
    assert found == {
        "a Update": {"f:data": {".": {}, "f:k": {}}},
        "b Update": {"f:data": {"f:l": {}}},
        "c (x) Update": {"f:data": {"f:m": {}}},
    }


def test_managed_fields_patched(api: Api, namespace: str) -> None:
    """As kubectl does when an object goes over from client-side to server-side apply."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    obj = api("POST", path, config_map(k="1"), {"User-Agent": "old"}).json
    entries = [e | {"manager": "new", "operation": "Apply"} for e in obj["metadata"]["managedFields"]]
    operations = [
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": obj["metadata"]["resourceVersion"]},
    ]
    json_patch = {"Content-Type": "application/json-patch+json"}
    patched = api("PATCH", f"{path}/a", operations, json_patch).json
    assert managers(patched) == {"new Apply": {"f:data": {".": {}, "f:k": {}}}}
    assert api("PATCH", f"{path}/a", operations, json_patch).code == 409
    reset = api(
        "PATCH", f"{path}/a", {"metadata": {"managedFields": [{}]}}, {"Content-Type": "application/merge-patch+json"}
    )
    assert "managedFields" not in reset.json["metadata"]
    assert list(managers(apply(api, namespace, config_map(l="1")).json)) == ["one Apply", "before-first-apply Update"]


def test_a_deleted_object_that_is_held(api: Api, namespace: str) -> None:
    held = config_map() | {"metadata": {"name": "a", "finalizers": ["a.b/c"]}}
    apply(api, namespace, held)
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    api("DELETE", path)
    assert apply(api, namespace, held).code == 200
    more = config_map() | {"metadata": {"name": "a", "finalizers": ["a.b/c", "a.b/d"]}}
    assert apply(api, namespace, more).code == 422
    assert apply(api, namespace, config_map()).code == 200
    assert api("GET", path).code == 404


def test_another_version(api: Api, namespace: str) -> None:
    body: Object = {"apiVersion": "discovery.k8s.io/v1beta1", "kind": "EndpointSlice", "metadata": {"name": "a"}}
    body |= {"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}], "ports": []}
    path = f"/apis/discovery.k8s.io/v1beta1/namespaces/{namespace}/endpointslices/a"
    answer = api("PATCH", f"{path}?fieldManager=one", body, APPLY)
    assert (answer.code, answer.json["apiVersion"]) == (201, "discovery.k8s.io/v1beta1")
    assert answer.json["metadata"]["managedFields"][0]["apiVersion"] == "discovery.k8s.io/v1beta1"
    stored = api("GET", path.replace("v1beta1", "v1")).json
    assert stored["endpoints"] == [{"addresses": ["1.2.3.4"], "conditions": {}}] or stored["endpoints"]
    assert api("PATCH", f"{path}?fieldManager=one", body, APPLY).code == 200
    wrong = api("PATCH", f"{path.replace('v1beta1', 'v1')}?fieldManager=one", body, APPLY)
    assert wrong.json["message"] == "invalid object type: discovery.k8s.io/v1beta1, Kind=EndpointSlice"
    api("DELETE", path)


def test_many_appliers_at_once(api: Api, namespace: str) -> None:
    """Each has a key of its own in one object that nobody has created before; none is lost."""
    codes: list[int] = []

    def work(number: int) -> None:
        body = config_map(**{f"k{number}": "1"})
        codes.append(apply(api, namespace, body, query=f"fieldManager=m{number}").code)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] * 11 + [201]
    obj = api("GET", f"/api/v1/namespaces/{namespace}/configmaps/a").json
    assert obj["data"] == {f"k{number}": "1" for number in range(12)}
    assert managers(obj) == {f"m{number} Apply": {"f:data": {f"f:k{number}": {}}} for number in range(12)}


@pytest.mark.parametrize("api", ["etcd"], indirect=True)
def test_what_does_not_fit_with_managed_fields_is_stored_without(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    many = {f"a-key-of-quite-some-length-{number}": "" for number in range(24_000)}
    created = api("POST", path, config_map(**many)).json
    assert (len(created["data"]), "managedFields" in created["metadata"]) == (24_000, False)
    more = {f"another-{key}": "" for key in list(many)[:500]}
    changed = api("PUT", f"{path}/a", config_map(**many, **more)).json
    assert (len(changed["data"]), "managedFields" in changed["metadata"]) == (24_500, False)
    small = api("PUT", f"{path}/a", config_map(k="v")).json
    assert (small["data"], managers(small)) == ({"k": "v"}, {})
    applied = apply(api, namespace, config_map(k="w"), query="force=true").json
    assert managers(applied) == {"one Apply": {"f:data": {"f:k": {}}}, "before-first-apply Update": {"f:data": {}}}
    assert apply(api, namespace, config_map(**many), query="fieldManager=two&force=true").code == 413


def test_owners_that_are_given_twice(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}
    body = config_map(k="1")
    body["metadata"]["ownerReferences"] = [owner, owner]
    keys = {"f:metadata": {"f:ownerReferences": {".": {}, 'k:{"uid":"u"}': {}}}, "f:data": {".": {}, "f:k": {}}}

    def unique(answer: Any, when: str = "") -> bool:
        warning: str = answer.headers["Warning"]
        assert warning.startswith(
            f'299 - ".metadata.ownerReferences contains duplicate entries{when}; API server dedups'
        )
        assert warning.endswith('duplicate UID(s) observed: u"')
        return bool(answer.json["metadata"]["ownerReferences"] == [owner])

    created = api("POST", path, body, {"User-Agent": "a"})
    assert unique(created)
    assert managers(created.json) == {"a Update": keys}
    changed = api("PUT", f"{path}/a", body)
    assert unique(changed)
    assert changed.json["metadata"]["resourceVersion"] == created.json["metadata"]["resourceVersion"]
    patch = {"metadata": {"ownerReferences": [owner, owner]}}
    patched = api("PATCH", f"{path}/a", patch, {"Content-Type": "application/merge-patch+json"})
    assert unique(patched, " after mutating admission happens")
    twice = apply(api, namespace, body)
    assert (twice.code, "duplicate entries for key" in twice.json["message"]) == (400, True), twice.json
