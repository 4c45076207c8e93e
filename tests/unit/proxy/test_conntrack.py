"""Which UDP flows are stale."""

from __future__ import annotations

import pytest
from unit.proxy.tracer import Make

from proxy.conntrack import Destinations, Flow, own_addresses, stale_flows, udp_destinations
from proxy.model import service_ports

VIP = "172.30.1.1"


@pytest.fixture
def wanted(service: Make, endpoint_slice: Make) -> Destinations:
    udp = {"port": 53, "protocol": "UDP", "nodePort": 30053}
    made = service(type="NodePort", ports=[udp, {"port": 53, "protocol": "TCP", "name": "tcp"}])
    pods = endpoint_slice("172.17.0.2", ports=[{"port": 5353, "protocol": "UDP"}])
    return udp_destinations(service_ports([made], [pods], "n"))


def test_destinations(wanted: Destinations) -> None:
    assert wanted == {(VIP, 53): {"172.17.0.2:5353"}, ("", 30053): {"172.17.0.2:5353"}}


def test_flows_to_a_pod_that_still_serves_are_kept(service: Make, endpoint_slice: Make) -> None:
    made = service(ports=[{"port": 53, "protocol": "UDP"}])
    pods = endpoint_slice("172.17.0.2", "172.17.0.3", "172.17.0.4", ports=[{"port": 5353, "protocol": "UDP"}])
    pods["endpoints"][1]["conditions"] = {"ready": False, "serving": True, "terminating": True}
    pods["endpoints"][2]["conditions"] = {"ready": False, "serving": False, "terminating": True}
    found = udp_destinations(service_ports([made], [pods], "n"))
    assert found == {(VIP, 53): {"172.17.0.2:5353", "172.17.0.3:5353"}}


def test_own_addresses() -> None:
    assert "127.0.0.1" in own_addresses()
    assert "127.255.255.255" not in own_addresses()  # a broadcast address


@pytest.mark.parametrize(
    ("destination", "port", "answered_by", "is_stale"),
    [
        (VIP, 53, "172.17.0.2:5353", False),
        (VIP, 53, "172.17.0.9:5353", True),  # the pod is gone
        (VIP, 53, f"{VIP}:53", True),  # the flow is older than the first endpoint, and was never translated
        ("10.0.2.15", 30053, "172.17.0.2:5353", False),
        ("10.0.2.15", 30053, "172.17.0.9:5353", True),
        ("10.0.2.15", 30053, "10.0.2.15:30053", True),  # to a node port, before it had an endpoint
        ("10.0.2.15", 53, "10.0.2.15:53", False),  # to a server of this host itself
        ("192.0.2.1", 30053, "192.0.2.1:30053", False),  # somebody's own traffic to that port
        ("192.0.2.1", 53, "192.0.2.1:53", False),
        ("172.30.1.9", 53, "172.17.0.2:5353", True),  # the Service is gone
    ],
)
def test_stale(wanted: Destinations, destination: str, port: int, answered_by: str, is_stale: bool) -> None:
    flow = Flow("172.17.0.7", 40000, destination, port, answered_by)
    gone = {("172.30.1.9", 53): frozenset({"172.17.0.2:5353"})}
    assert stale_flows([flow], wanted, gone, {"10.0.2.15"}) == ([flow] if is_stale else [])
