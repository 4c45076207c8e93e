"""Custom resources through the API, on either store: a definition makes a kind, and takes it away again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from integration.apiserver.conftest import Api

pytestmark = pytest.mark.etcd

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
GROUP = "stable.example.com"

SPEC = {
    "type": "object",
    "required": ["cron"],
    "properties": {
        "cron": {"type": "string", "pattern": r"^(\d+|\*)( (\d+|\*)){4}$"},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "paused": {"type": "boolean"},
    },
}
STATUS = {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}
SCHEMA = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
SUBRESOURCES = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}

Define = Callable[..., str]


def version(name: str = "v1", *, storage: bool = True, served: bool = True, schema: Any = SCHEMA, **more: Any) -> Any:
    return {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


def definition(*versions: Any, plural: str = "crontabs", kind: str = "CronTab", **names: Any) -> Any:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, **names},
            "versions": list(versions) or [version()],
        },
    }


def crontab(name: str, version: str = "v1", **spec: Any) -> Any:
    spec = {"cron": "* * * * *", **spec}
    return {"apiVersion": f"{GROUP}/{version}", "kind": "CronTab", "metadata": {"name": name}, "spec": spec}


def collection(namespace: str, version: str = "v1", plural: str = "crontabs") -> str:
    return f"/apis/{GROUP}/{version}/namespaces/{namespace}/{plural}"


def conditions(crd: Any) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in crd["status"]["conditions"]}


def until(api: Api, name: str, revision: str, done: Callable[[Any], bool]) -> Any:
    """Follows a definition from a revision on, up to the event that is waited for."""
    path = f"{DEFINITIONS}?watch=1&fieldSelector=metadata.name={name}&resourceVersion={revision}&timeoutSeconds=20"
    with closing(api.follow(path)) as events:
        return next(event["object"] for event in events if done(event))


def remove(api: Api, name: str) -> None:
    answer = api("DELETE", f"{DEFINITIONS}/{name}")
    if answer.code == 200:
        until(api, name, answer.json["metadata"]["resourceVersion"], lambda event: event["type"] == "DELETED")


@pytest.fixture
def define(api: Api) -> Iterator[Define]:
    """Creates a definition, waits until it is served, and removes it in the end."""
    made: list[str] = []

    def create(crd: Any) -> str:
        answer = api("POST", DEFINITIONS, crd)
        assert answer.code == 201, answer
        name: str = crd["metadata"]["name"]
        made.append(name)
        revision = answer.json["metadata"]["resourceVersion"]
        until(api, name, revision, lambda event: conditions(event["object"]).get("Established", [""])[0] == "True")
        return name

    yield create
    for name in made:
        remove(api, name)


def test_a_definition_is_served_at_once_and_gone_with_its_objects(api: Api, namespace: str, define: Define) -> None:
    name = define(definition(shortNames=["ct"], categories=["all"]))
    crd = api("GET", f"{DEFINITIONS}/{name}").json
    assert crd["status"]["acceptedNames"] == {
        "plural": "crontabs",
        "singular": "crontab",
        "kind": "CronTab",
        "listKind": "CronTabList",
        "shortNames": ["ct"],
        "categories": ["all"],
    }
    assert crd["status"]["storedVersions"] == ["v1"]
    assert conditions(crd) == {
        "NamesAccepted": ("True", "NoConflicts"),
        "Established": ("True", "InitialNamesAccepted"),
    }
    path = collection(namespace)
    assert api("POST", path, crontab("a")).code == 201
    assert [each["metadata"]["name"] for each in api("GET", path).json["items"]] == ["a"]
    assert api("GET", path).json["kind"] == "CronTabList"
    with closing(api.follow(f"{path}?watch=1&timeoutSeconds=20")) as events:
        assert next(events)["type"] == "ADDED"
        remove(api, name)
        assert [event["type"] for event in events] == ["DELETED"], "and then the watch ends"
    assert api("GET", path).code == 404
    assert api("GET", f"/apis/{GROUP}/v1").code == 404


def test_an_object_that_is_held_holds_its_definition(api: Api, namespace: str, define: Define) -> None:
    name, path = define(definition()), collection(namespace)
    held = crontab("held")
    held["metadata"]["finalizers"] = ["example.com/keep"]
    assert api("POST", path, held).code == 201
    answer = api("DELETE", f"{DEFINITIONS}/{name}")
    assert conditions(answer.json)["Terminating"] == ("True", "InstanceDeletionPending")
    revision = answer.json["metadata"]["resourceVersion"]
    until(
        api, name, revision, lambda event: conditions(event["object"])["Terminating"][1] == "InstanceDeletionInProgress"
    )
    refused = api("POST", path, crontab("b"))
    assert (refused.code, refused.json["message"]) == (
        405,
        "create not allowed while custom resource definition is terminating",
    )
    [row] = api("GET", f"/apis/{GROUP}/v1").json["resources"]
    assert row["verbs"] == ["delete", "deletecollection", "get", "list", "watch"]
    assert api("PATCH", f"{path}/held", {"metadata": {"finalizers": None}}, MERGE).code == 200
    until(api, name, revision, lambda event: event["type"] == "DELETED")


def test_a_finalizer_that_others_might_use_is_warned_of_once(api: Api, namespace: str, define: Define) -> None:
    define(definition())
    held = crontab("held")
    held["metadata"]["finalizers"] = ["mine.example.com", "example.com/keep", "orphan"]
    created = api("POST", collection(namespace), held)
    assert created.headers["Warning"] == (
        '299 - "metadata.finalizers: \\"mine.example.com\\": prefer a domain-qualified finalizer name including '
        'a path (/) to avoid accidental conflicts with other finalizer writers"'
    )
    changed = created.json
    changed["spec"]["cron"] = "1 * * * *"
    written = api("PUT", f"{collection(namespace)}/held", changed)
    assert (written.code, written.headers.get("Warning")) == (200, None)
    assert api("PATCH", f"{collection(namespace)}/held", {"metadata": {"finalizers": None}}, MERGE).code == 200


def test_names_are_given_to_who_comes_first(api: Api, define: Define) -> None:
    define(definition(shortNames=["ct"]))
    second = definition(plural="others", kind="CronTab", listKind="OtherList", shortNames=["ct", "ot"])
    created = api("POST", DEFINITIONS, second).json
    name = created["metadata"]["name"]
    crd = until(api, name, created["metadata"]["resourceVersion"], lambda event: bool(conditions(event["object"])))
    assert conditions(crd) == {
        "NamesAccepted": ("False", "KindConflict"),
        "Established": ("False", "NotAccepted"),
    }
    [accepted] = [each for each in crd["status"]["conditions"] if each["type"] == "NamesAccepted"]
    assert accepted["message"] == '"CronTab" is already in use'
    assert api("GET", collection("default", plural="others")).code == 404
    remove(api, f"crontabs.{GROUP}")
    crd = until(api, name, crd["metadata"]["resourceVersion"], lambda event: event["type"] == "MODIFIED")
    assert conditions(crd)["Established"] == ("True", "InitialNamesAccepted")
    remove(api, name)


def test_objects_are_pruned_defaulted_and_checked(api: Api, namespace: str, define: Define) -> None:
    define(definition())
    path = collection(namespace)
    answer = api("POST", path, {**crontab("a", color="red"), "extra": 1})
    assert answer.json["spec"] == {"cron": "* * * * *", "replicas": 1}
    assert answer.headers.getlist("Warning") == [
        '299 - "unknown field \\"spec.color\\""',
        '299 - "unknown field \\"extra\\""',
    ]
    strict = api("POST", f"{path}?fieldValidation=Strict", crontab("b", color="red"))
    assert (strict.code, strict.json["message"]) == (
        400,
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.color"',
    )
    wrong = api("POST", path, crontab("b", cron="x", replicas=11, paused="yes"))
    assert wrong.code == 422
    assert [(each["field"], each["message"]) for each in wrong.json["details"]["causes"]] == [
        ("spec.cron", r"""Invalid value: "x": spec.cron in body should match '^(\d+|\*)( (\d+|\*)){4}$'"""),
        ("spec.replicas", "Invalid value: 11: spec.replicas in body should be less than or equal to 10"),
        ("spec.paused", 'Invalid value: "string": spec.paused in body must be of type boolean: "string"'),
    ]
    missing = api("POST", path, {**crontab("b"), "spec": {}})
    assert missing.json["message"] == 'CronTab.stable.example.com "b" is invalid: spec.cron: Required value'
    other = api("POST", path, {**crontab("b"), "kind": "Job"})
    assert other.json["message"] == (
        'CronTab.stable.example.com "b" is invalid: kind: Invalid value: "Job": must be CronTab'
    )
    older = api("POST", path, {**crontab("b"), "apiVersion": "v1"})
    assert older.json["message"] == (
        "the API version in the data (v1) does not match the expected API version (stable.example.com/v1)"
    )
    merged = api("PATCH", f"{path}/a", {}, {"Content-Type": "application/strategic-merge-patch+json"})
    assert merged.code == 415


def test_what_was_not_wrong_before_stays(api: Api, namespace: str, define: Define) -> None:
    name, path = define(definition()), collection(namespace)
    assert api("POST", path, crontab("a", replicas=10)).code == 201
    stricter = [{"op": "replace", "path": f"{AT_SPEC}/replicas/maximum", "value": 5}]
    assert api("PATCH", f"{DEFINITIONS}/{name}", stricter, JSON_PATCH).code == 200
    assert api("PATCH", f"{path}/a", {"spec": {"paused": True}}, MERGE).code == 200
    assert api("PATCH", f"{path}/a", {"spec": {"replicas": 9}}, MERGE).code == 422
    assert api("POST", path, crontab("b", replicas=10)).code == 422


AT_SPEC = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"


def test_defaults_come_to_objects_that_are_stored_without_them(api: Api, namespace: str, define: Define) -> None:
    name, path = define(definition()), collection(namespace)
    revision = api("POST", path, crontab("a")).json["metadata"]["resourceVersion"]
    default = [{"op": "add", "path": f"{AT_SPEC}/paused/default", "value": True}]
    assert api("PATCH", f"{DEFINITIONS}/{name}", default, JSON_PATCH).code == 200
    assert api("GET", f"{path}/a").json["spec"]["paused"] is True
    assert api("GET", path).json["items"][0]["spec"]["paused"] is True
    [event] = api.events(f"{path}?watch=1", 1)
    assert event["object"]["spec"]["paused"] is True
    assert event["object"]["metadata"]["resourceVersion"] == revision, "nothing was written"
    removed = [{"op": "remove", "path": f"{AT_SPEC}/paused/default"}]
    assert api("PATCH", f"{DEFINITIONS}/{name}", removed, JSON_PATCH).code == 200
    assert "paused" not in api("GET", f"{path}/a").json["spec"]


def test_generation_status_and_scale(api: Api, namespace: str, define: Define) -> None:
    define(definition(version(subresources=SUBRESOURCES)))
    path = collection(namespace)
    created = api("POST", path, {**crontab("a"), "status": {"replicas": 7}}).json
    assert (created["metadata"]["generation"], "status" in created) == (1, False)
    status = {
        "status": {"replicas": 2, "selector": "app=a"},
        "spec": {"replicas": 9},
        "metadata": {"labels": {"a": "b"}},
    }
    changed = api("PATCH", f"{path}/a/status", status, MERGE).json
    assert changed["metadata"]["generation"] == 1
    assert (changed["spec"]["replicas"], changed["metadata"].get("labels")) == (1, None)
    scale = api("GET", f"{path}/a/scale").json
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 1},
        {"replicas": 2, "selector": "app=a"},
    )
    assert api("PATCH", f"{path}/a/scale", {"spec": {"replicas": 3}}, MERGE).json["spec"]["replicas"] == 3
    found = api("GET", f"{path}/a").json
    assert (found["metadata"]["generation"], found["spec"]["replicas"], found["status"]["replicas"]) == (2, 3, 2)
    assert api("PATCH", f"{path}/a/scale", {"spec": {"replicas": 30}}, MERGE).code == 422
    strategically = {"Content-Type": "application/strategic-merge-patch+json"}
    assert api("PATCH", f"{path}/a/scale", {"spec": {"replicas": 3}}, strategically).code == 415
    assert api("PATCH", f"{path}/a", {"metadata": {"labels": {"a": "b"}}}, MERGE).json["metadata"]["generation"] == 2


def test_columns_and_selectable_fields(api: Api, namespace: str, define: Define) -> None:
    columns = [
        {"name": "Cron", "type": "string", "jsonPath": ".spec.cron", "description": "when"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    selectable = [{"jsonPath": ".spec.replicas"}, {"jsonPath": ".spec.paused"}]
    define(definition(version(additionalPrinterColumns=columns, selectableFields=selectable)))
    path = collection(namespace)
    for name, replicas in (("a", 1), ("b", 2)):
        assert api("POST", path, crontab(name, replicas=replicas)).code == 201
    table = api("GET", path, headers=TABLE).json
    assert [(each["name"], each["type"], each["priority"]) for each in table["columnDefinitions"]] == [
        ("Name", "string", 0),
        ("Cron", "string", 0),
        ("Replicas", "integer", 1),
        ("Age", "date", 0),
    ]
    assert [row["cells"][:3] for row in table["rows"]] == [["a", "* * * * *", 1], ["b", "* * * * *", 2]]
    found = api("GET", f"{path}?fieldSelector=spec.replicas=2").json["items"]
    assert [each["metadata"]["name"] for each in found] == ["b"]
    assert api("GET", f"{path}?fieldSelector=spec.cron=2").code == 400


def test_versions_show_the_same_objects(api: Api, namespace: str, define: Define) -> None:
    old = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"cron": {"type": "string"}}}}}
    name = define(definition(version("v1beta1", storage=False, schema=old, deprecated=True), version("v1")))
    path, older = collection(namespace), collection(namespace, "v1beta1")
    assert api("POST", path, crontab("a", replicas=4)).code == 201
    found = api("GET", f"{older}/a")
    assert (found.json["apiVersion"], found.json["spec"]) == (f"{GROUP}/v1beta1", {"cron": "* * * * *"})
    assert found.headers["Warning"] == (
        '299 - "stable.example.com/v1beta1 CronTab is deprecated; use stable.example.com/v1 CronTab"'
    )
    assert api("POST", older, crontab("b", "v1beta1")).json["apiVersion"] == f"{GROUP}/v1beta1"
    assert api("GET", f"{path}/b").json["spec"] == {"cron": "* * * * *", "replicas": 1}
    group = api("GET", f"/apis/{GROUP}").json
    assert [each["version"] for each in group["versions"]] == ["v1", "v1beta1"]
    with closing(api.follow(f"{older}?watch=1&timeoutSeconds=20")) as events:
        assert {next(events)["object"]["apiVersion"] for _ in range(2)} == {f"{GROUP}/v1beta1"}
        stop = [{"op": "replace", "path": "/spec/versions/0/served", "value": False}]
        assert api("PATCH", f"{DEFINITIONS}/{name}", stop, JSON_PATCH).code == 200
        assert list(events) == [], "what is no longer served is no longer watched"
    assert api("GET", f"{older}/a").code == 404
    assert api("GET", f"{path}/a").code == 200


def test_a_new_storage_version_takes_over_as_objects_are_written(api: Api, namespace: str, define: Define) -> None:
    name = define(definition(version("v1"), version("v2", storage=False)))
    path = collection(namespace)
    first = api("POST", path, crontab("a")).json["metadata"]["resourceVersion"]
    switch = [
        {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
    ]
    changed = api("PATCH", f"{DEFINITIONS}/{name}", switch, JSON_PATCH)
    assert changed.json["status"]["storedVersions"] == ["v1", "v2"]
    found = api("GET", f"{path}/a").json
    assert (found["apiVersion"], found["metadata"]["resourceVersion"]) == (f"{GROUP}/v1", first)
    again = api("PUT", f"{path}/a", found)
    assert again.json["metadata"]["resourceVersion"] != first, "written anew in the new version"
    assert api("PUT", f"{path}/a", again.json).json["metadata"] == again.json["metadata"], "once"


def test_discovery_and_openapi_follow(api: Api, define: Define) -> None:
    before = api("GET", "/openapi/v2").headers["ETag"]
    name = define(definition(version(subresources={"status": {}}), shortNames=["ct"]))
    resources = api("GET", f"/apis/{GROUP}/v1").json["resources"]
    assert [(each["name"], each.get("shortNames")) for each in resources] == [
        ("crontabs", ["ct"]),
        ("crontabs/status", None),
    ]
    aggregated = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    groups = {each["metadata"]["name"] for each in api("GET", "/apis", headers=aggregated).json["items"]}
    assert GROUP in groups
    swagger = api("GET", "/openapi/v2")
    assert swagger.headers["ETag"] != before
    published = swagger.json["definitions"]["com.example.stable.v1.CronTab"]
    assert published["properties"]["spec"] == SPEC
    assert f"/apis/{GROUP}/v1/namespaces/{{namespace}}/crontabs/{{name}}/status" in swagger.json["paths"]
    index = api("GET", "/openapi/v3").json["paths"]
    document = api("GET", index[f"apis/{GROUP}/v1"]["serverRelativeURL"]).json
    assert document["components"]["schemas"]["com.example.stable.v1.CronTab"]["properties"]["status"] == STATUS
    remove(api, name)
    assert api("GET", "/openapi/v2").headers["ETag"] == before
    assert f"apis/{GROUP}/v1" not in api("GET", "/openapi/v3").json["paths"]


def test_wrong_definitions_are_refused(api: Api) -> None:
    bad = definition(version(schema={"type": "object", "properties": {"spec": {}}}), version("v2"))
    bad["spec"]["scope"] = "World"
    answer = api("POST", DEFINITIONS, bad)
    assert answer.code == 422
    assert [each["field"] for each in answer.json["details"]["causes"]] == [
        "spec.scope",
        "spec.versions",
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].type",
    ]
    one = definition(version(schema={"type": "object", "properties": {"spec": {"type": "strnig"}}}))
    assert api("POST", DEFINITIONS, one).json["message"] == (
        'CustomResourceDefinition.apiextensions.k8s.io "crontabs.stable.example.com" is invalid: '
        'spec.validation.openAPIV3Schema.properties[spec].type: Unsupported value: "strnig": supported values: '
        '"array", "boolean", "integer", "number", "object", "string"'
    )


def test_what_may_not_change_does_not(api: Api, define: Define) -> None:
    name = define(definition())
    answer = api("PATCH", f"{DEFINITIONS}/{name}", {"spec": {"scope": "Cluster", "names": {"kind": "Other"}}}, MERGE)
    assert answer.code == 422
    assert [each["field"] for each in answer.json["details"]["causes"]] == ["spec.scope", "spec.names.kind"]
