"""Hear over netlink when others change nftables rules (which iptables-nft writes), or delete links or routes.

The kernel sends one message (NEWGEN) after each nftables transaction, with the id of the process that made it; those of
our own iptables processes are ignored. The callbacks only learn that something has changed: whether that matters is
found out by reading the rules (``Proxier.difference``). For legacy iptables the kernel sends no messages.
"""

from __future__ import annotations

import errno
import logging
import select
import socket
import threading
from collections.abc import Callable

from machinery.stopping import call_on
from proxy.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, NFGEN, attributes, messages

log = logging.getLogger(__name__)

SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
GROUP_LINK, GROUP_IPV4_ROUTE, GROUP_NFTABLES = 1, 7, 7
NEWGEN = (10 << 8) | 15  # subsystem nftables, message NFT_MSG_NEWGEN
GENERATION_PROCESS = 2  # its attribute NFTA_GEN_PROC_PID
LINK_DELETED, ROUTE_DELETED = 17, 25


def watch_rules(on_change: Callable[[], None], is_own: Callable[[int], bool], stop: threading.Event) -> None:
    """Call ``on_change`` in a thread of its own, until ``stop``, when a process has changed rules that is not ours."""

    def is_relevant(data: bytes) -> bool:
        return any(kind == NEWGEN and not is_own(generation_process(body)) for kind, body in messages(data))

    _listen("rules", NETLINK_NETFILTER, [GROUP_NFTABLES], is_relevant, on_change, stop)


def watch_links(on_change: Callable[[], None], stop: threading.Event) -> None:
    """Call ``on_change`` in a thread of its own, until ``stop``, when a link or a route was deleted."""

    def is_relevant(data: bytes) -> bool:
        return any(kind in (LINK_DELETED, ROUTE_DELETED) for kind, _ in messages(data))

    _listen("links", NETLINK_ROUTE, [GROUP_LINK, GROUP_IPV4_ROUTE], is_relevant, on_change, stop)


def generation_process(body: bytes) -> int:
    """Return the id of the process that a NEWGEN message names, or 0 if it names none."""
    return int.from_bytes(attributes(body[NFGEN.size :]).get(GENERATION_PROCESS, b""), "big")


def _listen(
    name: str,
    protocol: int,
    groups: list[int],
    is_relevant: Callable[[bytes], bool],
    on_change: Callable[[], None],
    stop: threading.Event,
) -> None:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    netlink.bind((0, 0))
    for group in groups:
        netlink.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    # A netlink socket cannot be shut down to wake its reader, so the reader also waits for this pair.
    wake, waker = socket.socketpair()
    call_on(stop, waker.close)  # which makes its peer readable

    def run() -> None:
        with netlink, wake:
            poller = select.poll()
            poller.register(netlink, select.POLLIN)
            poller.register(wake, select.POLLIN)
            while not stop.is_set():
                poller.poll()
                if stop.is_set():
                    return
                try:
                    relevant = is_relevant(netlink.recv(65536, socket.MSG_DONTWAIT))
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    relevant = True  # The socket's buffer was full and messages are lost, perhaps a relevant one.
                if relevant:
                    on_change()

    threading.Thread(target=run, name=f"monitor-{name}", daemon=True).start()
