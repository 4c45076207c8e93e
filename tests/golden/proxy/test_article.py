"""The article's rules, byte for byte: what ``iptables-save | grep simpleservice`` shows for one pod and for two."""

from __future__ import annotations

from pathlib import Path

import pytest

from machinery.objects import Object
from proxy.model import service_ports
from proxy.render import chain_lines
from proxy.rules import AddressRanges, build

GOLDENS = Path(__file__).parent

SERVICE = {
    "metadata": {"namespace": "namingthings", "name": "simpleservice"},
    "spec": {"clusterIP": "172.30.40.155", "ports": [{"port": 80, "targetPort": 9876}], "selector": {"app": "sise"}},
}


def endpoint_slice(*addresses: str) -> Object:
    return {
        "metadata": {
            "namespace": "namingthings",
            "name": "simpleservice-abcde",
            "labels": {"kubernetes.io/service-name": "simpleservice"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 9876, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


@pytest.mark.parametrize(
    ("addresses", "golden"),
    [(["172.17.0.2"], "article-one-pod.rules"), (["172.17.0.4", "172.17.0.2"], "article-two-pods.rules")],
)
def test_the_articles_rules(addresses: list[str], golden: str) -> None:
    ports = service_ports([SERVICE], [endpoint_slice(*addresses)], "node")
    tables = build(ports, AddressRanges("172.17.0.0/16", "172.30.0.0/16"))
    lines = [line for table in tables for chain, rules in table.chains.items() for line in chain_lines(chain, rules)]
    shown = [line for line in lines if "simpleservice" in line]
    assert "\n".join(shown) + "\n" == (GOLDENS / golden).read_text()
