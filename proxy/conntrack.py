"""Deletes connection-tracking entries that keep UDP traffic going to where it no longer should.

Translation is decided once for each flow and remembered in conntrack. A TCP client notices a dead peer and
connects again; a UDP client may keep its flow, and with it a pod that is gone, for ever. So after a
change of UDP endpoints the flows to Services are compared with the endpoints of now (upstream: pkg/proxy/conntrack).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.model import ServicePort

log = logging.getLogger(__name__)

UDP = 17

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
    """Deletes the stale flows from the kernel; tells how many there were."""
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

    with NFCTSocket() as conntrack:
        flows = [flow for entry in conntrack.dump(tuple_orig=NFCTAttrTuple(proto=UDP)) if (flow := _flow(entry))]
        found = stale(flows, wanted, gone)
        for flow in found:
            _forget(conntrack, NFCTAttrTuple, flow)
    return len(found)


def _forget(conntrack: Any, make_tuple: Any, flow: Flow) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    original = make_tuple(
        saddr=flow.source,
        daddr=flow.destination,
        proto=UDP,
        sport=flow.source_port,
        dport=flow.destination_port,
    )
    try:
        conntrack.entry("del", tuple_orig=original)
    except NetlinkError as error:
        # It may have expired by itself meanwhile.
        log.debug("flow %s: %s", flow, error)


def _flow(entry: Any) -> Flow | None:
    original, reply = entry.get_attr("CTA_TUPLE_ORIG"), entry.get_attr("CTA_TUPLE_REPLY")
    protocol = original.get_attr("CTA_TUPLE_PROTO") if original else None
    if not protocol or not reply or protocol.get_attr("CTA_PROTO_NUM") != UDP:
        return None
    addresses, answer = original.get_attr("CTA_TUPLE_IP"), reply.get_attr("CTA_TUPLE_IP")
    if addresses.get_attr("CTA_IP_V4_SRC") is None:
        return None
    answer_port = reply.get_attr("CTA_TUPLE_PROTO").get_attr("CTA_PROTO_SRC_PORT")
    return Flow(
        source=addresses.get_attr("CTA_IP_V4_SRC"),
        source_port=protocol.get_attr("CTA_PROTO_SRC_PORT"),
        destination=addresses.get_attr("CTA_IP_V4_DST"),
        destination_port=protocol.get_attr("CTA_PROTO_DST_PORT"),
        answered_by=f"{answer.get_attr('CTA_IP_V4_SRC')}:{answer_port}",
    )
