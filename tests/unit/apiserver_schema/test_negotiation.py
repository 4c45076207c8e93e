"""The Accept header against what a path can give."""

from __future__ import annotations

import pytest

from apiserver.negotiation import AGGREGATED_DISCOVERY, LIST, NONE, SINGLE, Form, Transform, encode, negotiate
from machinery.errors import NotAcceptable

PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = Transform("Table", "meta.k8s.io", "v1")
KUBECTL = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("*", Form()),
        ("application/*", Form()),
        ("application/json", Form()),
        (f"{PROTOBUF},application/json", Form()),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form()),
        ("application/yaml", Form("application/yaml")),
        ("application/json;q=0.5, application/yaml", Form("application/yaml")),
        ("application/json;pretty=1", Form(pretty=True)),
        ("application/json;stream=watch", Form()),
        (KUBECTL, Form(transform=TABLE)),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form(transform=TABLE._replace(version="v1beta1"))),
        ("application/yaml;as=Table;v=v1;g=meta.k8s.io", Form("application/yaml", TABLE)),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Form()),
    ],
)
def test_forms_of_one_object(accept: str, expected: Form) -> None:
    assert negotiate(accept, SINGLE) == expected


@pytest.mark.parametrize(
    "accept",
    [
        PROTOBUF,
        "text/plain",
        "application/json;q=0",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        "nonsense",
    ],
)
def test_what_cannot_be_given(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiate(accept, SINGLE)
    assert caught.value.message == "only the following media types are accepted: application/json, application/yaml"


def test_lists_have_a_form_of_their_own() -> None:
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    assert negotiate(accept, LIST).is_partial
    assert not negotiate(accept, LIST).is_table


def test_discovery_names_its_form() -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    assert negotiate(accept, AGGREGATED_DISCOVERY).content_type == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert negotiate(accept, NONE).content_type == "application/json"


def test_encode() -> None:
    obj = {"b": [1, {"c": "é"}], "a": None}
    shared = {"x": 1}
    assert encode(obj, Form()) == '{"b":[1,{"c":"é"}],"a":null}'.encode()
    assert encode({"a": 1}, Form(pretty=True)) == b'{\n  "a": 1\n}'
    assert encode(obj, Form("application/yaml")) == "a: null\nb:\n- 1\n- c: é\n".encode()
    assert encode({"a": shared, "b": shared}, Form("application/yaml")) == b"a:\n  x: 1\nb:\n  x: 1\n"
