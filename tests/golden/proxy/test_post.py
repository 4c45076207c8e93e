"""The article's rules, byte for byte: what ``iptables-save | grep simpleservice`` shows for one pod and for two."""

import pytest

from proxy.model import service_ports
from proxy.render import chain_lines
from proxy.rules import Config, build

FOUR = """\
-A KUBE-SEP-ASIN52LB5SMYF6KR -s 172.17.0.2/32 -m comment --comment "namingthings/simpleservice:" -j KUBE-MARK-MASQ
-A KUBE-SEP-ASIN52LB5SMYF6KR -p tcp -m comment --comment "namingthings/simpleservice:" -m tcp -j DNAT --to-destination 172.17.0.2:9876
-A KUBE-SERVICES -d 172.30.40.155/32 -p tcp -m comment --comment "namingthings/simpleservice: cluster IP" -m tcp --dport 80 -j KUBE-SVC-IKIIGXZ2IBFIBYI6
-A KUBE-SVC-IKIIGXZ2IBFIBYI6 -m comment --comment "namingthings/simpleservice:" -j KUBE-SEP-ASIN52LB5SMYF6KR
"""  # noqa: E501
SEVEN = """\
-A KUBE-SEP-ASIN52LB5SMYF6KR -s 172.17.0.2/32 -m comment --comment "namingthings/simpleservice:" -j KUBE-MARK-MASQ
-A KUBE-SEP-ASIN52LB5SMYF6KR -p tcp -m comment --comment "namingthings/simpleservice:" -m tcp -j DNAT --to-destination 172.17.0.2:9876
-A KUBE-SEP-RP53IYKEFRDLQANZ -s 172.17.0.4/32 -m comment --comment "namingthings/simpleservice:" -j KUBE-MARK-MASQ
-A KUBE-SEP-RP53IYKEFRDLQANZ -p tcp -m comment --comment "namingthings/simpleservice:" -m tcp -j DNAT --to-destination 172.17.0.4:9876
-A KUBE-SERVICES -d 172.30.40.155/32 -p tcp -m comment --comment "namingthings/simpleservice: cluster IP" -m tcp --dport 80 -j KUBE-SVC-IKIIGXZ2IBFIBYI6
-A KUBE-SVC-IKIIGXZ2IBFIBYI6 -m comment --comment "namingthings/simpleservice:" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-ASIN52LB5SMYF6KR
-A KUBE-SVC-IKIIGXZ2IBFIBYI6 -m comment --comment "namingthings/simpleservice:" -j KUBE-SEP-RP53IYKEFRDLQANZ
"""  # noqa: E501

SERVICE = {
    "metadata": {"namespace": "namingthings", "name": "simpleservice"},
    "spec": {"clusterIP": "172.30.40.155", "ports": [{"port": 80, "targetPort": 9876}], "selector": {"app": "sise"}},
}


def endpoint_slice(*addresses):
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
    ("addresses", "expected"), [(["172.17.0.2"], FOUR), (["172.17.0.4", "172.17.0.2"], SEVEN)], ids=["four", "seven"]
)
def test_the_posts_rules(addresses, expected):
    ports = service_ports([SERVICE], [endpoint_slice(*addresses)], "node")
    tables = build(ports, Config("172.17.0.0/16", "172.30.0.0/16"))
    lines = [line for table in tables for chain, rules in table.chains.items() for line in chain_lines(chain, rules)]
    shown = [line for line in lines if "simpleservice" in line]
    assert "\n".join(shown) + "\n" == expected
