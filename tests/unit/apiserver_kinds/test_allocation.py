"""Cluster IPs and node ports: nothing twice, nothing outside, the lower band last."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from apiserver.kinds.services.ranges import (
    IP_PREFIX,
    PORT_PREFIX,
    AllocationError,
    ClusterIPs,
    NodePorts,
    RangeFull,
    ServiceRanges,
)
from apiserver.kinds.services.row import ServiceStrategy
from machinery.errors import InternalError

IPS = ClusterIPs(ipaddress.IPv4Network("172.30.0.0/16"))
PORTS = NodePorts(30000, 32767)
NONE_TAKEN = lambda claim: False  # noqa: E731


def strategy(network: str = "172.30.0.0/16", ports: str = "30000-32767") -> ServiceStrategy:
    return ServiceStrategy(ServiceRanges.parse(network, ports))


def service(**spec: Any) -> dict[str, Any]:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "t"}, "spec": spec}
    rules = strategy()
    rules.default(obj)
    rules.prepare_create(obj)
    return obj


def messages(errors: list[Any]) -> list[str]:
    return [str(error) for error in errors]


def test_automatic_choices_leave_the_lower_band() -> None:
    offsets = {int(ipaddress.ip_address(IPS.choose(NONE_TAKEN))) - int(IPS.network.network_address) for _ in range(200)}
    assert min(offsets) > 256
    assert len(offsets) > 100, "they are random"
    assert all(30086 <= PORTS.choose(NONE_TAKEN) <= 32767 for _ in range(200))


def test_everything_but_network_and_broadcast_is_handed_out_once() -> None:
    small = ClusterIPs(ipaddress.IPv4Network("10.0.0.0/27"))
    given: set[str] = set()
    while True:
        try:
            given.add(small.claim(small.choose(lambda claim: claim in given)))
        except RangeFull:
            break
    assert given == {f"{IP_PREFIX}10.0.0.{last}" for last in range(1, 31)}


def test_the_lower_band_is_used_when_the_upper_is_full() -> None:
    upper = {PORTS.claim(port) for port in range(30086, 32768)}
    assert 30000 <= PORTS.choose(lambda claim: claim in upper) <= 30085


@pytest.mark.parametrize("address", ["172.30.0.0", "172.30.255.255", "10.0.0.1"])
def test_an_address_outside_is_refused(address: str) -> None:
    with pytest.raises(AllocationError) as error:
        IPS.check(address, NONE_TAKEN)
    assert str(error.value) == (
        f"the provided IP ({address}) is not in the valid range. The range of valid IPs is 172.30.0.0/16"
    )


def test_a_service_gets_what_it_did_not_ask_for() -> None:
    obj = service(type="NodePort", ports=[{"port": 80}, {"port": 53, "name": "t"}, {"port": 53, "protocol": "UDP"}])
    assert strategy().allocate(obj, None, NONE_TAKEN) == []
    spec = obj["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ports"][1]["nodePort"] == spec["ports"][2]["nodePort"], "one port, two protocols"
    assert spec["ports"][0]["nodePort"] != spec["ports"][1]["nodePort"]
    assert set(strategy().claims(obj)) == {
        IP_PREFIX + spec["clusterIP"],
        *(f"{PORT_PREFIX}{port['nodePort']}" for port in spec["ports"]),
    }


def test_what_is_taken_is_refused() -> None:
    obj = service(type="NodePort", clusterIP="172.30.0.1", ports=[{"port": 80, "nodePort": 30080}])
    assert messages(strategy().allocate(obj, None, lambda claim: True)) == [
        'spec.clusterIPs: Invalid value: []string{"172.30.0.1"}: '
        "failed to allocate IP 172.30.0.1: provided IP is already allocated",
        "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated",
    ]


def test_a_port_outside_is_refused() -> None:
    obj = service(type="NodePort", ports=[{"port": 80, "nodePort": 80}])
    assert messages(strategy().allocate(obj, None, NONE_TAKEN)) == [
        "spec.ports[0].nodePort: Invalid value: 80: "
        "provided port is not in the valid range. The range of valid ports is 30000-32767"
    ]


def test_a_node_port_belongs_to_one_port_number() -> None:
    ports = [{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81, "nodePort": 30080}]
    obj = service(type="NodePort", ports=ports)
    assert messages(strategy().allocate(obj, None, NONE_TAKEN)) == [
        "spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated"
    ]


def test_an_update_keeps_its_own() -> None:
    old = service(type="NodePort", clusterIP="172.30.0.9", ports=[{"port": 80, "nodePort": 30080}])
    own = set(strategy().claims(old))
    new = service(type="NodePort", clusterIP="172.30.0.9", ports=[{"port": 80, "nodePort": 30080}, {"port": 81}])
    assert strategy().allocate(new, old, lambda claim: claim in own) == []
    assert new["spec"]["ports"][1]["nodePort"] != 30080


@pytest.mark.parametrize(
    "spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "a.b"}], ids=["headless", "external"]
)
def test_some_services_hold_nothing(spec: dict[str, Any]) -> None:
    obj = service(**spec)
    assert strategy().allocate(obj, None, NONE_TAKEN) == []
    assert strategy().claims(obj) == []


def test_a_full_range_is_the_servers_problem() -> None:
    with pytest.raises(InternalError) as error:
        strategy().allocate(service(ports=[{"port": 80}]), None, lambda claim: True)
    assert error.value.message == "Internal error occurred: failed to allocate a serviceIP: range is full"


@pytest.mark.parametrize("network, ports", [("fd00::/64", "1-2"), ("10.0.0.0/30", "1-2"), ("10.0.0.0/16", "9")])
def test_bad_flags(network: str, ports: str) -> None:
    with pytest.raises(ValueError, match="--service"):
        ServiceRanges.parse(network, ports)
