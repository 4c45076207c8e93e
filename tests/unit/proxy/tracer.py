"""A packet tracer: walks the built rules as the kernel would and tells where a packet can end."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from machinery.objects import Object
from proxy.model import service_ports
from proxy.rules import AddressRanges, build
from proxy.ruletypes import Dnat, Jump, Masquerade, Rule, RuleTable, SetMark, Verdict

NODE_ADDRESSES = ("172.17.0.1", "10.0.2.15", "127.0.0.1")
RANGES = AddressRanges("172.17.0.0/16", "172.30.0.0/16")
Make = Callable[..., Object]  # makes a Service or an EndpointSlice


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection."""

    source: str
    destination: str
    port: int
    protocol: str = "tcp"
    mark: int = 0
    original: str = ""  # where it was sent, once it was translated
    known_at: frozenset[str] = frozenset()  # recent lists that know its source


@dataclass(frozen=True)
class End:
    """No rule behind the one that decided sees the packet: it has a verdict, or is translated."""

    result: Packet | str


def inside(address: str, cidr: str) -> bool:
    if cidr.startswith("!"):
        return not inside(address, cidr[1:])
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)


class Kernel:
    """The two tables, and every way that a packet can take through them (statistic rules fork it)."""

    def __init__(self, services: Iterable[Object], slices: Iterable[Object], node: str = "node1") -> None:
        self.nat, self.filter = build(service_ports(services, slices, node), RANGES)

    def send(
        self, source: str, destination: str, port: int, protocol: str = "tcp", known_at: Iterable[str] = ()
    ) -> set[str]:
        """Return all possible ends: ``172.17.0.2:80``, ``172.17.0.2:80 masqueraded``, ``REJECT``, ``untouched`` …"""
        packet = Packet(source, destination, port, protocol, known_at=frozenset(known_at))
        own = source in NODE_ADDRESSES
        ends: set[str] = set()
        for translated in self._hooked(self.nat, "OUTPUT" if own else "PREROUTING", packet):
            assert isinstance(translated, Packet)
            if own:
                way = ["OUTPUT"] + (["INPUT"] if translated.destination in NODE_ADDRESSES else [])
            else:
                way = ["INPUT" if translated.destination in NODE_ADDRESSES else "FORWARD"]
            ends |= self._filtered(translated, way)
        return ends

    def _filtered(self, packet: Packet, way: Sequence[str]) -> set[str]:
        for hook in way:
            results = self._hooked(self.filter, hook, packet)
            verdicts = {result for result in results if isinstance(result, str)}
            if verdicts - {"ACCEPT"}:
                return verdicts
        return {self._leaving(result) for result in self._hooked(self.nat, "POSTROUTING", packet)}

    def _leaving(self, result: Packet | str) -> str:
        if isinstance(result, str):
            return result
        return f"{result.destination}:{result.port}" if result.original else "untouched"

    def _hooked(self, table: RuleTable, hook: str, packet: Packet) -> set[Packet | str]:
        """Return the packets and verdicts that come out of the hooks of one of the kernel's chains."""
        packets: list[Packet] = [packet]
        ends: set[Packet | str] = set()
        for way_in in table.hooks:
            if way_in.chain != hook:
                continue
            onwards: list[Packet] = []
            for one in packets:
                for result in self._rules(table, (way_in.rule,), one):
                    if isinstance(result, End):
                        ends.add(result.result)
                    else:
                        onwards.append(result)
            packets = onwards
        return ends | set(packets)

    def _rules(self, table: RuleTable, rules: Sequence[Rule], packet: Packet) -> list[Packet | End]:
        """Return the packets that come out at the end of the rules, and the ends of those that do not."""
        for index, rule in enumerate(rules):
            if not self._matches(rule, packet):
                continue
            if rule.probability:
                return self._apply(table, rule, packet, rules[index + 1 :]) + self._rules(
                    table, rules[index + 1 :], packet
                )
            return self._apply(table, rule, packet, rules[index + 1 :])
        return [packet]

    def _apply(self, table: RuleTable, rule: Rule, packet: Packet, rest: Sequence[Rule]) -> list[Packet | End]:
        match rule.target:
            case Jump(chain):
                results: list[Packet | End] = []
                for result in self._rules(table, table.chains[chain], packet):
                    results += [result] if isinstance(result, End) else self._rules(table, rest, result)
                return results
            case Verdict("RETURN"):
                return [packet]
            case Verdict(name):
                return [End(name)]
            case SetMark(bit, xor):
                mark = packet.mark ^ bit if xor else packet.mark | bit
                return self._rules(table, rest, replace(packet, mark=mark))
            case Masquerade():
                return [End(f"{packet.destination}:{packet.port} masqueraded")]
            case Dnat(destination):
                ip, _, port = destination.partition(":")
                return [End(replace(packet, destination=ip, port=int(port), original=packet.destination))]
        raise AssertionError(rule)

    def _matches(self, rule: Rule, packet: Packet) -> bool:
        states = {"NEW"} | ({"DNAT"} if packet.original else set())
        wanted = {state.removeprefix("!") for state in rule.states}
        negated = any(state.startswith("!") for state in rule.states)
        return all(
            [
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
            ]
        )
