"""The protobuf bodies that kubectl since 1.32 sends, and that everything else in protobuf is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.model.kind import Kind
from apiserver.schema import protobuf
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import BadRequest, UnsupportedMediaType

PROTOBUF = "application/vnd.kubernetes.protobuf"
CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", UpstreamCodec("io.k8s.api.core.v1.ConfigMap"))

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


def envelope(kind: str, message: bytes, api_version: str = "v1") -> bytes:
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, message)


def test_create_configmap_as_kubectl_sends_it() -> None:
    obj, warnings = CONFIG_MAPS.codec.decode(CONFIG_MAPS, CREATE_CONFIG_MAP, PROTOBUF, field_validation="Strict")
    assert obj == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c1"}, "data": {"a": "b"}}
    assert warnings == []


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


def test_bytes_and_times(secrets: Kind) -> None:
    meta = field(1, "s") + field(8, field(1, 1_704_067_200)) + field(9, b"")
    data = field(1, "k") + field(2, b"\0\xff")
    obj, _ = secrets.codec.decode(secrets, envelope("Secret", field(1, meta) + field(2, data)), PROTOBUF)
    assert obj["metadata"] == {"name": "s", "creationTimestamp": "2024-01-01T00:00:00Z"}
    assert obj["data"] == {"k": "AP8="}


def test_create_quota_as_kubectl_sends_it() -> None:
    """kubectl 1.32 -n q2 create quota q --hard=cpu=1"""
    body = bytes.fromhex(
        "6b3873000a130a02763112"
        "0d5265736f7572636551756f746112250a130a0171"
        "12001a0271322200"
        "2a00320038004200"
        "120c0a0a0a0363707512030a01311a002200"
    )
    obj = protobuf.parse(body)
    assert obj == {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "q2"},
        "spec": {"hard": {"cpu": "1"}},
    }


def test_deletion_at_once() -> None:
    body = envelope("DeleteOptions", field(1, 0) + field(2, field(1, "uid")) + field(3, 1) + field(5, "All"), "apps/v1")
    assert protobuf.parse(body) == {
        "apiVersion": "apps/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "uid"},
        "orphanDependents": True,
        "dryRun": ["All"],
    }


def test_negative_numbers() -> None:
    body = envelope("DeleteOptions", field(1, -5))
    assert protobuf.parse(body) == {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": -5}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\0",
        b"k8s\0\xff\xff\xff",
        CREATE_CONFIG_MAP[:-3],
        envelope("Pod", field(1, b"")),
        envelope("ConfigMap", field(1, 5)),
        envelope("ConfigMap", field(1, field(1, b"\xff"))),
        b"k8s\0" + field(2, b""),
    ],
)
def test_everything_else_is_refused(body: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        CONFIG_MAPS.codec.decode(CONFIG_MAPS, body, PROTOBUF)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_understood(tail: bytes) -> None:
    try:
        CONFIG_MAPS.codec.decode(CONFIG_MAPS, envelope("ConfigMap", tail), PROTOBUF)
        CONFIG_MAPS.codec.decode(CONFIG_MAPS, b"k8s\0" + tail, PROTOBUF)
    except (UnsupportedMediaType, BadRequest) as error:
        assert error.message


def test_another_kind_is_refused_as_in_json() -> None:
    with pytest.raises(BadRequest, match="Namespace in version"):
        CONFIG_MAPS.codec.decode(CONFIG_MAPS, envelope("Namespace", b""), PROTOBUF)
