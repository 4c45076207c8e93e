"""IP addresses and networks, as Go's netip has them (upstream: apiserver pkg/cel/library, ip.go and cidr.go)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.declarations import Function, functions, overload
from apiserver.crdschema.cel.values import EvaluationError, Opaque

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# No address is longer; what is, is not worth parsing.
_MOST_CHARACTERS = 64


class IP(Opaque):
    """An IP address."""

    type = types.opaque("net.IP")

    def __init__(self, address: _Address) -> None:
        self.address = address
        self.size = address.max_prefixlen // 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IP) and self.address == other.address

    def __str__(self) -> str:
        return _written(self.address)

    __hash__ = None  # type: ignore[assignment]


class CIDR(Opaque):
    """A network, with the address that it was written with."""

    type = types.opaque("net.CIDR")

    def __init__(self, address: _Address, length: int) -> None:
        self.address = address
        self.length = length
        self.size = -(-length // 8)

    @property
    def masked(self) -> int:
        """Return the network's address as a number."""
        return self.bits_of(self.address)

    def bits_of(self, address: _Address) -> int:
        """Return the bits of an address that the network tells, as a number."""
        return int(address) >> (address.max_prefixlen - self.length) << (address.max_prefixlen - self.length)

    def contains(self, address: _Address) -> bool:
        return self.address.version == address.version and self.masked == self.bits_of(address)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CIDR) and (self.address, self.length) == (other.address, other.length)

    def __str__(self) -> str:
        return f"{_written(self.address)}/{self.length}"

    __hash__ = None  # type: ignore[assignment]


def _written(address: _Address) -> str:
    """Return an address as netip writes it, with the dotted form at the end of IPv4-mapped ones."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return f"::ffff:{mapped}" if mapped is not None else str(address)


def _parse_ip(text: str) -> IP:
    try:
        address = ipaddress.ip_address(text[: _MOST_CHARACTERS + 1])
    except ValueError:
        shown = text[:_MOST_CHARACTERS]
        why = f'ParseAddr("{shown}"): unable to parse IP'
        raise EvaluationError(f'IP Address "{shown}" parse error during conversion from string: {why}') from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
        if address.ipv4_mapped is not None:
            raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return IP(address)


def _parse_cidr(text: str) -> CIDR:
    host, slash, digits = text[: _MOST_CHARACTERS + 1].rpartition("/")
    prefix = "network address parse error during conversion from string: "
    shown = text[:_MOST_CHARACTERS]
    try:
        if not slash:
            raise ValueError("no '/'")
        address = ipaddress.ip_address(host)
        zone = isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None
        if zone:
            raise ValueError("IPv6 zones cannot be present in a prefix")
        if not (digits.isascii() and digits.isdigit()) or (len(digits) > 1 and digits.startswith("0")):
            raise ValueError(f'bad bits after slash: "{digits}"')
        if len(digits) > 3 or int(digits) > address.max_prefixlen:
            raise ValueError("prefix length out of range")
    except ValueError as error:
        raise EvaluationError(f'{prefix}{prefix}netip.ParsePrefix("{shown}"): {error}') from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(f'{prefix}IPv4-mapped IPv6 address "{shown}" is not allowed')
    return CIDR(address, int(digits))


def _is(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def call(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return call


def _is_loopback(ip: IP) -> bool:
    return ip.address.is_loopback


def _is_link_local_multicast(ip: IP) -> bool:
    raw = ip.address.packed
    return raw[:3] == b"\xe0\x00\x00" if len(raw) == 4 else raw[0] == 0xFF and raw[1] & 0x0F == 0x02


def _is_link_local_unicast(ip: IP) -> bool:
    raw = ip.address.packed
    return raw[:2] == b"\xa9\xfe" if len(raw) == 4 else raw[0] == 0xFE and raw[1] & 0xC0 == 0x80


def _is_global_unicast(ip: IP) -> bool:
    """Return what netip's IsGlobalUnicast does: private addresses are global unicast too."""
    address = ip.address
    if address == ipaddress.IPv4Address("255.255.255.255"):
        return False
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or _is_link_local_unicast(ip))


def _contains_cidr(network: CIDR, other: CIDR) -> bool:
    return network.length <= other.length and network.contains(other.address)


def _masked(network: CIDR) -> CIDR:
    return CIDR(type(network.address)(network.masked), network.length)


ADDRESSES: list[Function] = functions(
    (
        "ip",
        [
            overload("string_to_ip", "(string) -> net.IP", _parse_ip),
            overload("cidr_ip", "net.CIDR.() -> net.IP", lambda network: IP(network.address)),
        ],
    ),
    ("family", [overload("ip_family", "net.IP.() -> int", lambda ip: ip.address.version)]),
    ("ip.isCanonical", [overload("ip_is_canonical", "(string) -> bool", lambda text: str(_parse_ip(text)) == text)]),
    ("isUnspecified", [overload("ip_is_unspecified", "net.IP.() -> bool", lambda ip: ip.address.is_unspecified)]),
    ("isLoopback", [overload("ip_is_loopback", "net.IP.() -> bool", _is_loopback)]),
    (
        "isLinkLocalMulticast",
        [overload("ip_is_link_local_multicast", "net.IP.() -> bool", _is_link_local_multicast)],
    ),
    ("isLinkLocalUnicast", [overload("ip_is_link_local_unicast", "net.IP.() -> bool", _is_link_local_unicast)]),
    ("isGlobalUnicast", [overload("ip_is_global_unicast", "net.IP.() -> bool", _is_global_unicast)]),
    ("isIP", [overload("is_ip", "(string) -> bool", _is(_parse_ip))]),
    ("cidr", [overload("string_to_cidr", "(string) -> net.CIDR", _parse_cidr)]),
    (
        "containsIP",
        [
            overload("cidr_contains_ip_string", "net.CIDR.(string) -> bool",
                     lambda network, text: network.contains(_parse_ip(text).address)),
            overload("cidr_contains_ip_ip", "net.CIDR.(net.IP) -> bool",
                     lambda network, ip: network.contains(ip.address)),
        ],
    ),
    (
        "containsCIDR",
        [
            overload("cidr_contains_cidr_string", "net.CIDR.(string) -> bool",
                     lambda network, text: _contains_cidr(network, _parse_cidr(text))),
            overload("cidr_contains_cidr", "net.CIDR.(net.CIDR) -> bool", _contains_cidr),
        ],
    ),
    ("prefixLength", [overload("cidr_prefix_length", "net.CIDR.() -> int", lambda network: network.length)]),
    ("masked", [overload("cidr_masked", "net.CIDR.() -> net.CIDR", _masked)]),
    ("isCIDR", [overload("is_cidr", "(string) -> bool", _is(_parse_cidr))]),
)  # fmt: off
