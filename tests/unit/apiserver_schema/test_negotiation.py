"""The Accept header against what a path can give."""

from __future__ import annotations

import pytest

from apiserver.api import negotiation
from apiserver.api.negotiation import AGGREGATED_DISCOVERY, NONE, OBJECTS, Form, Transform, encode, negotiate
from machinery.errors import NotAcceptable

PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = Transform("Table", "meta.k8s.io", "v1")
PARTIAL = Transform("PartialObjectMetadata", "meta.k8s.io", "v1")
REFUSED = (
    "only the following media types are accepted: "
    "application/json, application/yaml, application/vnd.kubernetes.protobuf"
)
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
        (f"{PROTOBUF},application/json", Form(PROTOBUF)),
        (f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Form(PROTOBUF, PARTIAL)),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,application/json", Form()),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,{PROTOBUF}", Form(PROTOBUF)),
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
    assert negotiate(accept, OBJECTS) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "text/plain",
        "application/json;q=0",
        f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "nonsense",
    ],
)
def test_what_cannot_be_given(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiate(accept, OBJECTS)
    assert caught.value.message == REFUSED


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{PROTOBUF},application/json", Form()),
        ("*/*", Form()),
        (f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Form(PROTOBUF, PARTIAL)),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,application/yaml", Form("application/yaml")),
    ],
)
def test_custom_resources_have_no_form_in_protobuf_but_their_metadata_have(accept: str, expected: Form) -> None:
    assert negotiate(accept, OBJECTS, custom=True) == expected


def test_custom_resources_in_protobuf_alone_are_refused() -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiate(PROTOBUF, OBJECTS, custom=True)
    assert caught.value.message == REFUSED  # Upstream names all forms here too.


def test_a_list_is_none_of_one_and_one_is_none_of_a_list() -> None:
    one = negotiate("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", OBJECTS)
    many = negotiate("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", OBJECTS)
    assert negotiation.single_form(one, "*core.Pod") is one
    assert negotiation.list_form(many, "*core.Pod") is many
    with pytest.raises(NotAcceptable, match=r"the requested object is a list \(\*core.PodList\)"):
        negotiation.list_form(one, "*core.Pod")
    with pytest.raises(NotAcceptable, match=r"the requested object is not a list \(\*core.Pod\)"):
        negotiation.single_form(many, "*core.Pod")


def test_a_stream_is_json() -> None:
    with pytest.raises(NotAcceptable, match="only the following media types are accepted: application/json;stream"):
        negotiation.stream_form(Form("application/yaml"), "*core.Pod")


@pytest.mark.parametrize(
    ("agent", "query", "pretty"),
    [
        ("curl/8.0", {}, True),
        ("curl/8.0", {"pretty": "false"}, False),
        ("kubectl/v1.32.0", {}, False),
        ("kubectl/v1.32.0", {"pretty": "1"}, True),
        ("", {"pretty": "yes"}, False),
    ],
)
def test_people_get_it_indented(agent: str, query: dict[str, str], pretty: bool) -> None:
    assert negotiation.form_of({"HTTP_USER_AGENT": agent}, query).pretty is pretty


def test_discovery_names_its_form() -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    assert negotiate(accept, AGGREGATED_DISCOVERY).content_type == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert negotiate(accept, NONE).content_type == "application/json"


def test_encode() -> None:
    obj = {"b": [1, {"c": "é"}], "a": None}
    shared = {"x": 1}
    assert encode(obj, Form()) == '{"b":[1,{"c":"é"}],"a":null}\n'.encode()
    assert encode({"a": 1}, Form(pretty=True)) == b'{\n  "a": 1\n}\n'
    assert encode(obj, Form("application/yaml")) == "a: null\nb:\n- 1\n- c: é\n".encode()
    assert encode({"a": shared, "b": shared}, Form("application/yaml")) == b"a:\n  x: 1\nb:\n  x: 1\n"
