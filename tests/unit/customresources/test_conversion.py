"""Which endpoint of a Service a conversion webhook is called at."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.customresources.conversion import WebhookError, endpoint

SERVICE = {"spec": {"ports": [{"name": "web", "port": 443, "targetPort": 9443}, {"name": "other", "port": 80}]}}
PORTS = [{"name": "other", "port": 8080}, {"name": "web", "port": 9443}]


def endpoints(*addresses: str) -> Any:
    return {"subsets": [{"addresses": [{"ip": address} for address in addresses], "ports": PORTS}]}


def test_the_port_is_found_by_its_name() -> None:
    assert endpoint("s", 443, SERVICE, endpoints("172.17.0.2")) == ("172.17.0.2", 9443)
    assert endpoint("s", 80, SERVICE, endpoints("127.0.0.1", "172.17.0.2")) == ("172.17.0.2", 8080)


@pytest.mark.parametrize(
    ("port", "service", "found", "message"),
    [
        (443, None, None, 'service "s" not found'),
        (444, SERVICE, endpoints("172.17.0.2"), 'no service port 444 found for service "s"'),
        (443, SERVICE, None, 'no endpoints available for service "s"'),
        (443, SERVICE, endpoints(), 'no endpoints available for service "s"'),
        (443, SERVICE, endpoints("127.0.0.1", "169.254.169.254"), 'no endpoints available for service "s"'),
    ],
)
def test_there_is_none(port: int, service: Any, found: Any, message: str) -> None:
    with pytest.raises(WebhookError, match=message):
        endpoint("s", port, service, found)
