"""Every kind in every form: as objects, as rows for people, as metadata alone; one, many and watched."""

from __future__ import annotations

import json

import pytest
import yaml
from everykind import REGISTRY
from integration.apiserver.conftest import Api

from apiserver.model.kind import Kind

pytestmark = [pytest.mark.etcd, pytest.mark.parametrize("api", ["memory"], indirect=True)]
POD = {"containers": [{"name": "c", "image": "i"}]}
STORED = [kind for kind in REGISTRY.stored() if "watch" in kind.verbs]


def accept(kind: str, version: str = "v1", rest: str = "") -> dict[str, str]:
    return {"Accept": f"application/json;as={kind};g=meta.k8s.io;v={version}{rest}"}


def path(kind: Kind, version: str = "", namespace: str = "default") -> str:
    root = f"/apis/{kind.group}/{version or kind.version}" if kind.group else f"/api/{version or kind.version}"
    return f"{root}/namespaces/{namespace}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_lists(api: Api, kind: Kind, version: str) -> None:
    plain = api("GET", path(kind)).json
    assert plain["kind"] == f"{kind.kind}List"
    names = [item["metadata"]["name"] for item in plain["items"]]
    table = api("GET", path(kind), headers=accept("Table", version)).json
    assert (table["kind"], table["apiVersion"]) == ("Table", f"meta.k8s.io/{version}")
    assert [row["object"]["metadata"]["name"] for row in table["rows"]] == names
    assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"])
    assert table["columnDefinitions"][0]["format"] == "name" or kind.plural == "events"
    partial = api("GET", path(kind), headers=accept("PartialObjectMetadataList", version)).json
    assert [item["metadata"]["name"] for item in partial["items"]] == names
    assert all(set(item) == {"kind", "apiVersion", "metadata"} for item in partial["items"])
    in_yaml = yaml.safe_load(api("GET", path(kind), headers={"Accept": "application/yaml"}).body)
    assert in_yaml["kind"] == f"{kind.kind}List"
    assert not any({"kind", "apiVersion"} & item.keys() for item in plain["items"] + in_yaml["items"])


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
@pytest.mark.parametrize("form", ["", "Table", "PartialObjectMetadata"])
def test_watches(api: Api, kind: Kind, form: str) -> None:
    """A bookmark has no spec and no status: each kind's columns must live with that."""
    query = "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1&timeoutSeconds=-1"
    headers = accept(form) if form else {}
    answer = api("GET", path(kind) + query, headers=headers)
    assert (answer.code, answer.headers["Content-Type"]) == (200, "application/json")
    events = [json.loads(line) for line in answer.body.splitlines()]
    assert [event["type"] for event in events][-1] == "BOOKMARK"
    bookmark = events[-1]["object"]
    shown = bookmark["rows"][0]["object"] if form == "Table" else bookmark
    assert bookmark["kind"] == (form or kind.kind)
    assert shown["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
def test_a_form_for_one_is_none_for_many(api: Api, kind: Kind) -> None:
    answer = api("GET", path(kind), headers=accept("PartialObjectMetadata"))
    assert answer.code == 406
    assert answer.json["message"] == (
        f"you requested PartialObjectMetadata, but the requested object is a list ({kind.go_type}List)"
    )


def test_rows_with_all_of_the_object_and_with_none(api: Api, namespace: str) -> None:
    api("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    target = f"/api/v1/namespaces/{namespace}/configmaps/a"
    [row] = api("GET", f"{target}?includeObject=Object", headers=accept("Table")).json["rows"]
    assert row["object"]["data"] == {"k": "v"}
    [row] = api("GET", f"{target}?includeObject=None", headers=accept("Table")).json["rows"]
    assert row["object"] is None
    assert api("GET", f"{target}?includeObject=All", headers=accept("Table")).code == 400


@pytest.mark.parametrize(
    "form",
    ["text/html", "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", "application/json;as=X;g=x"],
)
def test_other_forms_are_not_to_be_had(api: Api, form: str) -> None:
    answer = api("GET", "/api/v1/namespaces", headers={"Accept": form})
    assert (answer.code, answer.json["reason"]) == (406, "NotAcceptable")


def test_people_get_lines_that_they_can_read(api: Api) -> None:
    answer = api("GET", "/api/v1/namespaces/default", headers={"User-Agent": "curl/8.1"})
    assert answer.body.startswith(b'{\n  "kind": "Namespace"')
    assert api("GET", "/api/v1/namespaces/none?pretty=true").body.startswith(b'{\n  "kind": "Status"')


def test_a_scale_in_every_form(api: Api, namespace: str) -> None:
    spec = {"replicas": 2, "selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}}
    controllers = f"/api/v1/namespaces/{namespace}/replicationcontrollers"
    api("POST", controllers, {"metadata": {"name": "web"}, "spec": spec})
    scale = f"{controllers}/web/scale"
    table = api("GET", scale, headers=accept("Table")).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["web", 2, 0]
    partial = api("GET", scale, headers=accept("PartialObjectMetadata")).json
    assert (partial["kind"], partial["metadata"]["name"]) == ("PartialObjectMetadata", "web")
    refused = api("GET", scale, headers=accept("PartialObjectMetadataList"))
    assert (refused.code, refused.json["reason"]) == (406, "NotAcceptable")
    assert api("GET", scale).json["kind"] == "Scale"
