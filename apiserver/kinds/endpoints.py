"""Endpoints: a Service's addresses in one object, the older form (upstream: pkg/registry/core/endpoint)."""

from __future__ import annotations

from apiserver.kinds.cells import AGE, NAME, NONE, cut
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object


class EndpointsStrategy(Strategy):
    create_on_update = True

    def default(self, obj: Object) -> None:
        for subset in obj.get("subsets", ()):
            for port in subset.get("ports", ()):
                port["protocol"] = port.get("protocol") or "TCP"

    def validate(self, obj: Object) -> checks.Errors:
        for index, subset in enumerate(obj.get("subsets", ())):
            path = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                yield FieldError.required(path, "must specify `addresses` or `notReadyAddresses`")
            for field in ("addresses", "notReadyAddresses"):
                for position, address in enumerate(subset.get(field, ())):
                    yield from _validate_address(f"{path}.{field}[{position}]", address)
            ports = subset.get("ports", ())
            for position, port in enumerate(ports):
                yield from _validate_port(f"{path}.ports[{position}]", port, named=len(ports) > 1)


def _validate_address(path: str, address: Object) -> checks.Errors:
    yield from checks.ip(f"{path}.ip", address.get("ip", ""))
    if address.get("hostname"):
        yield from checks.label(f"{path}.hostname", address["hostname"])
    yield from checks.optional(f"{path}.nodeName", address.get("nodeName"), checks.subdomain)
    yield from checks.ordinary_ip(f"{path}.ip", address.get("ip", ""))


def _validate_port(path: str, port: Object, *, named: bool) -> checks.Errors:
    if port.get("name"):
        yield from checks.label(f"{path}.name", port["name"])
    elif named:
        yield FieldError.required(f"{path}.name")
    yield from checks.port(f"{path}.port", port.get("port", 0))
    yield from checks.one_of(f"{path}.protocol", port.get("protocol"), checks.PROTOCOLS)
    yield from checks.optional(f"{path}.appProtocol", port.get("appProtocol"), checks.qualified_name)


def addresses(obj: Object) -> str:
    """Return the first three ready addresses, each with each of its ports."""
    subsets = obj.get("subsets", ())
    if not subsets:
        return NONE
    found: list[str] = []
    for subset in subsets:
        hosts = [address["ip"] for address in subset.get("addresses", ())]
        ports = subset.get("ports", ())
        found += [f"{_host(host)}:{port['port']}" for port in ports for host in hosts] if ports else hosts
    return cut(found, empty="")


def _host(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


ENDPOINTS = Kind(
    *upstream("", "Endpoints"),
    singular="endpoints",
    short_names=("ep",),
    strategy=EndpointsStrategy(),
    columns=(NAME, Column("Endpoints", addresses), AGE),
)
