"""The names of our chains, which are kube-proxy's.

A chain is a list of rules with a name; a rule can jump to another chain. A packet's way in the nat table:

    PREROUTING ┐                  ┌─ to a VIP ─────────────────────────────▶ KUBE-SVC-… ─ 1/n each ─▶ KUBE-SEP-… ▶ DNAT
       OUTPUT ─┴▶ KUBE-SERVICES ──┼─ to an external or balancer IP ─▶ KUBE-EXT-… ─┬─▶ KUBE-SVC-…
                                  └─ to this host ─▶ KUBE-NODEPORTS ─▶ KUBE-EXT-… ┴─▶ KUBE-SVL-…, with policy Local
    POSTROUTING ─▶ KUBE-POSTROUTING: masquerades the packets that KUBE-MARK-MASQ has marked on their way

One chain of the first kind exists for each port of a Service, one of the second for each of its endpoints. Their names
end in a hash (``ServicePort.chain``), and ``iptables-save | grep namespace/service`` finds them by their comments.
"""

SERVICES = "KUBE-SERVICES"  # all addresses of all Services
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"  # filter: external addresses without endpoints
NODE_PORTS = "KUBE-NODEPORTS"  # all node ports
POSTROUTING = "KUBE-POSTROUTING"
MARK_MASQ = "KUBE-MARK-MASQ"  # marks a packet, so that KUBE-POSTROUTING masquerades it
FORWARD = "KUBE-FORWARD"  # filter: lets translated packets through to the pods
FIREWALL = "KUBE-FIREWALL"  # filter: keeps others out of 127.0.0.0/8
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"  # filter: drops what loadBalancerSourceRanges do not allow

SERVICE_PREFIX = "KUBE-SVC-"  # a port: chooses one of all its endpoints
SERVICE_LOCAL_PREFIX = "KUBE-SVL-"  # a port: chooses one of its endpoints on this node
EXTERNAL_PREFIX = "KUBE-EXT-"  # a port: traffic from outside the cluster
ENDPOINT_PREFIX = "KUBE-SEP-"  # an endpoint: translates the destination to it
BALANCER_FIREWALL_PREFIX = "KUBE-FW-"  # a port: which clients may use its load balancer's IPs

FIXED = frozenset({SERVICES, EXTERNAL_SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ, FORWARD, FIREWALL, PROXY_FIREWALL})
# Chains that come and go with Services: one that the kernel has and the rules do not is stale.
PREFIXES = (SERVICE_PREFIX, SERVICE_LOCAL_PREFIX, EXTERNAL_PREFIX, ENDPOINT_PREFIX, BALANCER_FIREWALL_PREFIX)


def is_ours(chain: str) -> bool:
    return chain in FIXED or chain.startswith(PREFIXES)
