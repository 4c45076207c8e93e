"""Which Services have rules, and which of their endpoints take traffic."""

from __future__ import annotations

import pytest
from unit.proxy.tracer import Make

from machinery.objects import Object
from proxy.model import Endpoint, service_ports


def endpoints(service: Object, *slices: Object, node: str = "node1") -> tuple[list[str], list[str]]:
    (port,) = service_ports([service], slices, node)
    return [str(one) for one in port.cluster_endpoints], [str(one) for one in port.local_endpoints]


@pytest.mark.parametrize(
    "change",
    [{"clusterIP": "None"}, {"clusterIP": ""}, {"type": "ExternalName"}, {"clusterIP": "fd00::1"}],
)
def test_services_without_rules(service: Make, change: Object) -> None:
    assert service_ports([service(**change)], [], "n") == ()


def test_conditions(service: Make, endpoint_slice: Make) -> None:
    made = endpoint_slice(
        {"addresses": ["172.17.0.2"]},
        {"addresses": ["172.17.0.3"], "conditions": {"ready": False}},
        {"addresses": ["172.17.0.4"], "conditions": {"ready": True, "terminating": True, "serving": True}},
        {"addresses": ["172.17.0.5"], "conditions": {"ready": None}},
        {"addresses": []},
    )
    assert endpoints(service(), made) == (["172.17.0.2:8080", "172.17.0.5:8080"], [])


def test_terminating_pods_serve_only_when_nothing_is_ready(service: Make, endpoint_slice: Make) -> None:
    conditions = {"ready": False, "serving": True, "terminating": True}
    ending = {"addresses": ["172.17.0.4"], "nodeName": "node1", "conditions": conditions}
    far = {"addresses": ["10.1.0.2"], "nodeName": "node2"}
    assert endpoints(service(), endpoint_slice(ending)) == (["172.17.0.4:8080"], ["172.17.0.4:8080"])
    assert endpoints(service(), endpoint_slice(ending, far)) == (["10.1.0.2:8080"], ["172.17.0.4:8080"])


def test_several_slices_and_named_ports(service: Make, endpoint_slice: Make) -> None:
    two = service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81, "protocol": "UDP"}])
    first = endpoint_slice("172.17.0.2", ports=[{"name": "a", "port": 8080, "protocol": "TCP"}])
    second = endpoint_slice(
        "172.17.0.3",
        "172.17.0.2",
        ports=[{"name": "a", "port": 8080, "protocol": "TCP"}, {"name": "b", "port": 9, "protocol": "UDP"}],
        suffix="2",
    )
    a, b = service_ports([two], [first, second], "n")
    assert [str(one) for one in a.cluster_endpoints] == ["172.17.0.2:8080", "172.17.0.3:8080"]
    assert [str(one) for one in b.cluster_endpoints] == ["172.17.0.2:9", "172.17.0.3:9"]


def test_a_pod_that_moves_between_slices_counts_as_the_better(service: Make, endpoint_slice: Make) -> None:
    ready = endpoint_slice({"addresses": ["172.17.0.2"]}, suffix="2")
    stale = endpoint_slice({"addresses": ["172.17.0.2"], "conditions": {"ready": False}})
    assert endpoints(service(), stale, ready)[0] == ["172.17.0.2:8080"]
    assert endpoints(service(), ready, stale)[0] == ["172.17.0.2:8080"]


def test_other_services_slices_are_not_taken(service: Make, endpoint_slice: Make) -> None:
    assert endpoints(service(), endpoint_slice("172.17.0.2", name="other"))[0] == []
    assert endpoints(service(), endpoint_slice("172.17.0.2", namespace="other"))[0] == []


def test_the_order_of_the_input_does_not_matter(service: Make, endpoint_slice: Make) -> None:
    one, two = service("a"), service("b")
    slices = [endpoint_slice("172.17.0.3", "172.17.0.2", name="a"), endpoint_slice("172.17.0.4", name="b")]
    assert service_ports([one, two], slices, "n") == service_ports([two, one], slices[::-1], "n")


def test_chain_names_are_upstreams(service: Make) -> None:
    (port,) = service_ports([service("simpleservice", namespace="namingthings")], [], "n")
    assert port.chain("KUBE-SVC-") == "KUBE-SVC-IKIIGXZ2IBFIBYI6"
    assert port.chain("KUBE-SEP-", Endpoint("172.17.0.2", 9876)) == "KUBE-SEP-ASIN52LB5SMYF6KR"


def test_addresses_reach_iptables_in_its_own_form(service: Make, endpoint_slice: Make) -> None:
    """The API server reads 010.1.1.1 as 10.1.1.1; iptables would read it as octal."""
    made = service(externalIPs=["010.1.1.1"], type="LoadBalancer", loadBalancerSourceRanges=[" 010.0.0.0/08"])
    (port,) = service_ports([made], [endpoint_slice("172.017.0.2")], "n")
    assert (port.external_ips, port.source_ranges) == (("10.1.1.1",), ("10.0.0.0/8",))
    assert [endpoint.ip for endpoint in port.cluster_endpoints] == ["172.17.0.2"]
