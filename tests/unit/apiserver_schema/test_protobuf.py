"""Protobuf: every field of every kind, judged by the library protobuf, and what is malformed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson
import pytest
from everykind import ROWS
from filled import META, Filler, known
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.openapi.definitions import versioned
from apiserver.model.kind import Kind
from apiserver.schema import gotypes, protobuf
from apiserver.schema.codec import UpstreamCodec
from apiserver.schema.definitions import Definition, reachable, target
from apiserver.schema.gotypes import GoField, alias
from apiserver.schema.wire import UNKNOWN, message
from machinery.errors import BadRequest, UnsupportedMediaType

PROTOBUF = "application/vnd.kubernetes.protobuf"
CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", UpstreamCodec("io.k8s.api.core.v1.ConfigMap"))
STRUCTS = gotypes.load()


def served() -> Iterator[str]:
    """The definitions of everything that is served, of the lists, and of the bodies of subresources."""
    for kind in ROWS:
        yield from (kind.definition, f"{kind.definition}List")
        yield from (row.definition for row in kind.subresources if row.definition)
    yield from (f"{META}.{name}" for name in ("APIGroupList", "APIResourceList", "DeleteOptions", "Status"))


SERVED = sorted({name for name in served() if name in known() and (not name.endswith("Options") or "Delete" in name)})


# --- the table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in reachable(known(), SERVED) if known()[n].get("properties")])
def test_every_field_of_a_definition_has_a_number_and_the_right_type(name: str) -> None:
    fields = gotypes.flat(STRUCTS, alias(name))
    properties = {key: schema for key, schema in known()[name]["properties"].items() if not _is_identity(name, key)}
    assert fields.keys() == properties.keys()
    assert {key: _type_of(fields[key]) for key in fields} == {key: _wanted(properties[key]) for key in properties}


def _is_identity(name: str, key: str) -> bool:
    return key in ("apiVersion", "kind") and "x-kubernetes-group-version-kind" in known()[name]


def _type_of(field: GoField) -> str:
    if field.type.endswith((".ExtraValue", ".Verbs")):
        return f"{field.label}[]string"
    return field.label + {"meta.v1.Duration": "string"}.get(field.type, field.type)


def _wanted(schema: Definition) -> str:
    """The type that a schema has in the table; embedded objects and texts with a format have one of their own."""
    if name := target(schema):
        return alias(name)
    kind = schema.get("type", "")
    match kind if isinstance(kind, str) else kind[0]:
        case "string":
            return {"byte": "bytes", "date-time": "meta.v1.Time"}.get(schema.get("format", ""), "string")
        case "boolean":
            return "bool"
        case "integer":
            return str(schema["format"])
        case "number":
            return "double"
        case "array":
            return f"[]{_wanted(schema['items'])}"
        case "object":
            return f"{{}}{_wanted(schema['additionalProperties'])}"
    return "?"


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: str(kind.resource))
def test_every_version_of_a_kind_and_its_list_have_a_form(kind: Kind) -> None:
    for version in kind.versions:
        api_version = f"{kind.group}/{version}" if kind.group else version
        assert protobuf.struct_of(api_version, kind.kind) == alias(versioned(kind, version))
        if "list" in kind.verbs:
            assert protobuf.struct_of(api_version, kind.list_kind) == alias(versioned(kind, version)) + "List"


def test_kinds_of_meta_belong_to_every_group() -> None:
    assert protobuf.struct_of("apps/v1", "DeleteOptions") == "meta.v1.DeleteOptions"
    assert protobuf.struct_of("meta.k8s.io/v1beta1", "PartialObjectMetadata") == "meta.v1.PartialObjectMetadata"
    assert protobuf.struct_of("example.com/v1", "Foo") == ""


# --- round trips -------------------------------------------------------------------------------------------------


@cache
def _library() -> dict[str, Any]:
    """The classes of all messages, as the library protobuf makes them of the same numbers."""
    scalars = {"bool": 8, "bytes": 12, "double": 1, "int32": 5, "int64": 3, "string": 9}
    file = descriptor_pb2.FileDescriptorProto(name="k.proto", package="k", syntax="proto2")
    for name, text in STRUCTS.items():
        made = file.message_type.add(name=name.replace(".", "_"))
        for field in gotypes.parse(text):
            row = made.field.add(name=f"f{field.number}", number=field.number, label=3 if field.label else 1)
            one = row
            if field.label == "{}":
                entry = made.nested_type.add(name=f"F{field.number}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=1, type=9)
                one = entry.field.add(name="value", number=2, label=1)
                row.type, row.type_name = 11, f".k.{made.name}.{entry.name}"
            if field.type in scalars:
                one.type = scalars[field.type]
            else:
                one.type, one.type_name = 11, f".k.{field.type.replace('.', '_')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"k.{name.replace('.', '_')}") for name in STRUCTS}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", SERVED)
def test_there_and_back(name: str, seed: int) -> None:
    obj = Filler(seed).value(name)
    written = message(alias(name)).write(obj)
    read: dict[str, Any] = {}
    message(alias(name)).read(written, 0, len(written), read)
    assert _text(read) == _text(obj)

    judge = _library()[alias(name)].FromString(written)
    size = judge.ByteSize()
    judge.DiscardUnknownFields()
    assert judge.ByteSize() == size, "the library knows every field"
    again: dict[str, Any] = {}
    by_library = judge.SerializeToString()
    message(alias(name)).read(by_library, 0, len(by_library), again)
    assert _text(again) == _text(obj)


def _text(value: Any) -> bytes:
    """Unlike ==, this tells 1 from True and from 1.0."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: str(kind.resource))
def test_a_body_in_protobuf_is_decoded_as_one_in_json(kind: Kind, seed: int) -> None:
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, **Filler(seed).value(kind.definition)}
    from_protobuf = kind.codec.decode(kind, protobuf.serialize(obj), PROTOBUF, field_validation="Strict")
    from_json = kind.codec.decode(kind, orjson.dumps(obj), "application/json", field_validation="Strict")
    assert _text(from_protobuf) == _text(from_json)


# --- presence ----------------------------------------------------------------------------------------------------

# kubectl 1.32 create configmap c1 --from-literal=a=b
CREATE_CONFIG_MAP = bytes.fromhex(
    "6b3873000a0f0a0276311209436f6e6669674d6170121c0a120a02633112001a0022002a0032003800420012060a01611201621a002200"
)


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def envelope(kind: str, body: bytes, api_version: str = "v1") -> bytes:
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, body)


def parse(body: bytes) -> dict[str, Any]:
    return protobuf.parse(body, "v1", "ConfigMap", CONFIG_MAPS.definition)


def test_create_configmap_as_kubectl_sends_it() -> None:
    obj, warnings = CONFIG_MAPS.codec.decode(CONFIG_MAPS, CREATE_CONFIG_MAP, PROTOBUF, field_validation="Strict")
    assert obj == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c1"}, "data": {"a": "b"}}
    assert warnings == []


def test_create_quota_as_kubectl_sends_it() -> None:
    """kubectl 1.32 -n q2 create quota q --hard=cpu=1"""
    body = bytes.fromhex(
        "6b3873000a130a02763112"
        "0d5265736f7572636551756f746112250a130a0171"
        "12001a0271322200"
        "2a00320038004200"
        "120c0a0a0a0363707512030a01311a002200"
    )
    assert parse(body) == {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "q2"},
        "spec": {"hard": {"cpu": "1"}},
        "status": {},
    }


def test_an_event_as_upstream_sends_it() -> None:
    """From a watch of kube-apiserver v1.20.2; fields stand in the order of the object here."""
    event = (
        b"\x00\x00\x00q\n\x05ADDED\x12h\nfk8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12K\nI\n\x01g\x12\x00\x1a\x07default"
        b'"\x00*$b5950104-746f-4bac-a26b-79c085d2e5082\x032058\x00B\x08\x08\xdb\xaf\xb1\xd8\x06\x10\x00z\x00\x1a\x00"\x00'
    )
    begin = event.index(protobuf.MAGIC)
    obj = parse(event[begin:])
    assert obj["metadata"] == {
        "name": "g",
        "namespace": "default",
        "uid": "b5950104-746f-4bac-a26b-79c085d2e508",
        "resourceVersion": "205",
        "creationTimestamp": "2026-11-29T16:50:35Z",
    }
    ours = protobuf.frame("ADDED", protobuf.serialize(obj))
    # Upstream also writes the four texts of metadata that are empty, with two bytes each, and the generation.
    assert int.from_bytes(ours[:4], "big") == len(ours) - 4 == len(event) - 4 - 8
    assert parse(ours[ours.index(protobuf.MAGIC) :]) == obj


def test_pointers_keep_their_zero_and_others_do_not(services: Kind) -> None:
    port = field(1, "") + field(3, 80) + field(4, field(1, 1) + field(2, 0) + field(3, "http")) + field(5, 0)
    spec = (
        field(1, port) + field(1, field(3, 81) + field(4, field(1, 0) + field(2, 8081))) + field(20, 0) + field(13, 0)
    )
    spec += field(2, field(1, "a") + field(2, "b"))
    obj, _ = services.codec.decode(services, envelope("Service", field(1, field(1, "s")) + field(2, spec)), PROTOBUF)
    assert obj["spec"] == {
        "ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}],
        "selector": {"a": "b"},
        "allocateLoadBalancerNodePorts": False,
    }


def test_zeros_in_json_are_left_out_as_those_in_protobuf(services: Kind) -> None:
    spec = {"ports": [{"port": 80, "nodePort": 0, "name": ""}], "publishNotReadyAddresses": False}
    spec |= {"allocateLoadBalancerNodePorts": False, "sessionAffinityConfig": {}}
    body = orjson.dumps({"metadata": {"name": "s"}, "spec": spec})
    obj, _ = services.codec.decode(services, body, "application/json")
    assert obj["spec"] == {"ports": [{"port": 80}], "allocateLoadBalancerNodePorts": False, "sessionAffinityConfig": {}}


def test_the_last_of_a_field_that_comes_twice_counts_and_messages_are_merged() -> None:
    first, second = field(1, "a") + field(3, "n"), field(1, "b") + field(3, "")
    assert parse(envelope("ConfigMap", field(1, first) + field(1, second)))["metadata"] == {"name": "b"}


def test_bytes_and_times(secrets: Kind) -> None:
    meta = field(1, "s") + field(8, field(1, 1_704_067_200)) + field(9, b"")
    data = field(1, "k") + field(2, b"\0\xff")
    obj, _ = secrets.codec.decode(secrets, envelope("Secret", field(1, meta) + field(2, data)), PROTOBUF)
    assert obj["metadata"] == {"name": "s", "creationTimestamp": "2024-01-01T00:00:00Z"}
    assert obj["data"] == {"k": "AP8="}


def test_deletion_at_once() -> None:
    body = envelope("DeleteOptions", field(1, 0) + field(2, field(1, "uid")) + field(3, 1) + field(5, "All"), "apps/v1")
    assert parse(body) == {
        "apiVersion": "apps/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "uid"},
        "orphanDependents": True,
        "dryRun": ["All"],
    }


def test_negative_numbers() -> None:
    body = envelope("DeleteOptions", field(1, -5))
    assert parse(body) == {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": -5}


def test_packed_numbers() -> None:
    body = envelope("Pod", field(2, field(14, field(4, b"\x01\xac\x02") + field(4, 7))))
    assert parse(body)["spec"] == {"securityContext": {"supplementalGroups": [1, 300, 7]}}


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("800ms", 800_000_000),
        ("15s", 15_000_000_000),
        ("1m0s", 60_000_000_000),
        ("1h0m1.5s", 3_601_500_000_000),
        ("-2s", -2_000_000_000),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    metrics = {"apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "window": text}
    body = protobuf.serialize(metrics)
    assert field(3, field(1, nanoseconds)) in body
    assert protobuf.parse(body, "", "", "") == metrics


def test_an_old_version_has_numbers_of_its_own() -> None:
    endpoint = {"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "a"}]}}
    slices = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "endpoints": [endpoint]}
    hints = field(1, field(1, "a"))
    assert field(8, hints) in protobuf.serialize(slices)
    assert field(7, hints) in protobuf.serialize({**slices, "apiVersion": "discovery.k8s.io/v1beta1"})


def test_what_has_no_form() -> None:
    with pytest.raises(KeyError, match=r"Foo of example.com/v1 has no form in protobuf"):
        protobuf.serialize({"apiVersion": "example.com/v1", "kind": "Foo"})


# --- what is malformed: the words are those of kube-apiserver v1.20.2 ----------------------------------------------

UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "
CANNOT = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", UNRECOGNIZED + "empty data (<empty>)"),
        (
            b"{}",
            UNRECOGNIZED + "provided data does not appear to be a protobuf message, expected prefix "
            "[107 56 115 0] ({})",
        ),
        (b"k8s\0", UNRECOGNIZED + "empty body (6b387300)"),
        (b"k8s\0\xff\xff\xff", UNRECOGNIZED + "unexpected EOF (6b387300ffffff)"),
        (CREATE_CONFIG_MAP[:-8], UNRECOGNIZED + f"unexpected EOF ({CREATE_CONFIG_MAP[:30].hex()} ...)"),
        (envelope("ConfigMap", b"\x0a\x10\x0a\x01a"), CANNOT + "unexpected EOF"),
        (envelope("ConfigMap", field(1, 5)), CANNOT + "proto: wrong wireType = 0 for field ObjectMeta"),
        (envelope("ConfigMap", b"\x00\x05"), CANNOT + "proto: ConfigMap: illegal tag 0 (wire type 0)"),
        (envelope("ConfigMap", b"\xa7\x06"), CANNOT + "proto: illegal wireType 7"),
        (envelope("ConfigMap", b"\xa4\x06"), CANNOT + "proto: ConfigMap: wiretype end group for non-group"),
        (envelope("ConfigMap", b"\x0a\xff\xff\xff\xff\x0f"), CANNOT + "unexpected EOF"),
        (
            envelope("ConfigMap", b"\x0a" + b"\xff" * 9 + b"\x01"),
            CANNOT + "proto: negative length found during unmarshaling",
        ),
        (envelope("ConfigMap", b"\x0a" + b"\xff" * 11), CANNOT + "proto: integer overflow"),
        (envelope("ConfigMap", field(1, field(1, b"\xff"))), CANNOT + "string field contains invalid UTF-8"),
        (
            envelope("ConfigMap", field(1, field(8, field(1, 1 << 60)))),
            CANNOT + "Time.MarshalJSON: year outside of range [0,9999]",
        ),
        (envelope("ConfigMap", field(1, field(17, field(7, field(1, b"{"))))), CANNOT + "unexpected end of data"),
        (
            envelope("Secret", b""),
            'Secret in version "v1" cannot be handled as a ConfigMap: '
            "converting (v1.Secret) to (core.ConfigMap): unknown conversion",
        ),
        (
            envelope("Nope", b""),
            'Nope in version "v1" cannot be handled as a ConfigMap: no kind "Nope" is registered for version "v1" '
            'in scheme "pkg/api/legacyscheme/scheme.go:30"',
        ),
    ],
)
def test_malformed_bodies(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        CONFIG_MAPS.codec.decode(CONFIG_MAPS, body, PROTOBUF)
    assert caught.value.message.startswith(message)


def test_fields_with_unknown_numbers_are_dropped() -> None:
    strange = field(100, 5) + field(101, "x") + varint(102 << 3 | 5) + b"1234" + varint(103 << 3 | 1) + b"12345678"
    group = varint(104 << 3 | 3) + strange + varint(105 << 3 | 3) + varint(105 << 3 | 4) + varint(104 << 3 | 4)
    body = envelope("ConfigMap", strange + group + field(1, field(1, "a")))
    assert CONFIG_MAPS.codec.decode(CONFIG_MAPS, body, PROTOBUF, field_validation="Strict")[1] == []
    assert parse(body)["metadata"] == {"name": "a"}


def test_a_body_may_leave_its_kind_out() -> None:
    body = protobuf.MAGIC + field(2, field(1, field(1, "a")))
    assert CONFIG_MAPS.codec.decode(CONFIG_MAPS, body, PROTOBUF)[0]["metadata"] == {"name": "a"}


def test_a_schema_may_not_be_nested_for_ever() -> None:
    definition = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    kind = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "", UpstreamCodec(definition))
    for depth in (300, 100_000):
        schema = b""
        lengths = [0]
        for _ in range(depth):  # of JSONSchemaProps.not, from the inside
            lengths.append(lengths[-1] + 2 + len(varint(lengths[-1])))
        schema = b"".join(varint(28 << 3 | 2) + varint(length) for length in reversed(lengths[:-1]))
        body = envelope(kind.kind, field(2, field(7, field(4, field(1, schema)))), kind.api_version)
        since = time.process_time()
        with pytest.raises(BadRequest, match="exceeded max depth"):
            kind.codec.decode(kind, body, PROTOBUF)
        assert time.process_time() - since < 2


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_understood(tail: bytes) -> None:
    for body in (envelope("ConfigMap", tail), envelope("ConfigMap", field(1, tail)), b"k8s\0" + tail):
        try:
            obj, _ = CONFIG_MAPS.codec.decode(CONFIG_MAPS, body, PROTOBUF)
            assert protobuf.parse(protobuf.serialize(obj), "", "", "") == obj
        except BadRequest as error:
            assert error.message


@given(st.data(), st.sampled_from([name for name in SERVED if name.endswith((".Pod", ".Lease", "Definition"))]))
def test_a_damaged_body_is_refused_or_understood(data: st.DataObject, name: str) -> None:
    kind = Kind("", "v1", name.rpartition(".")[2], "", UpstreamCodec(name))
    written = bytearray(message(UNKNOWN).write({"raw": message(alias(name)).write(Filler(1).value(name))}))
    for _ in range(data.draw(st.integers(1, 3))):
        written[data.draw(st.integers(0, len(written) - 1))] = data.draw(st.integers(0, 255))
    try:
        kind.codec.decode(kind, protobuf.MAGIC + bytes(written[: data.draw(st.integers(0, len(written)))]), PROTOBUF)
    except BadRequest as error:
        assert error.message


def test_patches_are_not_in_protobuf() -> None:
    from apiserver import patch

    with pytest.raises(UnsupportedMediaType):
        patch.accepted_type(PROTOBUF, CONFIG_MAPS)
