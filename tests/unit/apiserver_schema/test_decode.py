"""Bodies become objects, or upstream's 400."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apiserver.model.kind import Kind
from apiserver.schema.codec import UpstreamCodec
from apiserver.schema.compiled import node_of
from machinery.errors import BadRequest, Invalid, UnsupportedMediaType
from machinery.objects import Object

JSON = "application/json"


def decode(kind: Kind, value: Any, validation: str = "Warn") -> tuple[Object, list[str]]:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return kind.codec.decode(kind, body, JSON, field_validation=validation)


def refused(kind: Kind, value: Any, validation: str = "Warn") -> str:
    with pytest.raises(BadRequest) as caught:
        decode(kind, value, validation)
    return caught.value.message


def test_what_is_in_order_comes_through_unchanged(pods: Kind) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"app": "x"}, "creationTimestamp": "2024-02-29T12:00:00Z"},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "args": ["-v"]}]},
    }
    assert decode(pods, pod) == (pod, [])


def test_kind_and_version_may_be_absent(pods: Kind) -> None:
    obj, _ = decode(pods, {"metadata": {"name": "a"}})
    assert (obj["apiVersion"], obj["kind"]) == ("v1", "Pod")


def test_metadata_is_always_there(pods: Kind) -> None:
    assert decode(pods, {})[0]["metadata"] == {}
    assert decode(pods, b"null")[0]["metadata"] == {}


def test_null_means_absent(pods: Kind) -> None:
    obj, warnings = decode(pods, {"metadata": {"creationTimestamp": None}, "spec": None})
    assert "spec" not in obj
    assert obj["metadata"] == {}
    assert warnings == []


def test_null_among_values_becomes_the_zero_value(pods: Kind, services: Kind) -> None:
    obj, _ = decode(pods, {"metadata": {"labels": {"a": None}, "finalizers": [None, "x"]}})
    assert obj["metadata"] == {"labels": {"a": ""}, "finalizers": ["", "x"]}
    obj, _ = decode(services, {"spec": {"ports": [None]}})
    assert obj["spec"]["ports"] == [{"port": 0}]


def test_lists_and_maps_with_nothing_in_them_are_left_out_as_in_go(pods: Kind) -> None:
    obj, warnings = decode(
        pods,
        {
            "metadata": {"labels": {}, "annotations": {}, "finalizers": [], "managedFields": []},
            "spec": {
                "containers": [],  # which are required
                "nodeSelector": {},
                "securityContext": {"sysctls": []},
                "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "projected": {"sources": []}}],
            },
        },
    )
    assert obj["metadata"] == {"managedFields": []}
    assert obj["spec"] == {
        "containers": [],
        "securityContext": {},
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "projected": {"sources": []}}],
    }
    assert warnings == []
    assert "cannot unmarshal array" in refused(pods, {"metadata": {"labels": []}})


def test_required_scalars_get_their_zero_value_as_in_go(pods: Kind) -> None:
    obj, _ = decode(pods, {"status": {"conditions": [{"type": "Ready"}]}})
    assert obj["status"]["conditions"] == [{"type": "Ready", "status": ""}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"spec": {"containers": [{"ports": [{"containerPort": "x"}]}]}},
         "json: cannot unmarshal string into Go struct field "
         "ContainerPort.spec.containers.ports.containerPort of type int32"),
        ({"spec": {"containers": [{"ports": [{"containerPort": 1.5}]}]}},
         "json: cannot unmarshal number 1.5 into Go struct field "
         "ContainerPort.spec.containers.ports.containerPort of type int32"),
        ({"spec": {"priority": 2**31}},
         "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32"),
        ({"spec": {"hostNetwork": "true"}},
         "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool"),
        ({"spec": {"containers": {}}},
         "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ({"spec": "x"}, "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        ({"spec": {"restartPolicy": 1}},
         "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy"),
        ({"spec": {"containers": [{"securityContext": {"capabilities": {"add": "x"}}}]}},
         "json: cannot unmarshal string into Go struct field "
         "Capabilities.spec.containers.securityContext.capabilities.add of type []v1.Capability"),
        ({"metadata": {"labels": {"a": 1}}},
         "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
        ({"metadata": {"labels": ["a"]}},
         "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
        ({"metadata": {"creationTimestamp": "x"}},
         'parsing time "x": the form must be that of 2006-01-02T15:04:05Z'),
        ({"metadata": {"creationTimestamp": "2024-13-01T00:00:00Z"}},
         'parsing time "2024-13-01T00:00:00Z": out of range'),
        ({"spec": {"containers": [{"resources": {"limits": {"cpu": "x"}}}]}},
         "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ({"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": True}}}]}},
         "json: cannot unmarshal bool into Go struct field "
         "HTTPGetAction.spec.containers.livenessProbe.httpGet.port of type int32"),
    ],
)  # fmt: skip
def test_wrong_types_are_told_as_go_tells_them(pods: Kind, value: Object, expected: str) -> None:
    assert refused(pods, value) == f'Pod in version "v1" cannot be handled as a Pod: {expected}'


@pytest.mark.parametrize(
    ("body", "column", "shown"),
    [
        (b"", 1, "<empty>"),
        (b'{"a":', 6, '{"a":'),
        (b'{"a":1,}', 7, '{"a":1,}'),
        (b"{}x", 3, "{}x"),
        (b"x", 1, "78"),
        (b'{"a":"' + b"b" * 40, 47, '{"a":"' + "b" * 24 + " ..."),
    ],
)
def test_malformed_json(pods: Kind, body: bytes, column: int, shown: str) -> None:
    start = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
    message = refused(pods, body)
    assert message.startswith(start)
    assert message.endswith(f": line 1 column {column} (char {column - 1}) ({shown})")


DEEP = b'{"metadata":{"managedFields":[{"fieldsV1":' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}]}}"


@pytest.mark.parametrize(
    "body",
    [b'{"a": NaN}', b"\xff\xfe", b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"[" * 5000, b'{"a":' * 5000, DEEP],
    ids=str,
)
def test_hostile_json_is_a_bad_request(pods: Kind, body: bytes) -> None:
    assert refused(pods, body).startswith("the object provided is unrecognized (must be of type Pod)")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"apiVersion": "v1", "kind": "Foo"},
         'Foo in version "v1" cannot be handled as a Pod: no kind "Foo" is registered for version "v1" in scheme '
         '"pkg/api/legacyscheme/scheme.go:30"'),
        ({"apiVersion": "v1", "kind": "Service"},
         'Service in version "v1" cannot be handled as a Pod: '
         "converting (v1.Service) to (core.Pod): unknown conversion"),
        ([], "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
         "json: cannot unmarshal array into Go value of type "
         'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
         'Kind string "json:\\"kind,omitempty\\"" } (5b5d)'),
        ({"kind": 5}, "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; "
         'json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({"kind":5})'),
    ],
)  # fmt: skip
def test_bodies_of_another_kind(pods: Kind, value: Any, expected: str) -> None:
    assert refused(pods, value) == expected


def test_another_version_of_the_kind(leases: Kind) -> None:
    message = refused(leases, {"apiVersion": "coordination.k8s.io/v1beta1", "kind": "Lease"})
    assert message.startswith('Lease in version "v1beta1" cannot be handled as a Lease: no kind "Lease" is registered')


def test_unknown_fields_are_dropped_and_warned_of(services: Kind) -> None:
    body = {"spec": {"foo": 1, "ports": [{"port": 1}, {"port": 2, "bar": {}}]}, "baz": None}
    obj, warnings = decode(services, body)
    assert obj["spec"] == {"ports": [{"port": 1}, {"port": 2}]}
    assert warnings == ['unknown field "spec.foo"', 'unknown field "spec.ports[1].bar"', 'unknown field "baz"']


def test_field_validation_ignore_says_nothing(services: Kind) -> None:
    assert decode(services, b'{"x":1,"spec":{"type":"A","type":"B"}}', "Ignore")[1] == []


DOUBLED = b'{"spec":{"type":"A","x":1,"ports":[{"port":1,"port":2}],"type":"B"},"x":{"y":1,"y":2}}'
DOUBLED_PROBLEMS = [
    'unknown field "spec.x"',
    'duplicate field "spec.ports[0].port"',
    'duplicate field "spec.type"',
    'unknown field "x"',
]


def test_duplicates_are_found_in_the_order_of_the_document(services: Kind) -> None:
    obj, warnings = decode(services, DOUBLED)
    assert warnings == DOUBLED_PROBLEMS
    assert obj["spec"] == {"type": "B", "ports": [{"port": 2}]}


def test_strict_refuses_what_warn_warns_of(services: Kind) -> None:
    message = refused(services, DOUBLED, "Strict")
    expected = ", ".join(DOUBLED_PROBLEMS)
    assert message == f'Service in version "v1" cannot be handled as a Service: strict decoding error: {expected}'


@pytest.mark.parametrize(
    "body", [b'{"metadata":{"name" : "a","name" : "a"}}', b'{"metadata":{"name":"\\u0022","name":1}}']
)
def test_duplicates_cannot_hide(pods: Kind, body: bytes) -> None:
    try:
        _, warnings = decode(pods, body)
    except BadRequest as error:
        assert "cannot unmarshal number" in error.message  # the last one counts, and it is of the wrong type
    else:
        assert warnings == ['duplicate field "metadata.name"']


def test_formats_are_normalised(pods: Kind) -> None:
    container = {"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": 1}}}
    obj, _ = decode(
        pods, {"metadata": {"creationTimestamp": "2024-01-01T00:30:00.5+01:00"}, "spec": {"containers": [container]}}
    )
    assert obj["metadata"]["creationTimestamp"] == "2023-12-31T23:30:00Z"
    assert obj["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "1"},
    }


def test_micro_times_have_six_decimals(leases: Kind) -> None:
    time = "2024-01-01T00:00:00.123456Z"
    assert decode(leases, {"spec": {"renewTime": time}})[0]["spec"]["renewTime"] == time
    assert refused(leases, {"spec": {"renewTime": "2024-01-01T00:00:00Z"}}).endswith(
        "the seconds must have six decimals"
    )


def test_years_have_four_digits(leases: Kind) -> None:
    """Upstream's suite makes leases of the year 1, and its clients refuse a shorter year."""
    times = {"acquireTime": "0001-01-01T00:00:02.000000Z", "renewTime": "0001-01-01T00:00:05.000000Z"}
    lease = {"metadata": {"creationTimestamp": "0001-01-01T00:00:00Z"}, "spec": times}
    obj, _ = decode(leases, lease)
    assert obj["spec"] == times
    assert obj["metadata"]["creationTimestamp"] == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["%%%", "YWJ", "YWJjZ", "YWJj!", "====", "YWJjé"])
def test_secrets_must_be_base64(secrets: Kind, text: str) -> None:
    assert refused(secrets, {"data": {"k": text}}).endswith("illegal base64 data")


def test_line_breaks_in_base64_go(secrets: Kind) -> None:
    assert decode(secrets, {"data": {"k": "YW\r\nJj\n"}})[0]["data"] == {"k": "YWJj"}


def test_yaml(pods: Kind) -> None:
    body = b"""
metadata:
  name: a
  creationTimestamp: 2024-01-01T00:00:00Z
  labels: &l {a: b}
  annotations: *l
x: 1
---
second: document
"""
    obj, warnings = pods.codec.decode(pods, body, "application/yaml; charset=utf-8")
    labels = {"a": "b"}
    assert obj["metadata"] == {
        "name": "a",
        "creationTimestamp": "2024-01-01T00:00:00Z",
        "labels": labels,
        "annotations": labels,
    }
    assert obj["metadata"]["labels"] is not obj["metadata"]["annotations"]
    assert warnings == ['unknown field "x"']


def test_duplicates_in_yaml(pods: Kind) -> None:
    body = b"metadata:\n  name: a\n  name: b\nx: 1"
    duplicate = 'yaml: unmarshal errors:\n  line 3: key "name" already set in map'
    obj, warnings = pods.codec.decode(pods, body, "application/yaml")
    assert obj["metadata"] == {"name": "b"}
    assert warnings == [duplicate, 'unknown field "x"']
    assert pods.codec.decode(pods, body, "application/yaml", field_validation="Ignore")[1] == []
    with pytest.raises(BadRequest, match="strict decoding error: yaml: unmarshal errors"):
        pods.codec.decode(pods, body, "application/yaml", field_validation="Strict")


def test_merge_keys_of_yaml_are_no_duplicates(pods: Kind) -> None:
    body = b"metadata: {labels: &a {x: w}, annotations: {<<: *a, x: z}}"
    obj, warnings = pods.codec.decode(pods, body, "application/yaml")
    assert obj["metadata"]["annotations"] == {"x": "z"}
    assert warnings == []


LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % (name - 1)] * 9)) for name in b"bcdefghij"
)


@pytest.mark.parametrize(
    "body", [b"a: b: c", b"{", b"a: [1", b"? [a]\n: b", b"a: .nan", b"\xff\xff\xff", b"a: &a [*a]", LAUGHS]
)
def test_malformed_yaml(pods: Kind, body: bytes) -> None:
    with pytest.raises(BadRequest, match="error converting YAML to JSON"):
        pods.codec.decode(pods, body, "application/yaml")


@pytest.mark.parametrize("content_type", ["application/vnd.kubernetes.protobuf+x", "text/plain", "x"])
def test_other_content_types(pods: Kind, content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        pods.codec.decode(pods, b"{}", content_type)
    assert caught.value.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def test_delete_options_may_be_of_any_group() -> None:
    options = Kind("", "v1", "DeleteOptions", "", UpstreamCodec("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"))
    body = {"apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    assert decode(options, body)[0]["gracePeriodSeconds"] == 0


def test_an_older_version_is_converted_before_it_is_checked(slices: Kind) -> None:
    def convert(obj: Object, version: str, inward: bool) -> None:
        assert (version, inward) == ("v1beta1", True)
        for endpoint in obj["endpoints"]:
            endpoint["zone"] = endpoint.pop("topology")["zone"]

    kind = Kind(slices.group, "v1", slices.kind, slices.plural, UpstreamCodec(slices.definition), convert=convert)
    body = {
        "apiVersion": "discovery.k8s.io/v1beta1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["1.2.3.4"], "topology": {"zone": "a"}}],
    }
    obj, warnings = kind.codec.decode(kind, orjson.dumps(body), JSON, version="v1beta1")
    assert obj["endpoints"] == [{"addresses": ["1.2.3.4"], "zone": "a"}]
    assert obj["apiVersion"] == "discovery.k8s.io/v1"
    assert warnings == []


def test_check_prunes_what_a_patch_made(pods: Kind) -> None:
    obj, warnings = pods.codec.check({"metadata": {"name": "a", "x": 1}, "spec": {"containers": None}})
    assert obj == {"metadata": {"name": "a"}, "spec": {}}
    assert warnings == ['unknown field "metadata.x"']


def test_check_refuses_with_422(pods: Kind) -> None:
    with pytest.raises(Invalid) as caught:
        pods.codec.check({"spec": {"containers": [1]}})
    assert caught.value.message.startswith(' "" is invalid: patch: Invalid value: "{\\"spec\\":')
    assert caught.value.message.endswith(
        "cannot unmarshal number into Go struct field PodSpec.spec.containers of type v1.Container"
    )
    with pytest.raises(Invalid, match='strict decoding error: unknown field "x"'):
        pods.codec.check({"x": 1}, field_validation="Strict")


def test_definitions_that_contain_themselves_compile() -> None:
    node = node_of("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition")
    assert node.child("spec") is not None
