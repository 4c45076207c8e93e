"""Deletes connection-tracking entries that keep UDP traffic going to where it no longer should.

Translation is decided once for each flow and remembered in conntrack. A TCP client notices a dead peer and
connects again; a UDP client may keep its flow, and with it a pod that is gone, for ever. So after a
change of UDP endpoints the flows to Services are compared with the endpoints of now (upstream: pkg/proxy/conntrack).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.model import ServicePort
from proxy.netlink import ACK, DUMP, NESTED, ask_netfilter, attribute, attributes

log = logging.getLogger(__name__)

# linux/netfilter/nfnetlink_conntrack.h: messages of subsystem 1, and the attributes of an entry.
GET, DELETE = (1 << 8) | 1, (1 << 8) | 2
TUPLE_ORIGINAL, TUPLE_REPLY = 1, 2
TUPLE_IP, TUPLE_PROTOCOL = 1, 2
IP_SOURCE, IP_DESTINATION = 1, 2
PROTOCOL_NUMBER, PORT_SOURCE, PORT_DESTINATION = 1, 2, 3

# Where clients send to (address or "" for any of this host's, port) → the "ip:port" that may answer.
Destinations = Mapping[tuple[str, int], frozenset[str]]


@dataclass(frozen=True)
class Flow:
    """A UDP flow: as the client sent it, and who answers."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    answered_by: str  # "ip:port"


def destinations(ports: Iterable[ServicePort]) -> dict[tuple[str, int], frozenset[str]]:
    """All UDP destinations of these Services with their endpoints."""
    found: dict[tuple[str, int], frozenset[str]] = {}
    for port in ports:
        if port.protocol != "udp":
            continue
        endpoints = frozenset(str(one) for one in (*port.cluster_endpoints, *port.local_endpoints))
        for ip in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
            found[ip, port.port] = endpoints
        if port.node_port:
            found["", port.node_port] = endpoints
    return found


def stale(flows: Iterable[Flow], wanted: Destinations, gone: Destinations) -> list[Flow]:
    """The flows to forget: answered by what is not an endpoint (any more), or sent to what is no Service any more."""
    removed = {where: frozenset[str]() for where in gone if where not in wanted}
    known = {**removed, **wanted}
    found = []
    for flow in flows:
        where = (flow.destination, flow.destination_port)
        if where not in known:
            # A node port's flow counts only if it was translated: others may use that port elsewhere.
            where = ("", flow.destination_port)
            if flow.answered_by == f"{flow.destination}:{flow.destination_port}":
                continue
        if where in known and flow.answered_by not in known[where]:
            found.append(flow)
    return found


def forget_stale(wanted: Destinations, gone: Destinations) -> int:
    """Deletes the stale flows from the kernel; tells how many there were. Raises OSError."""
    found = {flow: raw for raw in ask_netfilter(GET, DUMP) if (flow := _flow(raw))}
    forgotten = stale(found, wanted, gone)
    for flow in forgotten:
        original = attribute(TUPLE_ORIGINAL | NESTED, attributes(found[flow])[TUPLE_ORIGINAL])
        try:
            list(ask_netfilter(DELETE, ACK, original))
        except FileNotFoundError:
            log.debug("%s has ended by itself", flow)
    return len(forgotten)


def _flow(raw: bytes) -> Flow | None:
    """The flow that an entry of conntrack is about, if it is UDP."""
    entry = attributes(raw)
    original, reply = attributes(entry[TUPLE_ORIGINAL]), attributes(entry[TUPLE_REPLY])
    if attributes(original[TUPLE_PROTOCOL])[PROTOCOL_NUMBER][0] != socket.IPPROTO_UDP:
        return None
    source, source_port = _end(original, IP_SOURCE, PORT_SOURCE)
    destination, destination_port = _end(original, IP_DESTINATION, PORT_DESTINATION)
    answered_by, answer_port = _end(reply, IP_SOURCE, PORT_SOURCE)
    return Flow(source, source_port, destination, destination_port, f"{answered_by}:{answer_port}")


def _end(flow: dict[int, bytes], ip: int, port: int) -> tuple[str, int]:
    """One end of one direction of a flow."""
    address = attributes(flow[TUPLE_IP])[ip]
    return socket.inet_ntoa(address), int.from_bytes(attributes(flow[TUPLE_PROTOCOL])[port], "big")
