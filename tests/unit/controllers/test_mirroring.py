from __future__ import annotations

from typing import Any

import pytest

from controllers.services.endpointslicemirroring import is_mirrored, plan, skipped
from machinery.objects import Object


def endpoints(*subsets: Object, labels: dict[str, str] | None = None, **annotations: str) -> Object:
    meta = {"name": "svc", "namespace": "ns", "uid": "u", "labels": labels or {}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": list(subsets)}


def test_addresses_ready_or_not_by_family() -> None:
    given = endpoints(
        {
            "addresses": [{"ip": "10.0.0.1", "nodeName": "n"}, {"ip": "fd00::1"}],
            "notReadyAddresses": [{"ip": "10.0.0.2", "hostname": "h"}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        },
        labels={"a": "b"},
        kept="yes",
    )
    v4, v6 = plan(given, []).create
    assert (v4["addressType"], v6["addressType"]) == ("IPv4", "IPv6")
    assert v4["endpoints"] == [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "nodeName": "n"},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}, "hostname": "h"},
    ]
    assert v4["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]
    assert v4["metadata"]["annotations"] == {"kept": "yes"}
    assert v4["metadata"]["labels"] == {
        "a": "b",
        "kubernetes.io/service-name": "svc",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }


def test_what_is_mirrored_already_is_not_written_again() -> None:
    given = endpoints({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80, "protocol": "TCP"}]})
    [made] = plan(given, []).create
    made["metadata"]["name"] = "svc-1"
    changes = plan(given, [made])
    assert (changes.create, changes.update, changes.delete) == ([], [], [])
    emptied = plan(endpoints(), [made])
    assert (emptied.create, emptied.update, emptied.delete) == ([], [], [made])


def test_invalid_and_surplus_addresses_are_counted() -> None:
    many = [{"ip": f"10.0.{number // 250}.{number % 250}"} for number in range(1001)]
    given = endpoints({"addresses": [*many, {"ip": "not-an-address"}], "ports": [{"port": 80}]})
    assert skipped(given) == (1, 1)
    assert len(plan(given, []).create[0]["endpoints"]) == 1000


@pytest.mark.parametrize(
    ("given", "spec", "mirrored"),
    [
        pytest.param(endpoints(), {}, True, id="a Service without selector"),
        pytest.param(endpoints(), {"selector": {"a": "b"}}, False, id="a Service with selector"),
        pytest.param(endpoints(), None, False, id="no Service"),
        pytest.param(
            endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}), {}, False, id="asked not to"
        ),
        pytest.param(endpoints(**{"control-plane.alpha.kubernetes.io/leader": ""}), {}, False, id="a leader election"),  # type: ignore[arg-type]
    ],
)
def test_which_are_mirrored(given: Object, spec: Any, mirrored: bool) -> None:
    assert is_mirrored(given, None if spec is None else {"spec": spec}) is mirrored
