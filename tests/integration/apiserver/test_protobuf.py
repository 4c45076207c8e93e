"""Protobuf over HTTP, as Go's typed clients speak it: they send it, and accept ``protobuf, json``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from everykind import ROWS
from integration.apiserver.conftest import Api
from integration.served import ADMIN, Answer

from apiserver.model.kind import Kind
from apiserver.schema import protobuf

PROTOBUF = "application/vnd.kubernetes.protobuf"
CLIENT_GO = f"{PROTOBUF},application/json"
POD = {"containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 80}]}]}


def ask(api: Api, method: str, path: str, body: Any = None, accept: str = CLIENT_GO) -> Answer:
    """Send an object as Go's clients do."""
    data = body if isinstance(body, bytes | None) else protobuf.serialize(body)
    return api(method, path, data, {"Content-Type": PROTOBUF, "Accept": accept})


def read(answer: Answer) -> Any:
    assert answer.headers["Content-Type"] == PROTOBUF
    return protobuf.parse(answer.body, "", "", "")


def test_the_life_of_an_object(api: Api, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x": ""}}, "spec": POD}
    created = ask(api, "POST", pods, pod)
    assert created.code == 201
    assert read(created) == api("GET", f"{pods}/a").json
    new = {**read(created), "metadata": {**read(created)["metadata"], "labels": {"x": "y"}}}
    updated = ask(api, "PUT", f"{pods}/a", new)
    assert (updated.code, read(updated)["metadata"]["labels"]) == (200, {"x": "y"})
    assert [entry["operation"] for entry in read(updated)["metadata"]["managedFields"]] == ["Update"]
    listed = read(ask(api, "GET", f"{pods}?labelSelector=x=y"))
    assert listed == api("GET", f"{pods}?labelSelector=x=y").json
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": "no"}}
    refused = ask(api, "DELETE", f"{pods}/a", options)
    assert (refused.code, read(refused)["reason"]) == (409, "Conflict")
    del options["preconditions"]
    assert ask(api, "DELETE", f"{pods}/a", options).code == 200
    missing = ask(api, "GET", f"{pods}/a")
    assert (missing.code, read(missing)["details"]) == (404, {"name": "a", "kind": "pods"})


def frames(answer: bytes) -> list[Any]:
    """The events of a watch: type and object."""
    found = []
    while answer:
        length = int.from_bytes(answer[:4], "big")
        event, answer = answer[4 : 4 + length], answer[4 + length :]
        name = event[2 : 2 + event[1]].decode()
        found.append((name, protobuf.parse(event[event.index(protobuf.MAGIC) :], "", "", "")))
    return found


def test_watches(api: Api, namespace: str) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    ask(api, "POST", maps, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}})
    path = f"{maps}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true"
    path += "&resourceVersionMatch=NotOlderThan"
    answer = ask(api, "GET", path)
    assert answer.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
    (first, added), (second, bookmark), *_ = frames(answer.body)
    assert (first, second) == ("ADDED", "BOOKMARK")
    assert added == api("GET", f"{maps}/a").json
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    partial = ask(api, "GET", path, accept=f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
    shown = frames(partial.body)[0][1]
    assert (shown["kind"], shown["apiVersion"], shown.keys() & {"data"}) == (
        "PartialObjectMetadata",
        "meta.k8s.io/v1",
        set(),
    )
    refused = ask(api, "GET", path, accept=f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1,application/yaml")
    wanted = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    assert (refused.code, " ".join(refused.body.decode().split()).count(wanted)) == (406, 1)


def test_an_event_is_encoded_once_for_all_watchers_of_a_form(api: Api, namespace: str) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    revision = api("GET", maps).json["metadata"]["resourceVersion"]
    api("POST", maps, {"metadata": {"name": "a"}})
    path = f"{maps}?watch=1&timeoutSeconds=1&resourceVersion={revision}"
    [(_, in_protobuf)] = [event for event in frames(ask(api, "GET", path).body) if event[0] == "ADDED"]
    in_json = json.loads(api("GET", path).body.splitlines()[0])
    assert in_json == {"type": "ADDED", "object": in_protobuf}


def without_nulls(value: Any) -> Any:
    """Protobuf has no nulls."""
    if isinstance(value, dict):
        return {key: without_nulls(child) for key, child in value.items() if child is not None}
    return [without_nulls(child) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", [row for row in ROWS if "list" in row.verbs], ids=lambda row: str(row.resource))
def test_every_list_is_the_same_in_both_forms(api: Api, kind: Kind) -> None:
    for version in kind.versions:
        root = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
        in_json = api("GET", f"{root}/{kind.plural}")
        in_protobuf = ask(api, "GET", f"{root}/{kind.plural}")
        assert in_protobuf.code == in_json.code
        if in_json.code == 200:
            assert {"items": [], **read(in_protobuf)} == without_nulls(in_json.json)


@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"])
def test_discovery(api: Api, path: str) -> None:
    assert read(ask(api, "GET", path)) == {"apiVersion": "", **api("GET", path).json}


def test_aggregated_discovery(api: Api) -> None:
    form = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    answer = ask(api, "GET", "/apis", accept=f"{PROTOBUF};{form}")
    assert answer.headers["Content-Type"] == f"{PROTOBUF};{form}"
    in_json = api("GET", "/apis", headers={"Accept": f"application/json;{form}"}).json
    assert protobuf.parse(answer.body, "", "", "") == without_nulls(in_json)


def test_metadata_and_tables(api: Api, namespace: str) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    api("POST", maps, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    for version in ("v1", "v1beta1"):
        form = f"as=PartialObjectMetadataList;g=meta.k8s.io;v={version}"
        in_json = api("GET", maps, headers={"Accept": f"application/json;{form}"}).json
        for item in in_json["items"]:
            del item["kind"], item["apiVersion"]  # Messages do not say their kind.
        assert read(ask(api, "GET", maps, accept=f"{PROTOBUF};{form}")) == in_json
    table = f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1"
    assert ask(api, "GET", maps, accept=table).code == 406
    assert ask(api, "GET", maps, accept=f"{table},application/json").json["kind"] == "ConfigMapList"


def test_bodies_of_subresources(api: Api, namespace: str) -> None:
    core = f"/api/v1/namespaces/{namespace}"
    api("POST", f"{core}/pods", {"metadata": {"name": "a"}, "spec": POD})
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": {"name": "node1"}}
    bound = ask(api, "POST", f"{core}/pods/a/binding", binding)
    assert (bound.code, read(bound)["status"]) == (201, "Success")
    assert api("GET", f"{core}/pods/a").json["spec"]["nodeName"] == "node1"

    status = {**api("GET", f"{core}/pods/a").json, "status": {"phase": "Running", "podIP": "10.0.0.1"}}
    answer = read(ask(api, "PUT", f"{core}/pods/a/status", status))
    assert (answer["kind"], answer["status"]["podIP"]) == ("Pod", "10.0.0.1")

    for version in ("v1", "v1beta1"):
        eviction = {"apiVersion": f"policy/{version}", "kind": "Eviction", "metadata": {"name": "a"}}
        options = {"deleteOptions": {"gracePeriodSeconds": 0, "dryRun": ["All"]}}
        evicted = ask(api, "POST", f"{core}/pods/a/eviction", {**eviction, **options})
        assert (evicted.code, read(evicted)["status"]) == (201, "Success")

    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = read(ask(api, "POST", f"{core}/serviceaccounts/default/token", request))
    assert token["spec"]["expirationSeconds"] == 3600
    assert token["status"].keys() == {"token", "expirationTimestamp"}

    spec = {"replicas": 1, "selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}}
    api("POST", f"{core}/replicationcontrollers", {"metadata": {"name": "web"}, "spec": spec})
    scale = read(ask(api, "GET", f"{core}/replicationcontrollers/web/scale"))
    assert (scale["apiVersion"], scale["kind"], scale["spec"]) == ("autoscaling/v1", "Scale", {"replicas": 1})
    scaled = ask(api, "PUT", f"{core}/replicationcontrollers/web/scale", {**scale, "spec": {"replicas": 0}})
    assert (scaled.code, read(scaled)["spec"]) == (200, {})
    assert api("GET", f"{core}/replicationcontrollers/web").json["spec"]["replicas"] == 0


def test_reviews(api: Api) -> None:
    group = "/apis/authorization.k8s.io/v1"
    spec = {"user": "u", "extra": {"k": ["a", "b"]}, "resourceAttributes": {"verb": "get", "resource": "pods"}}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = ask(api, "POST", f"{group}/subjectaccessreviews", review)
    assert (answer.code, read(answer)["spec"]) == (201, spec)
    assert not read(answer)["status"]["allowed"]
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = ask(api, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", who)
    assert "system:masters" in read(answer)["status"]["userInfo"]["groups"]


def test_custom_resources_have_metadata_only(api: Api, namespace: str) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema["properties"] = {"spec": {"type": "object", "additionalProperties": {"type": "integer", "default": 1}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "foos", "kind": "Foo"}
    spec = {"group": "proto.example", "scope": "Namespaced", "names": names, "versions": [version]}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = ask(api, "POST", definitions, {**crd, "metadata": {"name": "foos.proto.example"}})
    assert (made.code, read(made)["spec"]["versions"][0]["schema"]) == (201, {"openAPIV3Schema": schema})
    events = api.follow(f"{definitions}?watch=1&fieldSelector=metadata.name=foos.proto.example")
    for event in events:
        if any(each["type"] == "Established" for each in event["object"]["status"]["conditions"]):
            break
    events.close()

    foos = f"/apis/proto.example/v1/namespaces/{namespace}/foos"
    foo = {"apiVersion": "proto.example/v1", "kind": "Foo", "metadata": {"name": "a"}}
    assert api("POST", foos, foo).code == 201
    assert ask(api, "GET", f"{foos}/a").json["kind"] == "Foo"
    refused = ask(api, "GET", f"{foos}/a", accept=PROTOBUF)
    assert (refused.code, read(refused)["reason"]) == (406, "NotAcceptable")
    body = protobuf.MAGIC + b"\n\x17\n\x10proto.example/v1\x12\x03Foo\x12\x00"
    refused = ask(api, "POST", foos, body)
    assert refused.code == 415
    assert read(refused)["message"].endswith("accepted media types include: application/json, application/yaml")
    partial = read(ask(api, "GET", f"{foos}/a", accept=f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"))
    assert (partial["kind"], partial["metadata"]["name"]) == ("PartialObjectMetadata", "a")
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    assert ask(api, "DELETE", f"{foos}/a", options).code == 200
    api("DELETE", f"{definitions}/foos.proto.example")


def test_who_may_not_is_told_so_in_protobuf(api: Api) -> None:
    headers = {**ADMIN, "Authorization": "Bearer wrong", "Accept": CLIENT_GO}
    answer = api("GET", "/api/v1/pods", headers=headers)
    assert (answer.code, read(answer)["reason"]) == (401, "Unauthorized")
