"""Fixtures: the packet tracer, and makers of Services and EndpointSlices."""

from __future__ import annotations

from typing import Any

import pytest
from unit.proxy.tracer import Kernel, Make

from machinery.objects import Object


@pytest.fixture
def kernel() -> type[Kernel]:
    return Kernel


def _service(
    name: str = "web",
    *,
    ports: list[Object] | None = None,
    namespace: str = "ns",
    status: Object | None = None,
    **spec: Any,
) -> Object:
    ports = ports or [{"port": 80, "protocol": "TCP"}]
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"type": "ClusterIP", "clusterIP": "172.30.1.1", "ports": ports, **spec},
        "status": status or {},
    }


def _slice(
    *endpoints: str | Object,
    name: str = "web",
    namespace: str = "ns",
    ports: list[Object] | None = None,
    suffix: str = "1",
) -> Object:
    ports = ports or [{"name": "", "port": 8080, "protocol": "TCP"}]
    made = [{"addresses": [one], "nodeName": "node1"} if isinstance(one, str) else one for one in endpoints]
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"namespace": namespace, "name": f"{name}-{suffix}", "labels": labels},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": made,
    }


@pytest.fixture
def service() -> Make:
    return _service


@pytest.fixture
def endpoint_slice() -> Make:
    return _slice
