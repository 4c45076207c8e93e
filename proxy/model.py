"""Services and EndpointSlices as the rules need them: one ``ServicePort`` for each port that has a virtual IP.

Pure: API objects in, sorted frozen dataclasses out. Which endpoints may be used is upstream's rule
(pkg/proxy/topology.go): the ready ones; if there are none, those that are terminating and still serving.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from machinery.objects import Object

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
# Services and slices with these labels belong to another proxy, or have no virtual IP.
OTHER_PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
DEFAULT_AFFINITY_SECONDS = 10800


@dataclass(frozen=True, order=True)
class Endpoint:
    """One address behind a port: a pod, usually."""

    ip: str
    port: int
    local: bool = False

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True)
class ServicePort:
    """One port of one Service, and where its traffic may go.

    ``cluster_endpoints`` take traffic from anywhere, ``local_endpoints`` (on this node) take it where a
    policy is Local; ``has_endpoints`` tells a port without any usable endpoint from one without local ones.
    """

    namespace: str
    name: str
    port_name: str
    protocol: str  # "tcp", "udp", "sctp"
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    affinity_seconds: int = 0
    internal_local: bool = False
    external_local: bool = False
    cluster_endpoints: tuple[Endpoint, ...] = ()
    local_endpoints: tuple[Endpoint, ...] = ()

    @property
    def label(self) -> str:
        """``namespace/name:port name``, how rules' comments name the port; the colon also stands for an unnamed one."""
        return f"{self.namespace}/{self.name}:{self.port_name}"

    @property
    def identity(self) -> str:
        """What chain names are made from."""
        return self.label + self.protocol

    @property
    def externally_reachable(self) -> bool:
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def has_endpoints(self) -> bool:
        return bool(self.cluster_endpoints or self.local_endpoints)

    def chain(self, prefix: str, endpoint: Endpoint | None = None) -> str:
        """The port's (or its endpoint's) chain, as upstream names it: ``KUBE-SVC-`` and 16 letters of a hash."""
        text = self.identity + (str(endpoint) if endpoint else "")
        digest = hashlib.sha256(text.encode()).digest()
        return prefix + base64.b32encode(digest)[:16].decode()


def service_ports(services: Iterable[Object], slices: Iterable[Object], node: str) -> tuple[ServicePort, ...]:
    """All ports with a virtual IP, sorted, each with its endpoints as seen from ``node``."""
    by_service: dict[tuple[str, str], list[Object]] = {}
    for endpoint_slice in slices:
        meta = endpoint_slice["metadata"]
        labels = meta.get("labels") or {}
        service = labels.get(SERVICE_NAME_LABEL)
        usable = endpoint_slice.get("addressType") == "IPv4" and not meta.get("deletionTimestamp")
        if service and usable and not labels.keys() & {OTHER_PROXY_LABEL, HEADLESS_LABEL}:
            by_service.setdefault((meta["namespace"], service), []).append(endpoint_slice)
    ports: list[ServicePort] = []
    for service in services:
        meta = service["metadata"]
        ports += _ports_of(service, by_service.get((meta["namespace"], meta["name"]), []), node)
    return tuple(sorted(ports, key=lambda port: (port.identity, port.port)))


def _ports_of(service: Object, slices: list[Object], node: str) -> list[ServicePort]:
    meta, spec = service["metadata"], service.get("spec") or {}
    cluster_ip = spec.get("clusterIP") or ""
    no_address = spec.get("type") == "ExternalName" or not _is_ipv4(cluster_ip)
    if no_address or OTHER_PROXY_LABEL in (meta.get("labels") or {}):
        return []
    made = []
    for port in spec.get("ports") or ():
        name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
        found = _endpoints(slices, name, protocol, node)
        made.append(
            ServicePort(
                namespace=meta["namespace"],
                name=meta["name"],
                port_name=name,
                protocol=protocol.lower(),
                cluster_ip=cluster_ip,
                port=port["port"],
                node_port=port.get("nodePort") or 0,
                external_ips=_ipv4_only(spec.get("externalIPs")),
                load_balancer_ips=_ingress_ips(service),
                source_ranges=_ipv4_only(spec.get("loadBalancerSourceRanges")),
                affinity_seconds=_affinity(spec),
                internal_local=spec.get("internalTrafficPolicy") == "Local",
                external_local=spec.get("externalTrafficPolicy") == "Local",
                cluster_endpoints=_usable(found),
                local_endpoints=_usable([one for one in found if one.endpoint.local]),
            )
        )
    return made


@dataclass(frozen=True)
class _Found:
    endpoint: Endpoint
    ready: bool
    serving_while_terminating: bool


def _endpoints(slices: list[Object], port_name: str, protocol: str, node: str) -> list[_Found]:
    """The endpoints of all slices that have the Service's port, each address once."""
    found: dict[tuple[str, int], _Found] = {}
    for endpoint_slice in slices:
        for port in endpoint_slice.get("ports") or ():
            if (port.get("name") or "") != port_name or (port.get("protocol") or "TCP") != protocol:
                continue
            if not port.get("port"):
                continue
            for endpoint in endpoint_slice.get("endpoints") or ():
                one = _found(endpoint, port["port"], node)
                if one is None:
                    continue
                where = (one.endpoint.ip, one.endpoint.port)
                # While a pod moves between slices it is in both; the better news counts.
                if where not in found or (one.ready and not found[where].ready):
                    found[where] = one
    return list(found.values())


def _found(endpoint: Object, port: int, node: str) -> _Found | None:
    addresses = endpoint.get("addresses") or ()
    if not addresses or not _is_ipv4(addresses[0]):
        return None
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready") is not False  # unset means ready
    terminating = conditions.get("terminating") is True
    serving = conditions.get("serving")
    serving = ready if serving is None else serving is True
    return _Found(
        Endpoint(addresses[0], port, local=endpoint.get("nodeName") == node),
        ready=ready and not terminating,
        serving_while_terminating=serving and terminating,
    )


def _usable(found: list[_Found]) -> tuple[Endpoint, ...]:
    chosen = [one.endpoint for one in found if one.ready]
    if not chosen:
        chosen = [one.endpoint for one in found if one.serving_while_terminating]
    # Upstream sorts the texts, not the numbers: 172.17.0.10 comes before 172.17.0.2.
    return tuple(sorted(chosen, key=str))


def _affinity(spec: Object) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS


def _ingress_ips(service: Object) -> tuple[str, ...]:
    if (service.get("spec") or {}).get("type") != "LoadBalancer":
        return ()
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    # ipMode Proxy means that the load balancer does not hand on its own address (upstream: LoadBalancerIPMode).
    return _ipv4_only([entry.get("ip") or "" for entry in ingress if entry.get("ipMode") != "Proxy"])


def _ipv4_only(addresses: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(sorted({address.strip() for address in addresses or () if _is_ipv4(address)}))


def _is_ipv4(address: str) -> bool:
    """An IPv4 address or range; the API server has checked what it is given, this tells the families apart."""
    return address.count(".") == 3 and ":" not in address
