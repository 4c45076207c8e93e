"""Turn Services and EndpointSlices into what the rules need: one ``ServicePort`` for each port that has a virtual IP.

Everything here is pure: API objects in, sorted frozen dataclasses out, so that equal input gives equal rules.

Which endpoints of a port take traffic is upstream's rule (pkg/proxy/topology.go): those that are ready; if there are
none, those that are terminating and still serving, so that a rolling restart of the last pod loses no connection.
The rule is applied twice, to all endpoints and to those on this node, because traffic policies choose between the two.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from machinery.objects import Object
from machinery.validation import parse_ip

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
# Services and slices with this label are the business of another proxy.
OTHER_PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
# The slices of Services without a virtual IP.
HEADLESS_LABEL = "service.kubernetes.io/headless"
DEFAULT_AFFINITY_SECONDS = 10800


@dataclass(frozen=True, order=True)
class Endpoint:
    """One address behind a ServicePort, usually a pod's; ``local`` if it is on this node."""

    ip: str
    port: int
    local: bool = False

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True)
class ServicePort:
    """One port of one Service, the addresses at which clients reach it, and the endpoints that serve it.

    ``cluster_endpoints`` serve traffic from anywhere; ``local_endpoints`` are those on this node, which serve traffic
    for which a traffic policy is Local. ``serving_endpoints`` are all that still answer, terminating ones included:
    where these get no new flows, they keep their old ones.
    """

    namespace: str
    name: str
    port_name: str  # empty for the port of a Service that has only one
    protocol: str  # "tcp", "udp", "sctp"
    cluster_ip: str
    port: int
    node_port: int = 0  # 0: none
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()  # CIDRs of the clients that may use the load balancer's IPs; empty: all
    affinity_seconds: int = 0  # how long a client stays with its endpoint; 0: no session affinity
    internal_local: bool = False  # internalTrafficPolicy, which is about the cluster IP
    external_local: bool = False  # externalTrafficPolicy, which is about all other addresses
    cluster_endpoints: tuple[Endpoint, ...] = ()
    local_endpoints: tuple[Endpoint, ...] = ()
    serving_endpoints: tuple[Endpoint, ...] = ()

    @property
    def service_port_name(self) -> str:
        """``namespace/name:port name``, as rules' comments name the port. An unnamed port has the colon, too."""
        return f"{self.namespace}/{self.name}:{self.port_name}"

    @property
    def externally_reachable(self) -> bool:
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def has_endpoints(self) -> bool:
        return bool(self.cluster_endpoints or self.local_endpoints)

    def chain(self, prefix: str, endpoint: Endpoint | None = None) -> str:
        """Return the name of one of the port's chains, or of an endpoint's, e.g. ``KUBE-SVC-IKIIGXZ2IBFIBYI6``.

        The kernel takes at most 28 characters, so that the part after the prefix is a hash: 16 letters of the
        base32 of the sha256 of service port name, protocol and endpoint (upstream: servicePortChainName).
        """
        text = self.service_port_name + self.protocol + (str(endpoint) if endpoint else "")
        digest = hashlib.sha256(text.encode()).digest()
        return prefix + base64.b32encode(digest)[:16].decode()


def service_ports(services: Iterable[Object], slices: Iterable[Object], node: str) -> tuple[ServicePort, ...]:
    """Return all ports that have a virtual IP, sorted, each with its endpoints as seen from ``node``."""
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
    return tuple(sorted(ports, key=lambda port: (port.service_port_name + port.protocol, port.port)))


def _ports_of(service: Object, slices: list[Object], node: str) -> list[ServicePort]:
    meta, spec = service["metadata"], service.get("spec") or {}
    cluster_ip = _ipv4(spec.get("clusterIP") or "")
    no_address = spec.get("type") == "ExternalName" or not cluster_ip
    if no_address or OTHER_PROXY_LABEL in (meta.get("labels") or {}):
        return []
    made = []
    for port in spec.get("ports") or ():
        name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
        candidates = _candidates(slices, name, protocol, node)
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
                affinity_seconds=_affinity_seconds(spec),
                internal_local=spec.get("internalTrafficPolicy") == "Local",
                external_local=spec.get("externalTrafficPolicy") == "Local",
                cluster_endpoints=_usable(candidates),
                local_endpoints=_usable([one for one in candidates if one.endpoint.local]),
                serving_endpoints=_sorted(
                    [one.endpoint for one in candidates if one.ready or one.serving_while_terminating]
                ),
            )
        )
    return made


@dataclass(frozen=True)
class _Candidate:
    """An endpoint with the two conditions that decide whether it takes traffic."""

    endpoint: Endpoint
    ready: bool
    serving_while_terminating: bool


def _candidates(slices: list[Object], port_name: str, protocol: str, node: str) -> list[_Candidate]:
    """Return the endpoints that the slices have for one port of the Service, each address once."""
    found: dict[tuple[str, int], _Candidate] = {}
    for endpoint_slice in slices:
        for port in endpoint_slice.get("ports") or ():
            if (port.get("name") or "") != port_name or (port.get("protocol") or "TCP") != protocol:
                continue
            if not port.get("port"):
                continue
            for endpoint in endpoint_slice.get("endpoints") or ():
                candidate = _candidate(endpoint, port["port"], node)
                if candidate is None:
                    continue
                address = (candidate.endpoint.ip, candidate.endpoint.port)
                # While the controller moves a pod from one slice to another it is in both. It is ready if one says so.
                if address not in found or (candidate.ready and not found[address].ready):
                    found[address] = candidate
    return list(found.values())


def _candidate(endpoint: Object, port: int, node: str) -> _Candidate | None:
    addresses = endpoint.get("addresses") or ()
    address = _ipv4(addresses[0]) if addresses else ""
    if not address:
        return None
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready") is not False  # unset means ready
    terminating = conditions.get("terminating") is True
    serving = conditions.get("serving")
    serving = ready if serving is None else serving is True
    return _Candidate(
        Endpoint(address, port, local=endpoint.get("nodeName") == node),
        ready=ready and not terminating,
        serving_while_terminating=serving and terminating,
    )


def _usable(candidates: list[_Candidate]) -> tuple[Endpoint, ...]:
    chosen = [one.endpoint for one in candidates if one.ready]
    if not chosen:
        chosen = [one.endpoint for one in candidates if one.serving_while_terminating]
    return _sorted(chosen)


def _sorted(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    # Upstream sorts the texts, not the numbers: 172.17.0.10 comes before 172.17.0.2.
    return tuple(sorted(endpoints, key=str))


def _affinity_seconds(spec: Object) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS


def _ingress_ips(service: Object) -> tuple[str, ...]:
    if (service.get("spec") or {}).get("type") != "LoadBalancer":
        return ()
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    # With ipMode Proxy the load balancer sends packets to the node's own address (upstream: LoadBalancerIPMode).
    return _ipv4_only([entry.get("ip") or "" for entry in ingress if entry.get("ipMode") != "Proxy"])


def _ipv4_only(addresses: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(sorted({_ipv4(address) for address in addresses or ()} - {""}))


def _ipv4(text: str) -> str:
    """Return an IPv4 address or CIDR in the form that iptables reads as the API server does, "" for any other text.

    Leading zeros go: for the API server 010.1.1.1 is 10.1.1.1, but for iptables it would be 8.1.1.1.
    """
    address, slash, bits = text.strip().partition("/")
    try:
        parsed = parse_ip(address)
    except ValueError:  # "None", of a headless Service
        return ""
    return f"{parsed}{slash}{int(bits) if slash else ''}" if parsed.version == 4 else ""
