from __future__ import annotations

from typing import Any

import pytest

from controllers.services.endpoints import OVER_CAPACITY, canonical, plan, truncate
from controllers.services.serviceendpoints import find_port, has_endpoints_of_pods, relevant_to_endpoints
from machinery.objects import Object


def service(**spec: Any) -> Object:
    meta = {"name": "svc", "namespace": "ns", "uid": "u"}
    return {"metadata": meta, "spec": {"selector": {"app": "x"}, "clusterIP": "172.30.0.1", **spec}}


def test_ready_addresses_are_kept_before_the_others() -> None:
    subsets = [{"addresses": [1], "notReadyAddresses": [2, 3], "ports": ["p"]}, {"addresses": [4, 5], "ports": ["q"]}]
    assert truncate(subsets, 5) is subsets
    assert truncate(subsets, 4) == [
        {"addresses": [1], "notReadyAddresses": [2], "ports": ["p"]},
        {"addresses": [4, 5], "ports": ["q"]},
    ]
    assert truncate(subsets, 1) == [{"addresses": [1], "ports": ["p"]}]


def test_too_many_addresses_are_announced(pod: Any) -> None:
    pods = [pod(f"p{n}", ip=f"10.{n // 250}.{n % 250}.1", node="n", ready=True) for n in range(1001)]
    made = plan(service(ports=[{"port": 80}]), pods, None)
    assert made is not None
    assert made["metadata"]["annotations"] == {OVER_CAPACITY: "truncated"}
    assert len(made["subsets"][0]["addresses"]) == 1000
    fewer = plan(service(ports=[{"port": 80}]), pods[:5], made)
    assert fewer is not None
    assert "annotations" not in fewer["metadata"]


def test_annotations_of_others_and_the_resource_version_stay(pod: Any) -> None:
    meta = {"name": "svc", "namespace": "ns", "resourceVersion": "7", "annotations": {"somebody": "else"}}
    current = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
    made = plan(service(ports=[{"port": 80}]), [pod(ip="10.0.0.1", node="n", ready=True)], current)
    assert made is not None
    assert made["metadata"] == meta


def test_the_order_of_subsets_and_addresses_is_no_change() -> None:
    a: Object = {"addresses": [{"ip": "1"}, {"ip": "2"}], "ports": [{"port": 1}]}
    b: Object = {"addresses": [{"ip": "3"}], "notReadyAddresses": [], "ports": [{"port": 2}]}
    swapped = {**a, "addresses": a["addresses"][::-1]}
    assert canonical([a, b]) == canonical([b, swapped])
    assert canonical([a]) != canonical([b])
    assert canonical(None) == canonical([])


@pytest.mark.parametrize(
    ("port", "number"),
    [
        ({"port": 80}, 80),
        ({"port": 80, "targetPort": 0}, 80),
        ({"port": 80, "targetPort": 8080}, 8080),
        ({"port": 80, "targetPort": "web"}, 9000),
        ({"port": 80, "targetPort": "web", "protocol": "UDP"}, None),
        ({"port": 80, "targetPort": "sidecar"}, 9001),
        ({"port": 80, "targetPort": "init"}, None),
    ],
)
def test_find_port(pod: Any, port: Object, number: int | None) -> None:
    given = pod(
        containers=[{"ports": [{"name": "web", "containerPort": 9000}]}],
        initContainers=[
            {"restartPolicy": "Always", "ports": [{"name": "sidecar", "containerPort": 9001}]},
            {"ports": [{"name": "init", "containerPort": 9002}]},
        ],
    )
    assert find_port(given, port) == number


@pytest.mark.parametrize(
    ("spec", "ours"),
    [({}, True), ({"selector": None}, False), ({"selector": {}}, False), ({"type": "ExternalName"}, False)],
)
def test_whose_endpoints_are_ours(spec: dict[str, Any], ours: bool) -> None:
    assert has_endpoints_of_pods(service(**spec)) is ours


def test_a_change_that_concerns_no_service_is_known(pod: Any) -> None:
    before = pod(ip="10.0.0.1", node="n", ready=True)
    assert relevant_to_endpoints(before) == relevant_to_endpoints(pod(ip="10.0.0.1", node="n", ready=True, restarts=3))
    changes: tuple[Object, ...] = (
        {"ready": False},
        {"labels": {}},
        {"deleting": True},
        {"ip": "10.0.0.2"},
        {"phase": "Failed"},
    )
    for change in changes:
        after = pod(**{"ip": "10.0.0.1", "node": "n", "ready": True, **change})
        assert relevant_to_endpoints(before) != relevant_to_endpoints(after), change
