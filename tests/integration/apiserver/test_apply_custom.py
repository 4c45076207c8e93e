"""Server-side apply to custom resources: what their schemas say of lists, maps, defaults, status and scale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from integration.apiserver.conftest import Api

from machinery.objects import Object

pytestmark = pytest.mark.etcd

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}
GROUP = "owned.example.com"
INTEGER, STRING = {"type": "integer"}, {"type": "string"}
PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {"port": INTEGER, "protocol": {**STRING, "default": "TCP"}, "name": STRING},
}
SPEC: Object = {
    "type": "object",
    "properties": {
        "size": INTEGER,
        "tags": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
        "ports": {
            "type": "array",
            "items": PORT,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
        },
        "plain": {"type": "array", "items": STRING},
        "point": {"type": "object", "properties": {"x": INTEGER, "y": INTEGER}, "x-kubernetes-map-type": "atomic"},
        "area": {"type": "object", "properties": {"x": INTEGER, "y": INTEGER}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "mode": {**STRING, "default": "plain"},
    },
}
STATUS: Object = {"type": "object", "properties": {"size": INTEGER, "phase": STRING}}
SUBRESOURCES: Object = {
    "status": {},
    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
}

Apply = Callable[..., Any]


def definition(spec: Object = SPEC, **more: Any) -> Object:
    schema = {"type": "object", "properties": {"spec": spec, "status": STATUS}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **more}
    names = {"plural": "things", "kind": "Thing"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Cluster", "names": names, "versions": [version]},
    }


def follow(api: Api, answer: Any, done: Callable[[Any], bool]) -> None:
    revision = answer.json["metadata"]["resourceVersion"]
    query = f"watch=1&fieldSelector=metadata.name=things.{GROUP}&resourceVersion={revision}&timeoutSeconds=20"
    with closing(api.follow(f"{DEFINITIONS}?{query}")) as events:
        next(event for event in events if done(event))


@pytest.fixture
def define(api: Api) -> Iterator[Callable[[Object], None]]:
    """Makes the definition what it is given; it is removed in the end, with its objects."""

    def define(crd: Object) -> None:
        answer = api("PATCH", f"{DEFINITIONS}/things.{GROUP}?fieldManager=test&force=true", crd, APPLY)
        if answer.code == 201:
            follow(api, answer, lambda event: "storedVersions" in event["object"].get("status", {}))
        else:
            assert answer.code == 200, answer

    yield define
    answer = api("DELETE", f"{DEFINITIONS}/things.{GROUP}")
    follow(api, answer, lambda event: event["type"] == "DELETED")


@pytest.fixture
def apply(api: Api) -> Apply:
    def apply(spec: Object | None, by: str = "one", *, to: str = "", query: str = "", **more: Any) -> Any:
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": "a"}, **more}
        body |= {} if spec is None else {"spec": spec}
        return api("PATCH", f"/apis/{GROUP}/v1/things/a{to}?fieldManager={by}&{query}", body, APPLY)

    return apply


def owned(obj: Object) -> dict[str, Any]:
    return {
        " ".join(filter(None, (e["manager"], e["operation"], e.get("subresource")))): e["fieldsV1"]
        for e in obj["metadata"].get("managedFields", [])
    }


def test_lists_and_maps(define: Any, apply: Apply) -> None:
    define(definition())
    created = apply({"tags": ["a", "b"], "ports": [{"port": 80}], "plain": ["x"], "area": {"x": 1}})
    assert created.code == 201
    assert created.json["spec"]["ports"] == [{"port": 80, "protocol": "TCP"}]
    assert created.json["spec"]["mode"] == "plain"
    assert owned(created.json)["one Apply"]["f:spec"] == {
        "f:area": {"f:x": {}},
        "f:plain": {},
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
        "f:tags": {'v:"a"': {}, 'v:"b"': {}},
    }
    other = apply({"tags": ["c"], "ports": [{"port": 80, "protocol": "UDP"}], "area": {"y": 2}}, "two").json["spec"]
    assert other["tags"] == ["a", "b", "c"]
    assert other["ports"] == [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}]
    assert other["area"] == {"x": 1, "y": 2}
    less = apply({"tags": ["b"], "plain": ["x"]}).json["spec"]
    assert less["tags"] == ["b", "c"]
    assert less["ports"] == [{"port": 80, "protocol": "UDP"}]
    assert less["area"] == {"y": 2}
    assert apply({"plain": ["y"]}, "two").json["message"].endswith('conflict with "one": .spec.plain')


def test_atomic_and_free(define: Any, apply: Apply) -> None:
    define(definition())
    apply({"point": {"x": 1, "y": 1}, "free": {"a": {"b": 1}, "l": [1]}})
    refused = apply({"point": {"x": 2}}, "two")
    assert refused.json["message"].endswith('conflict with "one": .spec.point')
    assert apply({"point": {"x": 2}}, "two", query="force=true").json["spec"]["point"] == {"x": 2}
    free = apply({"free": {"a": {"c": 1}}}, "two").json
    assert free["spec"]["free"] == {"a": {"b": 1, "c": 1}, "l": [1]}
    fields = owned(free)["one Apply"]["f:spec"]["f:free"]
    assert fields == {"f:a": {".": {}, "f:b": {}}, "f:l": {}}


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"nonsense": 1}, 400, f"(/a; {GROUP}/v1, Kind=Thing): .spec.nonsense: field not declared in schema"),
        ({"ports": [{"name": "x"}]}, 400, 'element that omits key field "port" (and doesn\'t have default value)'),
        ({"tags": ["a", "a"]}, 400, '.spec.tags: duplicate entries for key [="a"]'),
        ({"size": "x"}, 422, "spec.size"),
    ],
)
def test_what_does_not_fit(define: Any, apply: Apply, spec: Object, code: int, message: str) -> None:
    define(definition())
    answer = apply(spec)
    assert answer.code == code
    assert message in answer.json["message"]


def test_other_writes(api: Api, define: Any) -> None:
    define(definition())
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"size": 1}}
    path = f"/apis/{GROUP}/v1/things"
    created = api("POST", path, body, {"User-Agent": "a/1"}).json
    assert owned(created) == {"a Update": {"f:spec": {".": {}, "f:mode": {}, "f:size": {}}}}
    same = api("PATCH", f"{path}/a", {"spec": {"size": 1}}, {**MERGE, "User-Agent": "b/1"}).json
    assert same == created
    changed = api("PATCH", f"{path}/a", {"spec": {"size": 2}}, {**MERGE, "User-Agent": "b/1"}).json
    assert owned(changed) == {
        "a Update": {"f:spec": {".": {}, "f:mode": {}}},
        "b Update": {"f:spec": {"f:size": {}}},
    }


def test_empty_lists_and_maps(api: Api, define: Any) -> None:
    define(definition())
    metadata: Object = {"name": "a", "labels": {}, "annotations": {}, "finalizers": []}
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": metadata, "spec": {"free": {"a": [], "b": {}}}}
    created = api("POST", f"/apis/{GROUP}/v1/things", body, {"User-Agent": "a"}).json
    assert created["spec"]["free"] == {"a": [], "b": {}}, "which only the definition's author could call the same"
    assert created["metadata"].keys().isdisjoint({"labels", "annotations", "finalizers"})
    assert "f:metadata" not in owned(created)["a Update"]


def test_one_is_not_true(api: Api, define: Any) -> None:
    define(definition())
    path = f"/apis/{GROUP}/v1/things"
    spec: Object = {"free": {"a": 1, "l": [0]}}
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec}
    created = api("POST", path, body).json
    changed = api("PATCH", f"{path}/a", {"spec": {"free": {"a": True, "l": [False]}}}, MERGE).json
    assert changed["spec"]["free"] == {"a": True, "l": [False]}
    assert changed["metadata"]["resourceVersion"] != created["metadata"]["resourceVersion"]


def test_status_and_scale(api: Api, define: Any, apply: Apply) -> None:
    define(definition(subresources=SUBRESOURCES))
    apply({"size": 1}, status={"phase": "ignored"})
    obj = apply(None, "controller", to="/status", status={"phase": "Running"}).json
    assert obj["status"] == {"phase": "Running"}
    assert owned(obj) == {
        "one Apply": {"f:spec": {"f:size": {}}},
        "controller Apply status": {"f:status": {"f:phase": {}}},
    }
    assert obj["metadata"]["generation"] == 1
    scaled = api("PATCH", f"/apis/{GROUP}/v1/things/a/scale", {"spec": {"replicas": 3}}, {**MERGE, "User-Agent": "hpa"})
    assert scaled.json["spec"] == {"replicas": 3}
    obj = api("GET", f"/apis/{GROUP}/v1/things/a").json
    assert obj["spec"]["size"] == 3
    assert owned(obj)["hpa Update scale"] == {"f:spec": {"f:size": {}}}
    assert "one Apply" not in owned(obj)


def test_without_status_as_a_subresource_it_is_a_field_like_others(define: Any, apply: Apply) -> None:
    define(definition())
    obj = apply({"size": 1}, status={"phase": "set"}).json
    assert obj["status"] == {"phase": "set"}
    assert owned(obj)["one Apply"]["f:status"] == {"f:phase": {}}


def test_a_schema_that_changes(define: Any, apply: Apply) -> None:
    """What is owned is told anew in the terms of the new schema (upstream: reconcile_schema.go)."""
    define(definition())
    apply({"area": {"x": 1, "y": 1}, "point": {"x": 1, "y": 1}})
    properties = SPEC["properties"]
    swapped = {**SPEC, "properties": {**properties, "area": properties["point"], "point": properties["area"]}}
    define(definition(swapped))
    refused = apply({"area": {"x": 2, "y": 1}}, "two")
    assert refused.json["message"].endswith('conflict with "one": .spec.area')
    obj = apply({"point": {"x": 2}}, "two").json
    assert owned(obj)["one Apply"]["f:spec"] == {"f:area": {}, "f:point": {}}
    assert owned(obj)["two Apply"]["f:spec"] == {"f:point": {"f:x": {}}}
    assert obj["spec"]["point"] == {"x": 2, "y": 1}
