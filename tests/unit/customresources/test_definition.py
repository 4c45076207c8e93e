"""What a definition may say, which names it gets, and which rows come of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from apiserver.crdschema import definition
from apiserver.customresources import conditions
from apiserver.customresources.rows import priority, rows_of
from apiserver.kinds.subresources import STATUS
from machinery.objects import get_condition


def version(name: str = "v1", **more: Any) -> Any:
    return {
        "name": name,
        "served": True,
        "storage": name == "v1",
        "schema": {"openAPIV3Schema": {"type": "object"}},
        **more,
    }


def crd(*versions: Any, plural: str = "foos", kind: str = "Foo", group: str = "example.com", **names: Any) -> Any:
    made = {
        "metadata": {"name": f"{plural}.{group}", "uid": plural},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, **names},
            "versions": list(versions) or [version()],
        },
        "status": {"storedVersions": ["v1"]},
    }
    definition.default(made)
    return made


def accepted(made: Any, *others: Any) -> Any:
    return conditions.decide(made, others)


def put(path: str, value: Any) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        *keys, last = path.split(".")
        for key in keys:
            made = made[int(key) if key.isdigit() else key]
        made[last] = value

    return change


def test_defaults() -> None:
    spec = crd()["spec"]
    assert spec["names"] == {"plural": "foos", "kind": "Foo", "singular": "foo", "listKind": "FooList"}
    assert spec["conversion"] == {"strategy": "None"}
    assert definition.check(crd()) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (put("metadata.name", "x"), 'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group'),
        (put("spec.group", "local"), 'spec.group: Invalid value: "local": should be a domain with at least one dot'),
        (
            put("spec.scope", "World"),
            'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"',
        ),
        (put("spec.names.kind", ""), "spec.names.kind: Required value"),
        (
            put("spec.names.listKind", "Foo"),
            'spec.names.listKind: Invalid value: "Foo": kind and listKind may not be the same',
        ),
        (
            put("spec.versions.0.schema", None),
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
        (
            put("spec.versions.0.deprecationWarning", "x"),
            'spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for deprecated versions',
        ),
        (
            put("spec.preserveUnknownFields", True),
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
            "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ),
        (
            put("spec.versions.0.additionalPrinterColumns", [{"name": "a", "type": "text", "jsonPath": "x"}]),
            'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of '
            "boolean,date,integer,number,string",
        ),
        (
            put("spec.versions.0.additionalPrinterColumns", [{"name": "a", "type": "date", "jsonPath": "x"}]),
            'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "x": must be a simple json path starting with .',
        ),
        (
            put(
                "spec.versions.0.subresources",
                {"scale": {"specReplicasPath": ".status.r", "statusReplicasPath": ".status.r"}},
            ),
            'spec.subresources.scale.specReplicasPath: Invalid value: ".status.r": should be a json path under .spec',
        ),
        (
            put("spec.versions.0.selectableFields", [{"jsonPath": ".spec.nothing"}]),
            'spec.selectableFields[0].jsonPath: Invalid value: ".spec.nothing": is an invalid path: '
            "does not refer to a valid field",
        ),
        (
            put("status.storedVersions", ["v1", "v0"]),
            'status.storedVersions[1]: Invalid value: "v0": must appear in spec.versions',
        ),
        (
            put(
                "spec.versions.0.schema.openAPIV3Schema",
                {"type": "object", "properties": {"a": {"type": "string", "default": 1}}},
            ),
            'spec.validation.openAPIV3Schema.properties[a].default: Invalid value: "integer":  in body must be of type '
            'string: "integer"',
        ),
        (
            put(
                "spec.versions.0.schema.openAPIV3Schema",
                {"type": "object", "properties": {"a": {"type": "object", "default": {"x": 1}}}},
            ),
            'spec.validation.openAPIV3Schema.properties[a].default: Invalid value: {"x":1}: must not '
            "have unknown fields",
        ),
    ],
)
def test_what_is_refused(change: Callable[[Any], None], error: str) -> None:
    bad = crd()
    change(bad)
    assert error in [str(found) for found in definition.check(bad)]


def test_paths_point_to_a_version_only_where_versions_differ() -> None:
    bad = {"type": "object", "properties": {"a": {}}}
    schema = {"schema": {"openAPIV3Schema": bad}}
    [same] = definition.check(crd(version("v1", **schema), version("v2", **schema)))
    assert same.field == "spec.validation.openAPIV3Schema.properties[a].type"
    [other] = definition.check(crd(version("v1"), version("v2", **schema)))
    assert other.field == "spec.versions[1].schema.openAPIV3Schema.properties[a].type"


def test_one_version_is_stored() -> None:
    errors = [str(error) for error in definition.check(crd(version("v1"), version("v1")))]
    assert [error.rpartition(": ")[2] for error in errors] == [
        "must contain unique version names",
        "must have exactly one version marked as storage version",
    ]


def test_what_is_established_keeps_its_identity() -> None:
    old = accepted(crd())
    new = copy.deepcopy(old)
    new["spec"]["scope"] = "Cluster"
    new["spec"]["names"] |= {"kind": "Bar", "plural": "bars"}
    assert [error.field for error in definition.check_update(new, old)] == [
        "spec.scope",
        "spec.names.kind",
        "spec.names.plural",
    ]
    assert [error.field for error in definition.check_update(new, crd())] == ["spec.names.plural"]


def test_groups_of_kubernetes_itself_need_approval() -> None:
    protected = crd(group="gateway.networking.k8s.io")
    [error] = definition.check(protected)
    assert error.field == "metadata.annotations[api-approved.kubernetes.io]"
    protected["metadata"]["annotations"] = {definition.APPROVED: "https://github.com/kubernetes/enhancements/pull/1"}
    assert definition.check(protected) == []
    found = get_condition(accepted(protected), "KubernetesAPIApprovalPolicyConformant")
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "ApprovedAnnotation")


def test_names_and_conditions() -> None:
    first = accepted(crd(shortNames=["f"], categories=["all"]))
    assert first["status"]["acceptedNames"] == first["spec"]["names"]
    assert [(each["type"], each["status"], each["reason"]) for each in first["status"]["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    assert accepted(first) == first, "decided once and for all"
    rival = accepted(crd(plural="rivals", kind="Rival", shortNames=["f", "r"]), first)
    [names, established] = rival["status"]["conditions"]
    assert (names["reason"], names["message"]) == ("ShortNamesConflict", '"f" is already in use')
    assert (established["status"], established["reason"]) == ("False", "NotAccepted")
    assert "shortNames" not in rival["status"]["acceptedNames"]
    assert accepted(rival)["status"]["conditions"][1]["status"] == "True", "when the other has gone"
    elsewhere = accepted(crd(group="other.com"), first)
    assert conditions.is_served(elsewhere)


def test_an_established_definition_stays_so_with_a_name_that_it_cannot_have() -> None:
    other = accepted(crd(plural="bars", kind="Bar", shortNames=["b"]))
    established = accepted(crd(), other)
    established["spec"]["names"]["shortNames"] = ["b"]
    again = accepted(established, other)
    assert [each["status"] for each in again["status"]["conditions"]] == ["False", "True"]
    assert conditions.is_served(again)
    assert "shortNames" not in again["status"]["acceptedNames"]


def test_versions_in_the_order_of_discovery() -> None:
    names = ["v1", "foo10", "v11beta2", "v10beta3", "v2", "v3beta1", "v12alpha1", "v10", "foo1", "v11alpha2"]
    assert sorted(names, key=priority) == [
        "v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10",
    ]  # fmt: skip


def test_rows() -> None:
    old = version(
        "v1beta1", deprecated=True, additionalPrinterColumns=[{"name": "A", "type": "string", "jsonPath": ".a"}]
    )
    unserved = version("v1alpha1", served=False)
    made = crd(unserved, old, version("v1", subresources={"status": {}}))
    assert rows_of(made) == ()
    new, older = rows_of(accepted(made))
    assert (new.api_version, older.api_version) == ("example.com/v1", "example.com/v1beta1")
    assert (new.subresources, older.subresources) == ((STATUS,), ())
    assert [column.name for column in older.columns] == ["Name", "A"]
    assert (new.deprecated, older.deprecated) == (
        "",
        "example.com/v1beta1 Foo is deprecated; use example.com/v1 Foo",
    )
    assert new.prefix == older.prefix == "/registry/example.com/foos/"
    assert new.definition == "com.example.v1.Foo"


def webhook(client: Any, *versions: str) -> Any:
    names = list(versions or ("v1",))
    return {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": names}}


@pytest.mark.parametrize(
    ("conversion", "errors"),
    [
        (webhook({"url": "https://a:9443/convert"}), []),
        (webhook({"service": {"namespace": "b", "name": "a", "path": "/convert"}}, "v1beta1"), []),
        (
            {"strategy": "Sometimes"},
            ['spec.conversion.strategy: Unsupported value: "Sometimes": supported values: "None", "Webhook"'],
        ),
        (
            {**webhook({"url": "https://a"}), "strategy": "None"},
            [
                "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
                "spec.conversion.conversionReviewVersions: Forbidden: "
                "should not be set when strategy is not set to Webhook",
            ],
        ),
        (
            {"strategy": "Webhook"},
            [
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ],
        ),
        (
            webhook({"url": "https://a", "service": {"name": "a", "namespace": "b"}}),
            [
                "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
            ],
        ),
        (
            webhook({"url": "http://u@a/x?y#z"}),
            [
                "spec.conversion.webhookClientConfig.url: Invalid value: "
                "\"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                'spec.conversion.webhookClientConfig.url: Invalid value: "u": '
                "user information is not permitted in the URL",
                'spec.conversion.webhookClientConfig.url: Invalid value: "z": fragments are not permitted in the URL',
                'spec.conversion.webhookClientConfig.url: Invalid value: "y": '
                "query parameters are not permitted in the URL",
            ],
        ),
        (
            webhook({"service": {"namespace": "b", "path": "a//", "port": 0}}),
            [
                "spec.conversion.webhookClientConfig.service.name: Required value: service name is required",
                "spec.conversion.webhookClientConfig.service.port: Invalid value: 0: "
                "port is not valid: must be between 1 and 65535, inclusive",
                "spec.conversion.webhookClientConfig.service.path: Invalid value: \"a//\": must start with a '/'",
                'spec.conversion.webhookClientConfig.service.path: Invalid value: "a//": segment[0] may not be empty',
                'spec.conversion.webhookClientConfig.service.path: Invalid value: "a//": segment[1] may not be empty',
            ],
        ),
        (
            webhook({"url": "https://a"}, "v2", "v2"),
            [
                'spec.conversion.conversionReviewVersions[1]: Invalid value: "v2": duplicate version',
                'spec.conversion.conversionReviewVersions: Invalid value: []string{"v2", "v2"}: '
                "must include at least one of v1, v1beta1",
            ],
        ),
    ],
)
def test_conversion_is_checked(conversion: Any, errors: list[str]) -> None:
    made = crd()
    made["spec"]["conversion"] = conversion
    definition.default(made)
    assert [str(error) for error in definition.check(made)] == errors
