"""What a rule consists of, as plain values: what a packet must be like, and what then happens to it.

Nothing here knows the syntax of iptables; ``render.py`` does. A field that is empty, 0 or None matches every packet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Targets: what happens to a packet that matches


@dataclass(frozen=True)
class Jump:
    """Go on in another chain of the table; a packet that no rule there decides about comes back."""

    chain: str


@dataclass(frozen=True)
class Verdict:
    """End here: ACCEPT, DROP, REJECT; or RETURN to the chain that jumped here."""

    name: str


@dataclass(frozen=True)
class Dnat:
    """Change the destination to ``ip:port``. Conntrack does the same for the connection's later packets, and puts
    the old destination back into the answers, so that only a connection's first packet passes the nat table."""

    destination: str


@dataclass(frozen=True)
class SetMark:
    """Set one bit of the packet's mark, or flip it if ``xor``. The mark is never on the wire."""

    bit: int
    xor: bool = False


@dataclass(frozen=True)
class Masquerade:
    """Change the source to the address of the device by which the packet leaves, so that the answer comes back here.

    Source ports are random: with the kernel's default, two clients at a time can be given the same one.
    """


Target = Jump | Verdict | Dnat | SetMark | Masquerade


@dataclass(frozen=True)
class Recent:
    """The ``recent`` match, by which session affinity works.

    With ``seconds`` 0 it notes the packet's source in ``list`` and always matches; otherwise it matches if the
    source was noted there within that many seconds.
    """

    list: str
    seconds: int = 0


@dataclass(frozen=True)
class Rule:
    """A target, and the conditions that a packet must all meet. A ``!`` in front negates CIDR, interface or states."""

    target: Target
    comment: str = ""
    source: str = ""  # CIDR
    destination: str = ""  # CIDR
    interface: str = ""  # by which the packet comes and by which it goes
    protocol: str = ""
    destination_port: int = 0
    destination_type: str = ""  # LOCAL: an address of this host
    source_type: str = ""
    mark: int = 0  # this bit is set
    without_mark: int = 0  # this bit is not set
    states: tuple[str, ...] = ()  # the connection is NEW, RELATED, ESTABLISHED, INVALID or DNAT (was translated)
    original_destination: str = ""  # CIDR of the connection's destination before it was translated
    probability: float = 0.0
    recent: Recent | None = None


Chains = Mapping[str, tuple[Rule, ...]]


@dataclass(frozen=True)
class Hook:
    """A rule of ours in a chain of the kernel's own (PREROUTING …), which leads into one of our chains."""

    chain: str
    rule: Rule


@dataclass(frozen=True)
class RuleTable:
    """Our part of one iptables table: whole chains, and the hooks, which are the first rules of the kernel's chains."""

    name: str  # "nat" or "filter"
    chains: Chains
    hooks: tuple[Hook, ...]
