"""The cluster IPs and node ports of this cluster: which values there are, and which free one is chosen next.

As upstream, a range has a lower band that is left to those who ask for a certain value; automatic choices come from the
upper band, at random, until that is full.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from machinery.validation import parse_ip

IP_PREFIX = "/registry/ranges/serviceips/"
PORT_PREFIX = "/registry/ranges/servicenodeports/"

# Returns True if another object holds the claim with this key.
Taken = Callable[[str], bool]


class AllocationError(ValueError):
    """The requested value is out of range or already taken; the text is upstream's."""


class RangeFull(Exception):
    """The range has no free value left."""


@dataclass(frozen=True)
class ClusterIPs:
    """The addresses of ``--service-cluster-ip-range``, without the first (the network's) and the last (broadcast)."""

    network: ipaddress.IPv4Network

    @property
    def usable(self) -> int:
        return self.network.num_addresses - 2

    def claim(self, address: str) -> str:
        return IP_PREFIX + str(parse_ip(address))

    def check(self, address: str, taken: Taken) -> None:
        """Raise AllocationError if the address is out of range or another object's."""
        wanted = parse_ip(address)
        offset = int(wanted) - int(self.network.network_address)
        if wanted.version != self.network.version or not 1 <= offset <= self.usable:
            raise AllocationError(
                f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {self.network}"
            )
        if taken(self.claim(address)):
            raise AllocationError("provided IP is already allocated")

    def choose(self, taken: Taken) -> str:
        """Return a free address; raises RangeFull."""
        reserved = min(max(16, self.usable // 16), 256)
        for offset in _upper_band_first(self.usable, reserved):
            address = str(self.network.network_address + 1 + offset)
            if not taken(self.claim(address)):
                return address
        raise RangeFull("range is full")


@dataclass(frozen=True)
class NodePorts:
    """The ports of ``--service-node-port-range``, first and last included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def claim(self, port: int) -> str:
        return f"{PORT_PREFIX}{port}"

    def check(self, port: int, taken: Taken) -> None:
        """Raise AllocationError if the port is out of range or another object's."""
        if not self.first <= port <= self.last:
            raise AllocationError(
                f"provided port is not in the valid range. The range of valid ports is {self.first}-{self.last}"
            )
        if taken(self.claim(port)):
            raise AllocationError("provided port is already allocated")

    def choose(self, taken: Taken) -> int:
        """Return a free port; raises RangeFull."""
        reserved = min(max(16, self.size // 32), 128)
        for offset in _upper_band_first(self.size, reserved):
            if not taken(self.claim(self.first + offset)):
                return self.first + offset
        raise RangeFull("range is full")


def _upper_band_first(size: int, reserved: int) -> Iterator[int]:
    """Yield every offset once: first the band from ``reserved`` up, from a random start, then the lower one."""
    bands = [(reserved, size), (0, reserved)] if reserved < size else [(0, size)]
    for low, high in bands:
        start = random.randrange(low, high)
        yield from range(start, high)
        yield from range(low, start)


@dataclass(frozen=True)
class ServiceRanges:
    """The two ranges from which this cluster's Services get their values; by default those of the flags' defaults."""

    ips: ClusterIPs = ClusterIPs(ipaddress.IPv4Network("172.30.0.0/16"))
    ports: NodePorts = NodePorts(30000, 32767)

    @classmethod
    def parse(cls, cluster_ip_range: str, node_port_range: str) -> ServiceRanges:
        """Read the values of the two flags; raises ValueError with what is wrong with them."""
        network = ipaddress.ip_network(cluster_ip_range)
        if not isinstance(network, ipaddress.IPv4Network) or network.num_addresses < 8:
            raise ValueError(f"--service-cluster-ip-range {cluster_ip_range!r}: give an IPv4 network of at least /29")
        first, _, last = node_port_range.partition("-")
        if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last) <= 65535):
            raise ValueError(f"--service-node-port-range {node_port_range!r}: write it as 30000-32767")
        return cls(ClusterIPs(network), NodePorts(int(first), int(last)))
