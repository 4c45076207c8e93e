"""The pure rule builder: ServicePorts in, the chains of the nat and filter tables out. No syntax, no I/O.

How a packet goes (nat):

    PREROUTING, OUTPUT → KUBE-SERVICES ──VIP:port──────────────→ KUBE-SVC-… ──1/n──→ KUBE-SEP-… → DNAT to a pod
                            │  └──external or balancer IP:port→ KUBE-EXT-… ─┬──────→ KUBE-SVC-…
                            └──to this host→ KUBE-NODEPORTS → KUBE-EXT-…    └─Local→ KUBE-SVL-… (endpoints of this node)
    POSTROUTING → KUBE-POSTROUTING: masquerades what KUBE-MARK-MASQ has marked

The layout of a cluster IP's rules is upstream's since v1.6 (four lines for one Service with one pod); external
traffic follows v1.32. In the filter table a port without endpoints is rejected, a policy Local without a
local endpoint drops. Where upstream masquerades node traffic to a VIP with a rule for each Service,
one rule in KUBE-POSTROUTING does it here for all: it knows them by the original destination.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from proxy.model import Endpoint, ServicePort

MASQUERADE_MARK = 0x4000

SERVICES = "KUBE-SERVICES"
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"
NODE_PORTS = "KUBE-NODEPORTS"
POSTROUTING = "KUBE-POSTROUTING"
MARK_MASQ = "KUBE-MARK-MASQ"
FORWARD = "KUBE-FORWARD"
FIREWALL = "KUBE-FIREWALL"
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"

SERVICE_PREFIX = "KUBE-SVC-"
SERVICE_LOCAL_PREFIX = "KUBE-SVL-"
EXTERNAL_PREFIX = "KUBE-EXT-"
ENDPOINT_PREFIX = "KUBE-SEP-"
BALANCER_FIREWALL_PREFIX = "KUBE-FW-"
# Chains that come and go with Services: found in the kernel but not in the rules, they are stale.
PREFIXES = (SERVICE_PREFIX, SERVICE_LOCAL_PREFIX, EXTERNAL_PREFIX, ENDPOINT_PREFIX, BALANCER_FIREWALL_PREFIX)


# Targets


@dataclass(frozen=True)
class Jump:
    chain: str


@dataclass(frozen=True)
class Verdict:
    """ACCEPT, DROP, REJECT or RETURN."""

    name: str


@dataclass(frozen=True)
class Dnat:
    destination: str


@dataclass(frozen=True)
class SetMark:
    """Sets, or (xor) takes away again, one bit of the packet's mark."""

    bit: int
    xor: bool = False


@dataclass(frozen=True)
class Masquerade:
    """SNAT to the outgoing device's address, from random ports so that two clients never race for one."""


Target = Jump | Verdict | Dnat | SetMark | Masquerade


@dataclass(frozen=True)
class Recent:
    """The ``recent`` module: remembers in ``list`` who came (``seconds`` 0), or asks who came that lately."""

    list: str
    seconds: int = 0


@dataclass(frozen=True)
class Rule:
    """What a packet must be (all that is set) and what then happens to it. A ``!`` negates a CIDR or an interface."""

    target: Target
    comment: str = ""
    source: str = ""
    destination: str = ""
    interface: str = ""  # it comes by this one, and goes by this one
    protocol: str = ""
    destination_port: int = 0
    destination_type: str = ""  # LOCAL: an address of this host
    source_type: str = ""
    mark: int = 0  # this bit is set
    without_mark: int = 0
    states: tuple[str, ...] = ()  # of the connection: NEW, RELATED, ESTABLISHED, INVALID, DNAT; "!" first negates
    original_destination: str = ""
    probability: float = 0.0
    recent: Recent | None = None


Chains = Mapping[str, tuple[Rule, ...]]


@dataclass(frozen=True)
class Hook:
    """A rule of ours in a chain of the kernel's own: the way into our chains."""

    chain: str
    rule: Rule


@dataclass(frozen=True)
class Table:
    """Our part of one table: whole chains, and the hooks that lead into them, first in line."""

    name: str
    chains: Chains
    hooks: tuple[Hook, ...]


@dataclass(frozen=True)
class Config:
    """``cluster_cidr``: the pods' addresses; ``service_cidr``: the VIPs."""

    cluster_cidr: str
    service_cidr: str


@dataclass
class _Chains:
    """Chains under construction; a chain exists from its first mention."""

    rules: dict[str, list[Rule]] = field(default_factory=dict)

    def add(self, chain: str, *rules: Rule) -> None:
        self.rules.setdefault(chain, []).extend(rules)

    def merge(self, chains: Chains) -> None:
        for chain, rules in chains.items():
            self.add(chain, *rules)

    def finished(self) -> Chains:
        return {chain: tuple(rules) for chain, rules in sorted(self.rules.items())}


def build(ports: Iterable[ServicePort], config: Config) -> tuple[Table, Table]:
    """The nat and the filter table for these ports, which must be sorted."""
    nat, filter = _Chains(), _Chains()
    _fixed_nat(nat, config)
    _fixed_filter(filter, config)
    for port in ports:
        in_nat, in_filter = _of_port(port, config)
        nat.merge(in_nat)
        filter.merge(in_filter)
    nat.add(SERVICES, _to_node_ports())
    filter.add(SERVICES, _to_no_service(config))
    return Table("nat", nat.finished(), NAT_HOOKS), Table("filter", filter.finished(), FILTER_HOOKS)


@lru_cache(maxsize=4096)
def _of_port(port: ServicePort, config: Config) -> tuple[Chains, Chains]:
    """What one port adds to the tables; kept, because from one sync to the next few ports change."""
    nat, filter = _Chains(), _Chains()
    _translate(nat, port, config)
    _refuse(filter, port)
    return nat.finished(), filter.finished()


# What does not depend on Services

NAT_HOOKS = (
    Hook("PREROUTING", Rule(Jump(SERVICES), "kubernetes service portals")),
    Hook("OUTPUT", Rule(Jump(SERVICES), "kubernetes service portals")),
    Hook("POSTROUTING", Rule(Jump(POSTROUTING), "kubernetes postrouting rules")),
)
_NEW = ("NEW",)
_PORTALS = "kubernetes service portals"
_EXTERNAL_PORTALS = "kubernetes externally-visible service portals"
_BALANCER_FIREWALL = "kubernetes load balancer firewall"
FILTER_HOOKS = (
    Hook("INPUT", Rule(Jump(PROXY_FIREWALL), _BALANCER_FIREWALL, states=_NEW)),
    Hook("INPUT", Rule(Jump(EXTERNAL_SERVICES), _EXTERNAL_PORTALS, states=_NEW)),
    Hook("INPUT", Rule(Jump(FIREWALL))),
    Hook("FORWARD", Rule(Jump(PROXY_FIREWALL), _BALANCER_FIREWALL, states=_NEW)),
    Hook("FORWARD", Rule(Jump(FORWARD), "kubernetes forwarding rules")),
    Hook("FORWARD", Rule(Jump(SERVICES), _PORTALS, states=_NEW)),
    Hook("FORWARD", Rule(Jump(EXTERNAL_SERVICES), _EXTERNAL_PORTALS, states=_NEW)),
    Hook("OUTPUT", Rule(Jump(PROXY_FIREWALL), _BALANCER_FIREWALL, states=_NEW)),
    Hook("OUTPUT", Rule(Jump(SERVICES), _PORTALS, states=_NEW)),
    Hook("OUTPUT", Rule(Jump(FIREWALL))),
)


def _fixed_nat(nat: _Chains, config: Config) -> None:
    nat.add(NODE_PORTS)
    nat.add(SERVICES)
    nat.add(MARK_MASQ, Rule(SetMark(MASQUERADE_MARK)))
    nat.add(
        POSTROUTING,
        # Only a pod's own packets keep their source on the way to a VIP: pods know the way back to pods.
        Rule(
            Jump(MARK_MASQ),
            "kubernetes service traffic from outside the pod network",
            source=f"!{config.cluster_cidr}",
            states=("DNAT",),
            original_destination=config.service_cidr,
        ),
        Rule(Verdict("RETURN"), without_mark=MASQUERADE_MARK),
        # The mark goes, so that a packet that comes by again (in a tunnel, say) is not masqueraded twice.
        Rule(SetMark(MASQUERADE_MARK, xor=True)),
        Rule(Masquerade(), "kubernetes service traffic requiring SNAT"),
    )


def _fixed_filter(filter: _Chains, config: Config) -> None:
    for chain in (SERVICES, EXTERNAL_SERVICES, PROXY_FIREWALL):
        filter.add(chain)
    # Node ports work on 127.0.0.1 because the pods' bridge routes it; nobody else may come in that way. Upstream's rule
    # drops what the machine says to itself as well, as its host ports are all DNAT; Docker has a process for these.
    filter.add(
        FIREWALL,
        Rule(
            Verdict("DROP"),
            "block incoming localnet connections",
            source="!127.0.0.0/8",
            destination="127.0.0.0/8",
            interface="!lo",
            states=("!RELATED", "ESTABLISHED", "DNAT"),
        ),
    )
    filter.add(
        FORWARD,
        # Conntrack calls some late packets invalid and does not translate them; the peer would reset the connection.
        Rule(Verdict("DROP"), states=("INVALID",)),
        Rule(Verdict("ACCEPT"), "kubernetes forwarding rules", mark=MASQUERADE_MARK),
        # Unmarked (policy Local keeps the client's address): let in what our rules have sent to a pod.
        Rule(
            Verdict("ACCEPT"),
            "kubernetes forwarding to pods",
            destination=config.cluster_cidr,
            states=("DNAT",),
        ),
        Rule(Verdict("ACCEPT"), "kubernetes forwarding conntrack rule", states=("RELATED", "ESTABLISHED")),
    )


def _to_node_ports() -> Rule:
    comment = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
    return Rule(Jump(NODE_PORTS), comment, destination_type="LOCAL")


# nat: where a port's traffic goes


def _translate(nat: _Chains, port: ServicePort, config: Config) -> None:
    if not port.has_endpoints:
        return
    internal = _policy_chain(port, port.internal_local)
    if port.local_endpoints or not port.internal_local:
        nat.add(SERVICES, _to_vip(port, Jump(internal), "cluster IP"))
    if port.externally_reachable:
        _external(nat, port, config)
    for prefix, endpoints in _used_policies(port):
        _spread(nat, port, port.chain(prefix), endpoints)
    for endpoint in sorted({one for _, endpoints in _used_policies(port) for one in endpoints}, key=str):
        _endpoint(nat, port, endpoint)


def _policy_chain(port: ServicePort, local: bool) -> str:
    return port.chain(SERVICE_LOCAL_PREFIX if local else SERVICE_PREFIX)


def _used_policies(port: ServicePort) -> Iterator[tuple[str, tuple[Endpoint, ...]]]:
    """The kinds of traffic that this port has, with their endpoints."""
    # A pod's traffic to an external address stays inside the cluster, so policy Local needs the cluster's chain too.
    if not port.internal_local or port.externally_reachable:
        yield SERVICE_PREFIX, port.cluster_endpoints
    if port.local_endpoints and (port.internal_local or (port.external_local and port.externally_reachable)):
        yield SERVICE_LOCAL_PREFIX, port.local_endpoints


def _to_vip(port: ServicePort, target: Target, what: str) -> Rule:
    return Rule(
        target,
        f"{port.label} {what}",
        destination=f"{port.cluster_ip}/32",
        protocol=port.protocol,
        destination_port=port.port,
    )


def _external(nat: _Chains, port: ServicePort, config: Config) -> None:
    """Ways in from outside: external IPs, load balancer IPs, the node port."""
    external = Jump(port.chain(EXTERNAL_PREFIX))
    for ip in port.external_ips:
        nat.add(SERVICES, _to_address(port, ip, external, "external IP"))
    for ip in port.load_balancer_ips:
        target = Jump(port.chain(BALANCER_FIREWALL_PREFIX)) if port.source_ranges else external
        nat.add(SERVICES, _to_address(port, ip, target, "loadbalancer IP"))
    if port.load_balancer_ips and port.source_ranges:
        for source in port.source_ranges:
            nat.add(
                port.chain(BALANCER_FIREWALL_PREFIX), Rule(external, f"{port.label} loadbalancer IP", source=source)
            )
    if port.node_port:
        nat.add(NODE_PORTS, Rule(external, port.label, protocol=port.protocol, destination_port=port.node_port))
    if not port.external_local:
        comment = f"masquerade traffic for {port.label} external destinations"
        nat.add(external.chain, Rule(Jump(MARK_MASQ), comment), Rule(Jump(port.chain(SERVICE_PREFIX))))
        return
    cluster = Jump(port.chain(SERVICE_PREFIX))
    nat.add(
        external.chain,
        Rule(cluster, f"pod traffic for {port.label} external destinations", source=config.cluster_cidr),
        Rule(Jump(MARK_MASQ), f"masquerade LOCAL traffic for {port.label} external destinations", source_type="LOCAL"),
        Rule(cluster, f"route LOCAL traffic for {port.label} external destinations", source_type="LOCAL"),
    )
    if port.local_endpoints:
        nat.add(external.chain, Rule(Jump(port.chain(SERVICE_LOCAL_PREFIX))))


def _to_address(port: ServicePort, ip: str, target: Target, what: str) -> Rule:
    return Rule(
        target,
        f"{port.label} {what}",
        destination=f"{ip}/32",
        protocol=port.protocol,
        destination_port=port.port,
    )


def _spread(nat: _Chains, port: ServicePort, chain: str, endpoints: tuple[Endpoint, ...]) -> None:
    """To each endpoint an equal share: 1/n of all, then 1/(n-1) of the rest, …; a client that must stay does."""
    nat.add(chain)
    if port.affinity_seconds:
        for endpoint in endpoints:
            name = port.chain(ENDPOINT_PREFIX, endpoint)
            nat.add(chain, Rule(Jump(name), port.label, recent=Recent(name, port.affinity_seconds)))
    left = len(endpoints)
    for endpoint in endpoints:
        share = 1 / left if left > 1 else 0.0
        nat.add(chain, Rule(Jump(port.chain(ENDPOINT_PREFIX, endpoint)), port.label, probability=share))
        left -= 1


def _endpoint(nat: _Chains, port: ServicePort, endpoint: Endpoint) -> None:
    name = port.chain(ENDPOINT_PREFIX, endpoint)
    nat.add(
        name,
        # Hairpin: a pod that meets itself must see another source, or it would answer itself directly.
        Rule(Jump(MARK_MASQ), port.label, source=f"{endpoint.ip}/32"),
        Rule(
            Dnat(str(endpoint)),
            port.label,
            protocol=port.protocol,
            recent=Recent(name) if port.affinity_seconds else None,
        ),
    )


# filter: what is refused


def _to_no_service(config: Config) -> Rule:
    """A VIP that nobody has, or not yet: refused at once, where the sink would let a client wait for its time-out.

    Comes last: what a Service translates no longer has a VIP as its destination.
    """
    return Rule(Verdict("REJECT"), "kubernetes service addresses without a service", destination=config.service_cidr)


def _refuse(filter: _Chains, port: ServicePort) -> None:
    if not port.has_endpoints:
        filter.add(SERVICES, _to_vip(port, Verdict("REJECT"), "has no endpoints"))
        _refuse_external(filter, port, Verdict("REJECT"), "has no endpoints")
    else:
        if port.internal_local and not port.local_endpoints:
            filter.add(SERVICES, _to_vip(port, Verdict("DROP"), "has no local endpoints"))
        if port.external_local and not port.local_endpoints:
            _refuse_external(filter, port, Verdict("DROP"), "has no local endpoints")
    if port.has_endpoints and port.source_ranges:
        for ip in port.load_balancer_ips:
            what = f"traffic not accepted by {port.chain(BALANCER_FIREWALL_PREFIX)}"
            filter.add(PROXY_FIREWALL, _to_address(port, ip, Verdict("DROP"), what))


def _refuse_external(filter: _Chains, port: ServicePort, target: Verdict, why: str) -> None:
    for ip in (*port.external_ips, *port.load_balancer_ips):
        filter.add(EXTERNAL_SERVICES, _to_address(port, ip, target, why))
    if port.node_port:
        rule = Rule(
            target,
            f"{port.label} {why}",
            protocol=port.protocol,
            destination_port=port.node_port,
            destination_type="LOCAL",
        )
        filter.add(EXTERNAL_SERVICES, rule)
