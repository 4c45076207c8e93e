"""Delete the conntrack entries by which UDP traffic still goes to endpoints that are gone.

The nat table decides once for each flow, and conntrack remembers the decision. A TCP client notices that its peer is
dead and connects again, which is a new flow. A UDP client may go on sending from the same port, which keeps the old
entry alive, and its packets go to a pod that is gone, for ever. So after each change of UDP endpoints all UDP flows are
compared with the current endpoints, and entries that contradict them are deleted (upstream: pkg/proxy/conntrack).
Flows that were never translated, because there was no endpoint when they began, are deleted as well. Flows to a pod
that terminates but still serves stay with it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from proxy.model import ServicePort
from proxy.netlink import ACK, DUMP, NESTED, attribute, attributes, request_netfilter

log = logging.getLogger(__name__)

# linux/netfilter/nfnetlink_conntrack.h: messages of subsystem 1, and the attributes of an entry.
GET, DELETE = (1 << 8) | 1, (1 << 8) | 2
TUPLE_ORIGINAL, TUPLE_REPLY = 1, 2
TUPLE_IP, TUPLE_PROTOCOL = 1, 2
IP_SOURCE, IP_DESTINATION = 1, 2
PROTOCOL_NUMBER, PORT_SOURCE, PORT_DESTINATION = 1, 2, 3

# The kernel's routing table; an address of this host stands in a line before "/32 host LOCAL".
FIB_TRIE = Path("/proc/thread-self/net/fib_trie")

# (the address that clients send to, "" for any address of this host; port) → the endpoints ("ip:port") that may answer
Destinations = Mapping[tuple[str, int], frozenset[str]]


@dataclass(frozen=True)
class Flow:
    """A UDP flow: source and destination as the client sent it, and the endpoint to which it was translated."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    answered_by: str  # "ip:port"


def udp_destinations(ports: Iterable[ServicePort]) -> dict[tuple[str, int], frozenset[str]]:
    """Return all addresses and UDP ports of these Services with their endpoints."""
    found: dict[tuple[str, int], frozenset[str]] = {}
    for port in ports:
        if port.protocol != "udp":
            continue
        endpoints = frozenset(str(one) for one in port.serving_endpoints)
        for ip in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
            found[ip, port.port] = endpoints
        if port.node_port:
            found["", port.node_port] = endpoints
    return found


def stale_flows(
    flows: Iterable[Flow], wanted: Destinations, gone: Destinations, own_addresses: Collection[str]
) -> list[Flow]:
    """Return the flows that go to something that is not an endpoint of their destination.

    ``wanted`` are the destinations now; ``gone`` are those of before, of which some may exist no longer.
    ``own_addresses`` are this host's, at which node ports are reached.
    """
    removed = {where: frozenset[str]() for where in gone if where not in wanted}
    known = {**removed, **wanted}
    found = []
    for flow in flows:
        where = (flow.destination, flow.destination_port)
        if where not in known:
            # A flow to a node port's number counts if it was translated or if it is to this host. Otherwise it may be
            # anybody's, who sends to that port on another machine.
            where = ("", flow.destination_port)
            translated = flow.answered_by != f"{flow.destination}:{flow.destination_port}"
            if not translated and flow.destination not in own_addresses:
                continue
        if where in known and flow.answered_by not in known[where]:
            found.append(flow)
    return found


def delete_stale_flows(wanted: Destinations, gone: Destinations) -> None:
    """Delete the stale flows from the kernel's conntrack table; see ``stale_flows``. Raises OSError."""
    entries = {flow: entry for entry in request_netfilter(GET, DUMP) if (flow := _udp_flow(entry))}
    stale = stale_flows(entries, wanted, gone, own_addresses())
    for flow in stale:
        original = attribute(TUPLE_ORIGINAL | NESTED, attributes(entries[flow])[TUPLE_ORIGINAL])
        try:
            list(request_netfilter(DELETE, ACK, original))
        except FileNotFoundError:
            log.debug("%s has ended by itself", flow)
    if stale:
        log.info("deleted %d stale UDP flows", len(stale))


def own_addresses() -> set[str]:
    """Return the IPv4 addresses of this host, in its current network namespace."""
    lines = FIB_TRIE.read_text().splitlines()
    return {address.split()[-1] for address, kind in pairwise(lines) if kind.strip() == "/32 host LOCAL"}


def _udp_flow(body: bytes) -> Flow | None:
    """Return the flow that a conntrack entry is about, or None if it is not UDP."""
    entry = attributes(body)
    original, reply = attributes(entry[TUPLE_ORIGINAL]), attributes(entry[TUPLE_REPLY])
    if attributes(original[TUPLE_PROTOCOL])[PROTOCOL_NUMBER][0] != socket.IPPROTO_UDP:
        return None
    source, source_port = _end(original, IP_SOURCE, PORT_SOURCE)
    destination, destination_port = _end(original, IP_DESTINATION, PORT_DESTINATION)
    answered_by, answer_port = _end(reply, IP_SOURCE, PORT_SOURCE)
    return Flow(source, source_port, destination, destination_port, f"{answered_by}:{answer_port}")


def _end(flow: dict[int, bytes], ip: int, port: int) -> tuple[str, int]:
    """Return address and port of one end of a flow, in one direction."""
    address = attributes(flow[TUPLE_IP])[ip]
    return socket.inet_ntoa(address), int.from_bytes(attributes(flow[TUPLE_PROTOCOL])[port], "big")
