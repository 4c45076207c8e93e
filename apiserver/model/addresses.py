"""Where an IP address leads, whatever form it is written in."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IPv6 networks whose addresses hold an IPv4 address, to which a gateway may send what is sent there, and how many bits
# stand behind it: IPv4-compatible, NAT64 (RFC 6052; RFC 8215), and 6to4 (RFC 3056).
_EMBEDDING = (
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_TEREDO = ipaddress.IPv6Network("2001::/32")


def unmapped(address: Address) -> Address:
    """Return an IPv4-mapped address (``::ffff:127.0.0.1``) as the IPv4 address that the kernel takes it for."""
    return (address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address


def is_global_unicast(text: str) -> bool:
    """Return True for the text of an IP address that may be another machine's, or a pod's: a global unicast one.

    False for loopback, link-local, multicast, unspecified and broadcast addresses, also where IPv6 embeds them, for
    addresses with a zone, for host names, and for what is no address (upstream: proxyutil.IsProxyableIP).
    """
    try:
        address = unmapped(ipaddress.ip_address(text))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _is_global_unicast(address)
    if address.scope_id is not None or address in _TEREDO or not _is_global_unicast(address):
        return False
    return all(
        _is_global_unicast(ipaddress.IPv4Address(int(address) >> bits & 0xFFFFFFFF))
        for network, bits in _EMBEDDING
        if address in network
    )


def _is_global_unicast(address: Address) -> bool:
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return not (isinstance(address, ipaddress.IPv4Address) and (address in _THIS_NETWORK or address == _BROADCAST))
