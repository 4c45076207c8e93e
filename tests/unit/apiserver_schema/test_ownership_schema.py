"""What the compiled nodes say about owners: which lists and maps are divided, and by what."""

from __future__ import annotations

import pytest

from apiserver.schema.compiled import node_of
from apiserver.schema.tree import Array, Map, SchemaNode, Struct

CORE = "io.k8s.api.core.v1."


def at(kind: str, *path: str) -> SchemaNode:
    node: SchemaNode | None = node_of(CORE + kind)
    for key in path:
        assert node is not None
        node = node.child(key)
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("path", "list_type", "keys", "defaults"),
    [
        (("PodSpec", "containers"), "map", ("name",), {"name": ""}),
        (
            ("Container", "ports"),
            "map",
            ("containerPort", "protocol"),
            {"containerPort": 0, "protocol": "TCP"},
        ),
        (("ServiceSpec", "ports"), "map", ("port", "protocol"), {"port": 0, "protocol": "TCP"}),
        (("ServiceAccount", "secrets"), "map", ("name",), {}),
        (("PodSpec", "imagePullSecrets"), "map", ("name",), {"name": ""}),
        (("PodSpec", "tolerations"), "atomic", (), {}),
        (("NodeSpec", "podCIDRs"), "set", (), {}),
    ],
)
def test_lists(path: tuple[str, ...], list_type: str, keys: tuple[str, ...], defaults: dict[str, object]) -> None:
    node = at(*path)
    assert isinstance(node, Array)
    assert (node.list_type, node.list_keys, node.key_defaults) == (list_type, keys, defaults)


def test_maps_and_structs() -> None:
    selector = at("ReplicationControllerSpec", "selector")
    assert isinstance(selector, Map)
    assert selector.atomic
    labels = at("Pod", "metadata", "labels")
    assert isinstance(labels, Map)
    assert not labels.atomic


def test_a_reference_may_differ_from_what_it_refers_to() -> None:
    claim, reference = at("PersistentVolumeSpec", "claimRef"), at("Event", "involvedObject")
    assert isinstance(claim, Struct)
    assert isinstance(reference, Struct)
    assert (claim.atomic, reference.atomic) == (False, True)


def test_what_is_always_there() -> None:
    pod, spec, condition = at("Pod"), at("PodSpec"), at("PodCondition")
    assert isinstance(pod, Struct)
    assert isinstance(spec, Struct)
    assert isinstance(condition, Struct)
    assert pod.empties == {"metadata": {}, "spec": {}, "status": {}}
    assert spec.empties == {"containers": []}
    assert condition.empties == {"lastProbeTime": None, "lastTransitionTime": None}
