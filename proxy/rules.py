"""How a VIP works: build the rules of the nat and the filter table from ServicePorts. No syntax, no I/O.

A Service's virtual IP belongs to no device. It exists only in rules, which change a packet's destination before the
kernel looks for a route. For a Service with one pod, four rules do that (as ``iptables-save`` prints them, shortened):

    1  -A KUBE-SERVICES -d 172.30.40.155/32 -p tcp --dport 80 -j KUBE-SVC-IKIIGXZ2IBFIBYI6
    2  -A KUBE-SVC-IKIIGXZ2IBFIBYI6 -j KUBE-SEP-ASIN52LB5SMYF6KR
    3  -A KUBE-SEP-ASIN52LB5SMYF6KR -s 172.17.0.2/32 -j KUBE-MARK-MASQ
    4  -A KUBE-SEP-ASIN52LB5SMYF6KR -p tcp -j DNAT --to-destination 172.17.0.2:9876

1. Packets from other hosts and from pods come through PREROUTING, those of this host through OUTPUT; hooks in both
   lead to KUBE-SERVICES. There the VIP and its port select the chain of this ServicePort (``_to_address``).
2. The ServicePort's chain selects an endpoint at random: with n endpoints it has n rules, the first with probability
   1/n, the next with 1/(n-1) of what is left, …, the last takes the rest (``_add_load_balancing``). All packets of one
   connection go to the same endpoint, because only the first passes the nat table: conntrack remembers the result.
3. Hairpin: if the client is the endpoint itself, it would see its own address as the source and answer itself without
   passing the node again, which alone can translate back. So the packet is marked to be masqueraded.
4. DNAT replaces the destination by the pod's address and port (``_add_endpoint_chain``); the packet is routed there.

On the way out KUBE-POSTROUTING masquerades what was marked: it replaces the source by an address of the node. It does
so as well for clients outside the pod network (the node itself, other hosts), whose answers would otherwise go past
the node. Upstream has for that a rule for each Service; here one rule serves all, which knows packets to a VIP by
their original destination. Pods keep their source on the way to a VIP, and so the endpoint sees its client.

External addresses (node ports, external IPs, load balancer IPs) lead to the port's KUBE-EXT chain first, which
masquerades everything, because the endpoint may be on another node; unless externalTrafficPolicy is Local, which keeps
the client's address and sends to endpoints on this node only (``_add_external_addresses``).

The filter table decides about addresses that have nobody to answer: rejected if a port has no endpoints, so that a
client fails at once instead of waiting; dropped if a policy is Local and there are none on this node, because then a
load balancer should try another node (``_add_filter_rules``).

The layout of a cluster IP's rules is upstream's since v1.6 (pkg/proxy/iptables), that of external traffic is v1.32's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from proxy.chains import (
    BALANCER_FIREWALL_PREFIX,
    ENDPOINT_PREFIX,
    EXTERNAL_PREFIX,
    EXTERNAL_SERVICES,
    FIREWALL,
    FORWARD,
    MARK_MASQ,
    NODE_PORTS,
    POSTROUTING,
    PROXY_FIREWALL,
    SERVICE_LOCAL_PREFIX,
    SERVICE_PREFIX,
    SERVICES,
)
from proxy.model import Endpoint, ServicePort
from proxy.ruletypes import Chains, Dnat, Hook, Jump, Masquerade, Recent, Rule, RuleTable, SetMark, Target, Verdict

MASQUERADE_MARK = 0x4000


@dataclass(frozen=True)
class AddressRanges:
    """The CIDRs that tell packets apart: ``cluster_cidr`` has the pods' addresses, ``service_cidr`` the VIPs."""

    cluster_cidr: str
    service_cidr: str


@dataclass
class _Chains:
    """Chains under construction; a chain exists as soon as it was named, even without rules."""

    rules: dict[str, list[Rule]] = field(default_factory=dict)

    def add(self, chain: str, *rules: Rule) -> None:
        self.rules.setdefault(chain, []).extend(rules)

    def merge(self, chains: Chains) -> None:
        for chain, rules in chains.items():
            self.add(chain, *rules)

    def finished(self) -> Chains:
        return {chain: tuple(rules) for chain, rules in sorted(self.rules.items())}


def build(ports: Iterable[ServicePort], ranges: AddressRanges) -> tuple[RuleTable, RuleTable]:
    """Return the nat and the filter table for these ports, in whose order the rules of shared chains stand."""
    nat, filter = _Chains(), _Chains()
    _add_fixed_nat(nat, ranges)
    _add_fixed_filter(filter, ranges)
    for port in ports:
        port_nat, port_filter = _port_chains(port, ranges)
        nat.merge(port_nat)
        filter.merge(port_filter)
    nat.add(SERVICES, _to_node_ports())
    filter.add(SERVICES, _reject_unknown_vips(ranges))
    return RuleTable("nat", nat.finished(), NAT_HOOKS), RuleTable("filter", filter.finished(), FILTER_HOOKS)


@lru_cache(maxsize=4096)
def _port_chains(port: ServicePort, ranges: AddressRanges) -> tuple[Chains, Chains]:
    """Return what one port adds to the two tables. It is cached because few ports change from one sync to the next."""
    nat, filter = _Chains(), _Chains()
    if port.has_endpoints:
        _add_nat_rules(nat, port, ranges)
    _add_filter_rules(filter, port)
    return nat.finished(), filter.finished()


# nat: where a port's traffic goes


def _add_nat_rules(nat: _Chains, port: ServicePort, ranges: AddressRanges) -> None:
    if port.local_endpoints or not port.internal_local:
        chain = port.chain(SERVICE_LOCAL_PREFIX if port.internal_local else SERVICE_PREFIX)
        nat.add(SERVICES, _to_address(port, port.cluster_ip, Jump(chain), "cluster IP"))
    if port.externally_reachable:
        _add_external_addresses(nat, port)
        _add_external_chain(nat, port, ranges)
    used: set[Endpoint] = set()
    for prefix, endpoints in _endpoint_choices(port):
        _add_load_balancing(nat, port, port.chain(prefix), endpoints)
        used.update(endpoints)
    for endpoint in sorted(used, key=str):
        _add_endpoint_chain(nat, port, endpoint)


def _endpoint_choices(port: ServicePort) -> Iterator[tuple[str, tuple[Endpoint, ...]]]:
    """Yield the chains that choose an endpoint for this port (KUBE-SVC, KUBE-SVL), each with those it chooses from."""
    # A pod's traffic to an external address stays in the cluster whatever the policy, and so needs all endpoints.
    if not port.internal_local or port.externally_reachable:
        yield SERVICE_PREFIX, port.cluster_endpoints
    if port.local_endpoints and (port.internal_local or (port.external_local and port.externally_reachable)):
        yield SERVICE_LOCAL_PREFIX, port.local_endpoints


def _to_address(port: ServicePort, ip: str, target: Target, what: str) -> Rule:
    return Rule(
        target,
        f"{port.service_port_name} {what}",
        destination=f"{ip}/32",
        protocol=port.protocol,
        destination_port=port.port,
    )


def _add_load_balancing(nat: _Chains, port: ServicePort, chain: str, endpoints: tuple[Endpoint, ...]) -> None:
    """Share connections evenly among the endpoints. With session affinity a known client keeps its endpoint."""
    nat.add(chain)
    if port.affinity_seconds:
        for endpoint in endpoints:
            name = port.chain(ENDPOINT_PREFIX, endpoint)
            nat.add(chain, Rule(Jump(name), port.service_port_name, recent=Recent(name, port.affinity_seconds)))
    remaining = len(endpoints)
    for endpoint in endpoints:
        probability = 1 / remaining if remaining > 1 else 0.0  # the last one matches always
        target = Jump(port.chain(ENDPOINT_PREFIX, endpoint))
        nat.add(chain, Rule(target, port.service_port_name, probability=probability))
        remaining -= 1


def _add_endpoint_chain(nat: _Chains, port: ServicePort, endpoint: Endpoint) -> None:
    name = port.chain(ENDPOINT_PREFIX, endpoint)
    recent = Recent(name) if port.affinity_seconds else None  # note the client for the next time
    nat.add(
        name,
        # Hairpin: see step 3 above.
        Rule(Jump(MARK_MASQ), port.service_port_name, source=f"{endpoint.ip}/32"),
        Rule(Dnat(str(endpoint)), port.service_port_name, protocol=port.protocol, recent=recent),
    )


def _add_external_addresses(nat: _Chains, port: ServicePort) -> None:
    """Lead the port's external IPs, load balancer IPs and node port to its KUBE-EXT chain."""
    external = Jump(port.chain(EXTERNAL_PREFIX))
    for ip in port.external_ips:
        nat.add(SERVICES, _to_address(port, ip, external, "external IP"))
    firewall = port.chain(BALANCER_FIREWALL_PREFIX)
    for ip in port.load_balancer_ips:
        target = Jump(firewall) if port.source_ranges else external
        nat.add(SERVICES, _to_address(port, ip, target, "loadbalancer IP"))
    if port.load_balancer_ips:
        # A packet from elsewhere comes back untranslated, and the filter table drops it.
        for source in port.source_ranges:
            nat.add(firewall, Rule(external, f"{port.service_port_name} loadbalancer IP", source=source))
    if port.node_port:
        rule = Rule(external, port.service_port_name, protocol=port.protocol, destination_port=port.node_port)
        nat.add(NODE_PORTS, rule)


def _add_external_chain(nat: _Chains, port: ServicePort, ranges: AddressRanges) -> None:
    chain, cluster = port.chain(EXTERNAL_PREFIX), Jump(port.chain(SERVICE_PREFIX))
    destinations = f"{port.service_port_name} external destinations"
    if not port.external_local:
        nat.add(chain, Rule(Jump(MARK_MASQ), f"masquerade traffic for {destinations}"), Rule(cluster))
        return
    nat.add(
        chain,
        # For traffic from inside, a policy Local that is about clients outside makes no sense: any endpoint will do.
        Rule(cluster, f"pod traffic for {destinations}", source=ranges.cluster_cidr),
        Rule(Jump(MARK_MASQ), f"masquerade LOCAL traffic for {destinations}", source_type="LOCAL"),
        Rule(cluster, f"route LOCAL traffic for {destinations}", source_type="LOCAL"),
    )
    if port.local_endpoints:
        nat.add(chain, Rule(Jump(port.chain(SERVICE_LOCAL_PREFIX))))


# filter: addresses that have nobody to answer


def _add_filter_rules(filter: _Chains, port: ServicePort) -> None:
    if not port.has_endpoints:
        filter.add(SERVICES, _to_address(port, port.cluster_ip, Verdict("REJECT"), "has no endpoints"))
        _refuse_external_addresses(filter, port, Verdict("REJECT"), "has no endpoints")
        return
    if not port.local_endpoints:
        if port.internal_local:
            filter.add(SERVICES, _to_address(port, port.cluster_ip, Verdict("DROP"), "has no local endpoints"))
        if port.external_local:
            _refuse_external_addresses(filter, port, Verdict("DROP"), "has no local endpoints")
    if port.source_ranges:
        for ip in port.load_balancer_ips:
            what = f"traffic not accepted by {port.chain(BALANCER_FIREWALL_PREFIX)}"
            filter.add(PROXY_FIREWALL, _to_address(port, ip, Verdict("DROP"), what))


def _refuse_external_addresses(filter: _Chains, port: ServicePort, verdict: Verdict, reason: str) -> None:
    for ip in (*port.external_ips, *port.load_balancer_ips):
        filter.add(EXTERNAL_SERVICES, _to_address(port, ip, verdict, reason))
    if port.node_port:
        rule = Rule(
            verdict,
            f"{port.service_port_name} {reason}",
            protocol=port.protocol,
            destination_port=port.node_port,
            destination_type="LOCAL",
        )
        filter.add(EXTERNAL_SERVICES, rule)


# What does not depend on Services

_NEW = ("NEW",)  # the rules that translate and refuse need to see a connection's first packet only
_PORTALS = "kubernetes service portals"
_EXTERNAL_PORTALS = "kubernetes externally-visible service portals"
_BALANCER_FIREWALL = "kubernetes load balancer firewall"

NAT_HOOKS = (
    Hook("PREROUTING", Rule(Jump(SERVICES), _PORTALS)),
    Hook("OUTPUT", Rule(Jump(SERVICES), _PORTALS)),
    Hook("POSTROUTING", Rule(Jump(POSTROUTING), "kubernetes postrouting rules")),
)
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


def _add_fixed_nat(nat: _Chains, ranges: AddressRanges) -> None:
    nat.add(NODE_PORTS)
    nat.add(SERVICES)
    nat.add(MARK_MASQ, Rule(SetMark(MASQUERADE_MARK)))
    nat.add(
        POSTROUTING,
        # Pods know the way back to pods. All others must be masqueraded on their way to a VIP.
        Rule(
            Jump(MARK_MASQ),
            "kubernetes service traffic from outside the pod network",
            source=f"!{ranges.cluster_cidr}",
            states=("DNAT",),
            original_destination=ranges.service_cidr,
        ),
        Rule(Verdict("RETURN"), without_mark=MASQUERADE_MARK),
        # A packet may come by twice, for example inside a tunnel. Without the mark it is masqueraded only once.
        Rule(SetMark(MASQUERADE_MARK, xor=True)),
        Rule(Masquerade(), "kubernetes service traffic requiring SNAT"),
    )


def _add_fixed_filter(filter: _Chains, ranges: AddressRanges) -> None:
    for chain in (SERVICES, EXTERNAL_SERVICES, PROXY_FIREWALL):
        filter.add(chain)
    # Node ports work on 127.0.0.1 because the pods' bridge routes that network (route_localnet, network.py), and this
    # rule keeps everybody else out of it. Upstream's rule drops also what this host sends to itself, which breaks
    # nothing there because all host ports are DNAT; here Docker may publish a port with a process that listens.
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
        # With policy Local a packet keeps its source and has no mark. Docker's default is not to forward it to a pod.
        Rule(
            Verdict("ACCEPT"),
            "kubernetes forwarding to pods",
            destination=ranges.cluster_cidr,
            states=("DNAT",),
        ),
        Rule(Verdict("ACCEPT"), "kubernetes forwarding conntrack rule", states=("RELATED", "ESTABLISHED")),
    )


def _to_node_ports() -> Rule:
    comment = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
    return Rule(Jump(NODE_PORTS), comment, destination_type="LOCAL")


def _reject_unknown_vips(ranges: AddressRanges) -> Rule:
    """Refuse at once a VIP that no Service has; without this rule the client would wait until its timeout.

    It must be the last rule of its chain. A packet to a Service's VIP does not meet it, since it has been translated.
    """
    return Rule(Verdict("REJECT"), "kubernetes service addresses without a service", destination=ranges.service_cidr)
