"""What field selectors may ask of each kind (upstream: AddFieldLabelConversionFunc in pkg/apis)."""

from __future__ import annotations

import pytest
from everykind import REGISTRY

from apiserver.model.kind import Kind
from apiserver.registry.listoptions import fields_of, parse_list_options
from machinery.errors import BadRequest

# Beside metadata.name; every kind that is not here has metadata.namespace too, and nothing else.
_SUBJECT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
SELECTABLE = {
    "pods": {
        "metadata.namespace", "spec.host", "spec.hostNetwork", "spec.nodeName", "spec.restartPolicy",
        "spec.schedulerName", "spec.serviceAccountName", "status.nominatedNodeName", "status.phase", "status.podIP",
        "status.podIPs",
    },
    "nodes": {"spec.unschedulable"},
    "namespaces": {"status.phase"},
    "replicationcontrollers": {"metadata.namespace", "status.replicas"},
    "secrets": {"metadata.namespace", "type"},
    "services": {"metadata.namespace", "spec.clusterIP", "spec.type"},
    "events": {"metadata.namespace", "reason", "reportingComponent", "source", "type"}
    | {f"involvedObject.{field}" for field in _SUBJECT},
    "events.events.k8s.io": {"metadata.namespace", "reason", "reportingController", "type"}
    | {f"regarding.{field}" for field in _SUBJECT},
    "certificatesigningrequests.certificates.k8s.io": {"spec.signerName"},
}  # fmt: skip


@pytest.mark.parametrize("kind", REGISTRY.stored(), ids=lambda kind: kind.resource)
def test_each_kind_has_upstreams(kind: Kind) -> None:
    expected = SELECTABLE.get(f"{kind.plural}.{kind.group}".strip("."), {"metadata.namespace"})
    assert set(fields_of(kind, {"metadata": {}})) == {"metadata.name"} | expected


def test_others_are_refused_in_two_ways() -> None:
    pods, config_maps = REGISTRY.find("", "v1", "pods"), REGISTRY.find("", "v1", "configmaps")
    with pytest.raises(BadRequest) as error:
        parse_list_options(pods, {"fieldSelector": "spec.nodeName=a,spec.x=b"})
    assert error.value.message == "field label not supported: spec.x"
    with pytest.raises(BadRequest) as error:
        parse_list_options(config_maps, {"fieldSelector": "data=b"})
    assert error.value.message == ('"data" is not a known field selector: only "metadata.name", "metadata.namespace"')
