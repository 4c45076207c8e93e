"""How a Service gets its cluster IP and node ports, and gives them back (upstream: registry/core/service/storage).

Each value is a *claim*: a key in the store that is written in the transaction that writes the Service, and deleted in
the one that deletes it. So neither a crash nor a race between two API servers can give a value out twice, and none is
lost. This module only chooses; the store refuses a claim that another Service holds, and the choice is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from apiserver.kinds.services.defaults import is_headless, wants_cluster_ip, wants_node_ports
from apiserver.kinds.services.ranges import AllocationError, NodePorts, RangeFull, ServiceRanges, Taken
from machinery.errors import FieldError, InternalError
from machinery.objects import Object

Value = TypeVar("Value", str, int)


def claims_of(spec: Object, ranges: ServiceRanges) -> Sequence[str]:
    """Return the keys of what a Service holds: its cluster IPs and its node ports."""
    keys = []
    if wants_cluster_ip(spec) and not is_headless(spec):
        keys += [ranges.ips.claim(address) for address in spec.get("clusterIPs", ())]
    ports = {port["nodePort"] for port in spec.get("ports", ()) if port.get("nodePort")}
    return keys + [ranges.ports.claim(port) for port in sorted(ports)]


def allocate(spec: Object, ranges: ServiceRanges, taken: Taken, held: Collection[str]) -> list[FieldError]:
    """Choose what is unset, and check what is asked for; ``held`` are the claims that the Service has already.

    Raises InternalError if a range is full.
    """

    def taken_by_others(claim: str) -> bool:
        return claim not in held and taken(claim)

    return [*_allocate_ip(spec, ranges, taken_by_others), *_allocate_ports(spec, ranges.ports, taken_by_others, held)]


def _allocate_ip(spec: Object, ranges: ServiceRanges, taken: Taken) -> list[FieldError]:
    if not wants_cluster_ip(spec) or is_headless(spec):
        return []
    wanted = (spec.get("clusterIPs") or [""])[0]
    if wanted:
        try:
            ranges.ips.check(wanted, taken)
        except AllocationError as why:
            detail = f"failed to allocate IP {wanted}: {why}"
            return [FieldError.invalid("spec.clusterIPs", spec["clusterIPs"], detail)]
        return []
    address = _choose("serviceIP", ranges.ips.choose, taken)
    spec["clusterIP"], spec["clusterIPs"] = address, [address]
    return []


def _allocate_ports(spec: Object, ports: NodePorts, taken: Taken, held: Collection[str]) -> list[FieldError]:
    """Choose or check node ports; ports of one number and several protocols share one, as upstream."""
    if not wants_node_ports(spec) and not any(port.get("nodePort") for port in spec.get("ports", ())):
        return []
    chosen: dict[int, int] = {}  # service port → node port
    given: set[str] = set()  # claims of node ports that this Service gets now
    requested = {port["port"]: port["nodePort"] for port in spec["ports"] if port.get("nodePort")}
    for index, port in enumerate(spec["ports"]):
        wanted = port.get("nodePort") or chosen.get(port["port"]) or requested.get(port["port"])
        if not wanted and not wants_node_ports(spec):
            continue
        if not wanted:
            wanted = _choose("nodePort", ports.choose, lambda claim: claim in given or claim in held or taken(claim))
        elif chosen.get(port["port"]) != wanted:
            claim = ports.claim(wanted)
            try:
                if claim in given and claim not in held:
                    raise AllocationError("provided port is already allocated")
                if claim not in held:
                    ports.check(wanted, taken)
            except AllocationError as why:
                return [FieldError.invalid(f"spec.ports[{index}].nodePort", wanted, str(why))]
        port["nodePort"] = chosen[port["port"]] = wanted
        given.add(ports.claim(wanted))
    return []


def _choose(what: str, choose: Callable[[Taken], Value], taken: Taken) -> Value:
    try:
        return choose(taken)
    except RangeFull as full:
        raise InternalError(f"Internal error occurred: failed to allocate a {what}: {full}") from full
