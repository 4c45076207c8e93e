"""The OpenAPI documents: what kubectl looks for in them is there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apiserver.api import openapi
from apiserver.api.openapi import protobuf
from apiserver.model.kind import Kind
from machinery.errors import NotAcceptable, NotFound

PREFIX = "io.k8s.api.core.v1"


class Rows:
    def __init__(self, *kinds: Kind) -> None:
        self._kinds = kinds

    def kinds(self) -> tuple[Kind, ...]:
        return self._kinds


@pytest.fixture
def rows(pods: Kind, services: Kind, slices: Kind) -> Rows:
    return Rows(pods, services, slices)


@pytest.fixture
def v2(rows: Rows) -> Any:
    return orjson.loads(openapi.v2(rows).body)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_v2_definitions_are_in_upstreams_form(v2: Any) -> None:
    definitions = v2["definitions"]
    port = definitions[f"{PREFIX}.ServicePort"]
    assert port["type"] == "object"
    assert port["required"] == ["port"]
    assert port["properties"]["port"]["type"] == "integer"
    assert port["properties"]["targetPort"]["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString"
    quantity = definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert (quantity["type"], "oneOf" in quantity) == ("string", False)
    assert definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"] == "int-or-string"
    assert "enum" not in definitions[f"{PREFIX}.Pod"]["properties"]["kind"]
    containers = definitions[f"{PREFIX}.PodSpec"]["properties"]["containers"]
    assert (containers["x-kubernetes-patch-merge-key"], containers["x-kubernetes-patch-strategy"]) == ("name", "merge")


def test_every_reference_leads_somewhere(rows: Rows, v2: Any) -> None:
    assert {reference.removeprefix("#/definitions/") for reference in references(v2)} <= v2["definitions"].keys()
    v3 = orjson.loads(openapi.v3(rows, "api/v1").body)
    found = {reference.removeprefix("#/components/schemas/") for reference in references(v3)}
    assert found <= v3["components"]["schemas"].keys()


def test_only_what_is_served_is_described(v2: Any) -> None:
    assert f"{PREFIX}.Node" not in v2["definitions"]
    assert "/api/v1/nodes" not in v2["paths"]
    assert "io.k8s.apimachinery.pkg.apis.meta.v1.Status" in v2["definitions"]


def test_v2_operations(v2: Any) -> None:
    path = v2["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]
    patch = path["patch"]
    assert patch["operationId"] == "patchCoreV1NamespacedPod"
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    names = [parameter["name"] for parameter in patch["parameters"]]
    assert names == ["body", "dryRun", "fieldManager", "fieldValidation", "force"]
    assert {parameter["name"] for parameter in path["parameters"]} == {"name", "namespace", "pretty"}
    collection = v2["paths"]["/api/v1/namespaces/{namespace}/pods"]
    assert collection["get"]["x-kubernetes-action"] == "list"
    assert collection["delete"]["operationId"] == "deleteCoreV1CollectionNamespacedPod"
    assert v2["paths"]["/api/v1/pods"]["get"]["operationId"] == "listCoreV1PodForAllNamespaces"
    assert "/api/v1/namespaces/{namespace}/pods/{name}/status" in v2["paths"]
    connect = v2["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/exec"]
    assert connect["post"]["operationId"] == "connectCoreV1PostNamespacedPodExec"


def test_operation_ids_are_unique(v2: Any) -> None:
    ids = [
        operation["operationId"]
        for path in v2["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))


def test_an_older_version_is_described_like_the_stored_one(v2: Any) -> None:
    definition = v2["definitions"]["io.k8s.api.discovery.v1beta1.EndpointSliceList"]
    expected = [{"group": "discovery.k8s.io", "kind": "EndpointSliceList", "version": "v1beta1"}]
    assert definition["x-kubernetes-group-version-kind"] == expected
    reference = "#/definitions/io.k8s.api.discovery.v1beta1.EndpointSlice"
    assert definition["properties"]["items"]["items"]["$ref"] == reference
    assert "/apis/discovery.k8s.io/v1beta1/endpointslices" in v2["paths"]


def test_protobuf_says_what_json_says(rows: Rows, v2: Any) -> None:
    message = protobuf._document_class().FromString(openapi.v2_protobuf(rows).body)
    assert message.swagger == "2.0"
    assert {path.name for path in message.paths.path} == v2["paths"].keys()
    schemas = {named.name: named.value for named in message.definitions.additional_properties}
    assert schemas.keys() == v2["definitions"].keys()
    pod = schemas[f"{PREFIX}.Pod"]
    extensions = {named.name: orjson.loads(named.value.yaml) for named in pod.vendor_extension}
    assert extensions["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    properties = {named.name: named.value for named in pod.properties.additional_properties}
    assert getattr(properties["spec"], "_ref") == f"#/definitions/{PREFIX}.PodSpec"  # noqa: B009 - the field's name
    assert list(properties["kind"].type.value) == ["string"]


def test_v3_index_names_the_content_by_its_hash(rows: Rows) -> None:
    paths = orjson.loads(openapi.v3_index(rows).body)["paths"]
    assert list(paths) == ["api/v1", "apis/discovery.k8s.io/v1", "apis/discovery.k8s.io/v1beta1"]
    document = openapi.v3(rows, "api/v1")
    assert paths["api/v1"]["serverRelativeURL"] == f"/openapi/v3/api/v1?hash={document.etag}"


def test_v3_forms(rows: Rows) -> None:
    document = orjson.loads(openapi.v3(rows, "api/v1").body)
    schemas = document["components"]["schemas"]
    target = schemas[f"{PREFIX}.ServicePort"]["properties"]["targetPort"]
    assert target["allOf"] == [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}]
    assert "$ref" not in target
    alternatives = schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["oneOf"]
    assert alternatives == [{"type": "integer"}, {"type": "string"}]
    patch = document["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"]
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


def test_answers(rows: Rows) -> None:
    old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    assert openapi.answer(rows, "/openapi/v2", "application/json") == ("application/json", openapi.v2(rows))
    content_type, document = openapi.answer(rows, "/openapi/v2", old)
    assert content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert document == openapi.v2_protobuf(rows)
    assert openapi.answer(rows, "/openapi/v3", "*/*")[1] == openapi.v3_index(rows)
    assert openapi.answer(rows, "/openapi/v3/api/v1", "")[1] == openapi.v3(rows, "api/v1")
    with pytest.raises(NotAcceptable):
        openapi.answer(rows, "/openapi/v3/api/v1", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
    for path in ("/openapi", "/openapi/v1", "/openapi/v3/apis/apps/v1", "/openapi/v2/x"):
        with pytest.raises(NotFound):
            openapi.answer(rows, path, "")
