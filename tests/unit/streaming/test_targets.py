"""Where connections may lead, and upstream's words for where they may not."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.streaming.targets import (
    ProxyTarget,
    SchemeNamePort,
    choose_container,
    kubelet_of,
    node_target,
    pod_target,
    service_target,
    split_scheme_name_port,
)
from machinery.errors import ApiError, BadRequest, ServiceUnavailable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", SchemeNamePort("", "web", "")),
        ("web:80", SchemeNamePort("", "web", "80")),
        ("https:web:admin", SchemeNamePort("https", "web", "admin")),
        ("http:web:", SchemeNamePort("http", "web", "")),
    ],
)
def test_names_with_scheme_and_port(text: str, expected: SchemeNamePort) -> None:
    assert split_scheme_name_port(text, "service") == expected


@pytest.mark.parametrize("text", ["a:b:c:d", "ftp:web:21", ":80", "https::443"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        split_scheme_name_port(text, "service")
    assert refused.value.message == f'invalid service request "{text}"'


def pod(*containers: str, init: tuple[str, ...] = (), default: str = "", ip: str = "172.17.0.9") -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "annotations": {"kubectl.kubernetes.io/default-container": default}},
        "spec": {
            "containers": [{"name": name, "ports": [{"containerPort": 8080}]} for name in containers],
            "initContainers": [{"name": name} for name in init],
        },
        "status": {"podIP": ip},
    }


def test_the_container_that_is_meant() -> None:
    assert choose_container(pod("a"), "") == "a"
    assert choose_container(pod("a", "b"), "b") == "b"
    assert choose_container(pod("a", init=("i",)), "i") == "i"
    assert choose_container(pod("a", "b", default="b"), "") == "b"


def test_no_container_or_a_wrong_one() -> None:
    for found, wanted, message in (
        (pod("a", "b"), "", "a container name must be specified for pod p, choose one of: [a b]"),
        (
            pod("a", "b", init=("i", "j"), default="gone"),
            "",
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i j]",
        ),
        (pod("a"), "b", "container b is not valid for pod p"),
    ):
        with pytest.raises(BadRequest) as refused:
            choose_container(found, wanted)
        assert refused.value.message == message


NODE: dict[str, Any] = {
    "metadata": {"name": "n"},
    "status": {
        "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "172.17.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10251}},
    },
}


def node(ip: str) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": ip}]
    return {**NODE, "status": {**NODE["status"], "addresses": addresses}}


def test_a_nodes_kubelet_and_other_servers() -> None:
    assert kubelet_of(NODE) == ProxyTarget("https", "172.17.0.1", 10251)
    assert node_target(NODE, "", "") is node_target(NODE, "https", "10251") is None
    assert node_target(NODE, "", "9100") == ProxyTarget("http", "172.17.0.1", 9100)
    with pytest.raises(ApiError, match="no preferred addresses found"):
        kubelet_of({"metadata": {"name": "n"}, "status": {}})


def test_a_pods_address_and_port() -> None:
    assert pod_target(pod("a"), "", "") == ProxyTarget("http", "172.17.0.9", 8080)
    assert pod_target(pod("a"), "https", "443") == ProxyTarget("https", "172.17.0.9", 443)
    assert pod_target(pod(), "", "").port == 80
    with pytest.raises(BadRequest, match="invalid port"):
        pod_target(pod("a"), "", "70000")


# Each leads to this machine itself, or to no single one, or is no IP address.
FORBIDDEN = [
    "", "127.0.0.1", "127.8.8.8", "169.254.169.254", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "febf::1", "ff02::1", "fe80::1%eth0", "2001:db8::1%1",
    "::ffff:127.0.0.1", "::FFFF:7f00:1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::169.254.169.254", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1",
    "etcd", "localhost", "127.1", "0177.0.0.1", "2130706433", "0x7f.1", "127.0.0.1.nip.io", "127.0.0.1:80",
    " 127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("ip", FORBIDDEN)
def test_addresses_that_lead_back_to_this_machine(ip: str) -> None:
    with pytest.raises(BadRequest, match="address not allowed"):
        pod_target(pod("a", ip=ip), "", "80")
    with pytest.raises(BadRequest, match="address not allowed"):
        node_target(node(ip), "", "80")
    with pytest.raises(BadRequest, match="address not allowed"):
        service_target(service(("http", 80)), endpoints(([ip], [("http", 80)])), "", "", real)


@pytest.mark.parametrize(
    ("ip", "host"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("fd00::7f00:1", "fd00::7f00:1"),
        ("64:ff9b::8.8.8.8", "64:ff9b::808:808"),
    ],
)
def test_addresses_that_are_dialed(ip: str, host: str) -> None:
    assert pod_target(pod("a", ip=ip), "", "80").host == node_target(node(ip), "", "80").host == host  # type: ignore[union-attr]
    assert kubelet_of(node(ip)) == ProxyTarget("https", host, 10251)


def test_a_kubelet_on_loopback_has_to_prove_whose_it_is() -> None:
    assert kubelet_of(node("::ffff:127.0.0.1")) == ProxyTarget("https", "127.0.0.1", 10251, "system:node:n")
    with pytest.raises(BadRequest, match="address not allowed"):
        kubelet_of(node("localhost"))


def service(*ports: tuple[str, int]) -> dict[str, Any]:
    return {
        "metadata": {"name": "s", "namespace": "ns"},
        "spec": {"ports": [{"name": name, "port": number} for name, number in ports]},
    }


def endpoints(*subsets: tuple[list[str], list[tuple[str, int]]]) -> dict[str, Any]:
    return {
        "subsets": [
            {
                "addresses": [{"ip": ip, "targetRef": {"kind": "Pod", "name": f"pod-{ip}"}} for ip in addresses],
                "ports": [{"name": name, "port": number} for name, number in ports],
            }
            for addresses, ports in subsets
        ]
    }


def real(name: str) -> dict[str, Any]:
    return {"status": {"podIP": name.removeprefix("pod-")}}


WEB = endpoints((["172.17.0.2"], [("http", 8080), ("admin", 9090)]), (["172.17.0.3"], [("http", 8081)]))


@pytest.mark.parametrize(
    ("ports", "port", "found"),
    [
        ([("http", 80)], "", [8080, 8081]),
        ([("http", 80), ("admin", 81)], "http", [8080, 8081]),
        ([("http", 80), ("admin", 81)], "81", [9090]),
    ],
)
def test_a_services_endpoints(ports: list[tuple[str, int]], port: str, found: list[int]) -> None:
    chosen: list[int] = []

    def last(choices: Any) -> Any:
        chosen.extend(number for _, number in choices)
        return choices[-1]

    target = service_target(service(*ports), WEB, "", port, real, last)
    assert chosen == found
    assert target.port == found[-1]


@pytest.mark.parametrize(
    ("found", "port", "message"),
    [
        (None, "", 'no endpoints available for service "s"'),
        (WEB, "82", 'no service port 82 found for service "s"'),
        (WEB, "other", 'no endpoints available for service "s"'),
    ],
)
def test_a_service_that_leads_nowhere(found: Any, port: str, message: str) -> None:
    with pytest.raises(ServiceUnavailable) as refused:
        service_target(service(("http", 80)), found, "", port, real)
    assert refused.value.message == message


def test_only_an_address_that_its_pod_really_has_is_believed() -> None:
    forged = endpoints((["169.254.169.254"], [("http", 80)]))
    with pytest.raises(ServiceUnavailable):
        service_target(service(("http", 80)), forged, "", "", lambda name: {"status": {"podIP": "172.17.0.2"}})
    without_pod = {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"name": "http", "port": 80}]}]}
    with pytest.raises(ServiceUnavailable):
        service_target(service(("http", 80)), without_pod, "", "", real)
