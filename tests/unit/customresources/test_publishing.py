"""What OpenAPI says of custom resources (upstream: pkg/controller/openapi, v2/conversion_test.go)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml
from everykind import ROWS
from google.protobuf.message import Message

from apiserver.api import openapi
from apiserver.api.openapi.protobuf import _document_class
from apiserver.customresources.rows import rows_of
from apiserver.kinds.registry import Registry
from apiserver.model.kind import Kind

NAME = "com.example.v1.Foo"


def rows(schema: Any) -> tuple[Kind, ...]:
    names = {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return rows_of(
        {
            "metadata": {"name": "foos.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
            "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": "True"}]},
        }
    )


def published(field: str, *, v2: bool) -> Any:
    schema = {"type": "object", "properties": {"f": yaml.safe_load(field)}}
    row = rows(schema)[0]
    return row.codec.published(row, v2=v2)[NAME]["properties"]["f"]


@pytest.mark.parametrize(
    ("field", "v2", "v3"),
    [
        ("{type: string, nullable: true}", {}, {"type": "string", "nullable": True}),
        (
            "{x-kubernetes-int-or-string: true}",
            {"x-kubernetes-int-or-string": True},
            {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        ),
        (
            "{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}",
            {"x-kubernetes-preserve-unknown-fields": True},
            {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"a": {"type": "string"}},
            },
        ),
        (
            "{type: object, required: [a, b], properties: {a: {type: string, nullable: true}, b: {type: string}}}",
            {"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}},
            {
                "type": "object",
                "required": ["a", "b"],
                "properties": {"a": {"type": "string", "nullable": True}, "b": {"type": "string"}},
            },
        ),
        (
            "{type: integer, minimum: 1, default: 2, not: {enum: [3]}}",
            {"type": "integer", "minimum": 1, "default": 2},
            {"type": "integer", "minimum": 1, "default": 2, "not": {"enum": [3]}},
        ),
        (
            "{type: object, additionalProperties: {type: array, items: {type: string}}}",
            {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
            {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        ),
    ],
)
def test_both_versions(field: str, v2: Any, v3: Any) -> None:
    assert published(field, v2=True) == v2
    assert published(field, v2=False) == v3


def test_an_embedded_object_says_what_it_is() -> None:
    found = published("{type: object, x-kubernetes-embedded-resource: true, properties: {a: {type: string}}}", v2=True)
    assert sorted(found["properties"]) == ["a", "apiVersion", "kind", "metadata"]
    assert found["required"] == ["kind", "apiVersion"]


def test_kubectl_is_told_of_no_fields_where_unknown_ones_are_kept() -> None:
    [row] = rows(
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "string"}}}
    )
    gvk = [{"group": "example.com", "kind": "Foo", "version": "v1"}]
    assert row.codec.published(row, v2=True)[NAME] == {"type": "object", "x-kubernetes-group-version-kind": gvk}
    assert "a" in row.codec.published(row, v2=False)[NAME]["properties"]


def test_documents_with_custom_resources() -> None:
    without, registry = Registry(ROWS), Registry((*ROWS, *rows({"type": "object", "description": "Foo!"})))
    before, after = orjson.loads(openapi.v2(without).body), orjson.loads(openapi.v2(registry).body)
    assert set(after["definitions"]) - set(before["definitions"]) == {NAME, f"{NAME}List"}
    new = set(after["paths"]) - set(before["paths"])
    assert new == {
        "/apis/example.com/v1/foos",
        "/apis/example.com/v1/namespaces/{namespace}/foos",
        "/apis/example.com/v1/namespaces/{namespace}/foos/{name}",
    }
    patch = after["paths"]["/apis/example.com/v1/namespaces/{namespace}/foos/{name}"]["patch"]
    assert patch["operationId"] == "patchExampleComV1NamespacedFoo"
    assert "application/strategic-merge-patch+json" not in patch["consumes"]
    message: Message = _document_class()()
    message.ParseFromString(openapi.v2_protobuf(registry).body)
    names = [each.name for each in message.definitions.additional_properties]
    assert sorted(names) == sorted(after["definitions"])
    assert openapi.v3(without, "apis/apps/v1") is openapi.v3(registry, "apis/apps/v1"), "others are not made again"
