"""Reading the kernel's table of routes."""

from __future__ import annotations

from proxy.network import _routes

TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t00001EAC\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0
kube-sink\t00001EAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_routes() -> None:
    assert _routes(TABLE) == {"0.0.0.0/0": "eth0", "172.30.0.0/16": "kube-sink", "172.17.0.0/16": "docker0"}
