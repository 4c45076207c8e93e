"""A packet tracer: walks the built rules as the kernel would and tells where a packet can end."""

import ipaddress
from dataclasses import dataclass, replace

import pytest

from proxy.model import service_ports
from proxy.rules import AddressRanges, build
from proxy.ruletypes import Dnat, Jump, Masquerade, SetMark, Verdict

NODE_ADDRESSES = ("172.17.0.1", "10.0.2.15", "127.0.0.1")
RANGES = AddressRanges("172.17.0.0/16", "172.30.0.0/16")


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection."""

    source: str
    destination: str
    port: int
    protocol: str = "tcp"
    mark: int = 0
    original: str = ""  # where it was sent, once it was translated
    known_at: frozenset = frozenset()  # recent lists that know its source


def inside(address, cidr):
    if cidr.startswith("!"):
        return not inside(address, cidr[1:])
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)


class Kernel:
    """The two tables, and every way that a packet can take through them (statistic rules fork it)."""

    def __init__(self, services, slices, node="node1"):
        self.nat, self.filter = build(service_ports(services, slices, node), RANGES)

    def send(self, source, destination, port, protocol="tcp", known_at=()):
        """All possible ends, as words: ``172.17.0.2:80``, ``172.17.0.2:80 masqueraded``, ``REJECT``, ``DROP``,
        ``untouched``."""
        packet = Packet(source, destination, port, protocol, known_at=frozenset(known_at))
        own = source in NODE_ADDRESSES
        ends = set()
        for translated in self._hooked(self.nat, "OUTPUT" if own else "PREROUTING", packet):
            if own:
                way = ["OUTPUT"] + (["INPUT"] if translated.destination in NODE_ADDRESSES else [])
            else:
                way = ["INPUT" if translated.destination in NODE_ADDRESSES else "FORWARD"]
            ends |= self._filtered(translated, way)
        return ends

    def _filtered(self, packet, way):
        for hook in way:
            results = self._hooked(self.filter, hook, packet)
            verdicts = {result for result in results if isinstance(result, str)}
            if verdicts - {"ACCEPT"}:
                return verdicts
        return {self._leaving(result) for result in self._hooked(self.nat, "POSTROUTING", packet)}

    def _leaving(self, result):
        if isinstance(result, str):
            return result
        return f"{result.destination}:{result.port}" if result.original else "untouched"

    def _hooked(self, table, hook, packet):
        """The packets (or final verdicts) that come out of the hooks of one of the kernel's chains."""
        packets, ends = [packet], set()
        for way_in in table.hooks:
            if way_in.chain != hook:
                continue
            onwards = []
            for one in packets:
                for result in self._rules(table, (way_in.rule,), one):
                    if isinstance(result, tuple):
                        ends.add(result[1])
                    else:
                        onwards.append(result)
            packets = onwards
        return ends | set(packets)

    def _rules(self, table, rules, packet):
        """Packets that fall off the end, or ("end", what)."""
        for index, rule in enumerate(rules):
            if not self._matches(rule, packet):
                continue
            if rule.probability:
                return self._apply(table, rule, packet, rules[index + 1 :]) + self._rules(
                    table, rules[index + 1 :], packet
                )
            return self._apply(table, rule, packet, rules[index + 1 :])
        return [packet]

    def _apply(self, table, rule, packet, rest):
        match rule.target:
            case Jump(chain):
                results = []
                for result in self._rules(table, table.chains[chain], packet):
                    ended = isinstance(result, tuple)
                    results += [result] if ended else self._rules(table, rest, result)
                return results
            case Verdict("RETURN"):
                return [packet]
            case Verdict(name):
                return [("end", name)]
            case SetMark(bit, xor):
                mark = packet.mark ^ bit if xor else packet.mark | bit
                return self._rules(table, rest, replace(packet, mark=mark))
            case Masquerade():
                return [("end", f"{packet.destination}:{packet.port} masqueraded")]
            case Dnat(destination):
                ip, _, port = destination.partition(":")
                return [("end", replace(packet, destination=ip, port=int(port), original=packet.destination))]
        raise AssertionError(rule)

    def _matches(self, rule, packet):
        states = {"NEW"} | ({"DNAT"} if packet.original else set())
        wanted = {state.removeprefix("!") for state in rule.states}
        negated = any(state.startswith("!") for state in rule.states)
        return all([
            not rule.source or inside(packet.source, rule.source),
            not rule.destination or inside(packet.destination, rule.destination),
            rule.protocol in ("", packet.protocol),
            rule.destination_port in (0, packet.port),
            not rule.destination_type or packet.destination in NODE_ADDRESSES,
            not rule.source_type or packet.source in NODE_ADDRESSES,
            not rule.mark or packet.mark & rule.mark,
            not rule.without_mark or not packet.mark & rule.without_mark,
            not wanted or bool(states & wanted) != negated,
            not rule.original_destination
            or (packet.original and inside(packet.original, rule.original_destination)),
            not rule.recent or not rule.recent.seconds or rule.recent.list in packet.known_at,
        ])  # fmt: skip


@pytest.fixture
def kernel():
    return Kernel


def _service(name="web", *, ports=None, namespace="ns", status=None, **spec):
    ports = ports or [{"port": 80, "protocol": "TCP"}]
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"type": "ClusterIP", "clusterIP": "172.30.1.1", "ports": ports, **spec},
        "status": status or {},
    }


def _slice(*endpoints, name="web", namespace="ns", ports=None, suffix="1"):
    ports = ports or [{"name": "", "port": 8080, "protocol": "TCP"}]
    made = [{"addresses": [one], "nodeName": "node1"} if isinstance(one, str) else one for one in endpoints]
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"namespace": namespace, "name": f"{name}-{suffix}", "labels": labels},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": made,
    }


@pytest.fixture
def service():
    return _service


@pytest.fixture
def endpoint_slice():
    return _slice
