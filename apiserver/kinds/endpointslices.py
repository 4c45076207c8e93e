"""EndpointSlices: a Service's addresses, in slices of limited size, which the proxy reads.

Upstream: pkg/registry/discovery/endpointslice and its validation.

``v1beta1`` differs in one thing: an endpoint's node and zone stand in a map, ``topology``.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from apiserver.kinds.cells import AGE, NAME, cut
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.validation import parse_ip

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS = 1000
MAX_PORTS = 20000
MAX_ADDRESSES = 100
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


class EndpointSliceStrategy(Strategy):
    def default(self, obj: Object) -> None:
        for port in obj.get("ports", ()):
            if port.get("name") is None:
                port["name"] = ""
            port["protocol"] = port.get("protocol") or "TCP"

    def prepare_create(self, obj: Object) -> None:
        obj["metadata"]["generation"] = 1

    def prepare_update(self, new: Object, old: Object) -> None:
        before = old["metadata"].get("generation", 1)
        new["metadata"]["generation"] = before + (_content(new) != _content(old))

    def validate(self, obj: Object) -> checks.Errors:
        type = obj.get("addressType", "")
        yield from checks.one_of("addressType", type, ADDRESS_TYPES)
        endpoints = obj.get("endpoints", [])
        if len(endpoints) > MAX_ENDPOINTS:
            yield FieldError.too_many("endpoints", len(endpoints), MAX_ENDPOINTS)
            return
        for index, endpoint in enumerate(endpoints):
            yield from _validate_endpoint(f"endpoints[{index}]", endpoint, type)
        yield from _validate_ports(obj.get("ports", []))

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return chain(
            self.validate(new), checks.immutable("addressType", new.get("addressType"), old.get("addressType"))
        )


def _content(obj: Object) -> Object:
    """Return the part of a slice whose changes count in its generation."""
    fields = {field: obj.get(field) for field in ("addressType", "endpoints", "ports")}
    return {**fields, "labels": obj["metadata"].get("labels"), "annotations": obj["metadata"].get("annotations")}


def _validate_endpoint(path: str, endpoint: Object, type: str) -> checks.Errors:
    addresses = endpoint.get("addresses", [])
    if not addresses:
        yield FieldError.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > MAX_ADDRESSES:
        yield FieldError.too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES)
    for index, address in enumerate(addresses):
        yield from _validate_address(f"{path}.addresses[{index}]", address, type)
    yield from checks.optional(f"{path}.nodeName", endpoint.get("nodeName"), checks.subdomain)
    yield from checks.labels(f"{path}.deprecatedTopology", endpoint.get("deprecatedTopology", {}))
    yield from checks.optional(f"{path}.hostname", endpoint.get("hostname"), checks.label)


def _validate_address(path: str, address: str, type: str) -> checks.Errors:
    if type == "FQDN":
        yield from checks.subdomain(path, address.removesuffix("."))
        return
    problems = list(checks.ip(path, address))
    yield from problems
    if problems:
        return
    if type in ("IPv4", "IPv6") and f"IPv{parse_ip(address).version}" != type:
        yield FieldError.invalid(path, address, f"must be an {type} address")
    yield from checks.ordinary_ip(path, address)


def _validate_ports(ports: list[Object]) -> checks.Errors:
    if len(ports) > MAX_PORTS:
        yield FieldError.too_many("ports", len(ports), MAX_PORTS)
        return
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            yield from checks.label(f"{path}.name", name)
        if name in names:
            yield FieldError.duplicate(f"{path}.name", name)
        names.add(name)
        yield from checks.one_of(f"{path}.protocol", port.get("protocol"), checks.PROTOCOLS)
        yield from checks.optional(f"{path}.appProtocol", port.get("appProtocol"), checks.qualified_name)


def convert(obj: Object, version: str, inward: bool) -> None:
    """Convert between v1 and v1beta1, in place."""
    if version != "v1beta1":
        return
    for endpoint in obj.get("endpoints", ()):
        if inward:
            _from_beta(endpoint)
        else:
            _to_beta(endpoint)


def _from_beta(endpoint: Object) -> None:
    topology = dict(endpoint.pop("topology", None) or {})
    node, zone = topology.pop(HOSTNAME, None), topology.pop(ZONE, None)
    if node and not endpoint.get("nodeName"):
        endpoint["nodeName"] = node
    if zone:
        endpoint["zone"] = zone
    if topology:
        endpoint["deprecatedTopology"] = topology


def _to_beta(endpoint: Object) -> None:
    topology = dict(endpoint.pop("deprecatedTopology", None) or {})
    zone = endpoint.pop("zone", None)
    if zone:
        topology[ZONE] = zone
    if endpoint.get("nodeName"):
        topology[HOSTNAME] = endpoint["nodeName"]
    if topology:
        endpoint["topology"] = topology


def _ports(ports: Iterable[Object]) -> str:
    return cut([str(port["port"]) if port.get("port") is not None else port.get("name") or "*" for port in ports])


def _addresses(endpoints: Iterable[Object]) -> str:
    return cut([address for endpoint in endpoints for address in endpoint.get("addresses", ())])


ENDPOINT_SLICES = Kind(
    *upstream("discovery.k8s.io", "EndpointSlice"),
    also_served=("v1beta1",),
    convert=convert,
    strategy=EndpointSliceStrategy(),
    columns=(
        NAME,
        Column("AddressType", lambda obj: obj.get("addressType", "")),
        Column("Ports", lambda obj: _ports(obj.get("ports", ()))),
        Column("Endpoints", lambda obj: _addresses(obj.get("endpoints", ()))),
        AGE,
    ),
)
