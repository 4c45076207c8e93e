"""The kinds that show the same stored objects in two forms: events of both groups."""

from __future__ import annotations

import json
from typing import Any

import pytest
from integration.apiserver.conftest import Api

pytestmark = pytest.mark.etcd

Object = dict[str, Any]
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def core(namespace: str, *parts: str) -> str:
    return "/".join((f"/api/v1/namespaces/{namespace}/events", *parts))


def newer(namespace: str, *parts: str) -> str:
    return "/".join((f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", *parts))


def event(namespace: str, name: str = "e", **fields: Any) -> Object:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "labels": {"made": "here"}},
        "regarding": {"namespace": namespace},
        "eventTime": "2017-09-19T13:49:16.000000Z",
        "note": f"This is {name}",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
        **fields,
    }


def test_what_one_group_writes_the_other_shows(api: Api, namespace: str) -> None:
    made = api("POST", newer(namespace), event(namespace))
    assert (made.code, made.json["apiVersion"], made.json["note"]) == (201, "events.k8s.io/v1", "This is e")
    shown = api("GET", core(namespace, "e")).json
    assert (shown["apiVersion"], shown["message"], shown["reportingComponent"]) == (
        "v1",
        "This is e",
        "test-controller",
    )
    assert shown["involvedObject"] == {"namespace": namespace}
    assert shown["metadata"] == made.json["metadata"]
    old = {"metadata": {"name": "old"}, "involvedObject": {"kind": "Pod", "namespace": namespace}, "message": "m"}
    assert api("POST", core(namespace), old).code == 201
    listed = api("GET", newer(namespace)).json
    assert (listed["apiVersion"], listed["kind"]) == ("events.k8s.io/v1", "EventList")
    assert [item["note"] for item in listed["items"]] == ["This is e", "m"]


def test_each_group_selects_by_its_own_names(api: Api, namespace: str) -> None:
    api("POST", newer(namespace), event(namespace))
    for path, selector, count in (
        (core, "source=test-controller", 1),
        (core, "source=other", 0),
        (newer, "reportingController=test-controller", 1),
        (newer, f"regarding.namespace={namespace}", 1),
    ):
        assert len(api("GET", f"{path(namespace)}?fieldSelector={selector}").json["items"]) == count
    wrong = api("GET", f"{newer(namespace)}?fieldSelector=source=x")
    assert (wrong.code, wrong.json["reason"]) == (400, "BadRequest")


def test_life_in_the_newer_group(api: Api, namespace: str) -> None:
    api("POST", newer(namespace), event(namespace))
    at = newer(namespace, "e")
    refused = api("PATCH", at, {"action": "Undo"}, STRATEGIC)
    assert (refused.code, refused.json["message"]) == (
        422,
        'Event "e" is invalid: action: Invalid value: "Undo": field is immutable',
    )
    assert api("PATCH", at, {"note": "the first"}, STRATEGIC).json["note"] == "the first"
    before = api("GET", at).json
    before["series"] = {"count": 100, "lastObservedTime": "2017-09-19T13:49:16.000000Z"}
    after = api("PUT", at, before)
    assert after.code == 200
    assert after.json["series"] == before["series"]
    assert api("PATCH", core(namespace, "e"), {"message": "patched"}, MERGE).json["message"] == "patched"
    assert api("GET", at).json["note"] == "patched"
    gone = api("DELETE", at)
    assert (gone.code, gone.json["details"]["kind"]) == (200, "events")
    missing = api("GET", at)
    assert (missing.code, missing.json["message"]) == (404, 'events "e" not found')


def test_strict_decoding_knows_each_groups_fields(api: Api, namespace: str) -> None:
    wrong = event(namespace, message="core")
    answer = api("POST", f"{newer(namespace)}?fieldValidation=Strict", wrong)
    assert (answer.code, 'unknown field "message"' in answer.json["message"]) == (400, True)
    mixed = api("POST", core(namespace), event(namespace))
    assert mixed.code == 400


def test_server_side_apply_in_the_newer_group(api: Api, namespace: str) -> None:
    def apply(manager: str, **fields: Any) -> Any:
        body = {**event(namespace), **fields}
        return api("PATCH", f"{newer(namespace, 'e')}?fieldManager={manager}", body, APPLY)

    assert (apply("a").code, apply("a", note="again").json["note"]) == (201, "again")
    assert api("GET", core(namespace, "e")).json["message"] == "again"
    conflict = apply("b", note="other")
    assert (conflict.code, conflict.json["reason"]) == (409, "Conflict")


def test_a_collection_is_deleted_in_either_group(api: Api, namespace: str) -> None:
    for name in ("a", "b"):
        api("POST", newer(namespace), event(namespace, name))
    deleted = api("DELETE", f"{newer(namespace)}?labelSelector=made=here")
    assert [item["note"] for item in deleted.json["items"]] == ["This is a", "This is b"]
    assert api("GET", core(namespace)).json["items"] == []


def test_both_groups_print_the_same_table(api: Api, namespace: str) -> None:
    api("POST", newer(namespace), event(namespace))
    tables = [api("GET", path(namespace), None, TABLE).json for path in (core, newer)]
    assert tables[0]["rows"][0]["cells"][1:] == tables[1]["rows"][0]["cells"][1:]
    assert tables[1]["rows"][0]["object"]["metadata"]["name"] == "e"


def test_a_watch_in_the_newer_group(api: Api, namespace: str) -> None:
    start = api("GET", newer(namespace)).json["metadata"]["resourceVersion"]
    old = {"metadata": {"name": "old"}, "involvedObject": {"kind": "Pod", "namespace": namespace}, "message": "m"}
    api("POST", core(namespace), old)
    seen = api("GET", f"{newer(namespace)}?watch=1&resourceVersion={start}&timeoutSeconds=1")
    first = json.loads(seen.body.splitlines()[0])
    assert (first["type"], first["object"]["apiVersion"], first["object"]["note"]) == ("ADDED", "events.k8s.io/v1", "m")
