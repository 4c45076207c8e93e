"""Prepare the node's network for the rules: a route for VIPs, and two kernel switches.

The Service range is routed to a sink, a device of ours that drops what it is given: ``dummy`` where the kernel has it,
else a bridge without ports. The route has two reasons. A packet to a VIP for which there is no rule (yet) is dropped,
and does not leave the machine by the default route. And packets of this host to a VIP reach our rules at all: the
kernel looks for a route before it consults the OUTPUT chain, and without one it refuses to send.

The switches: ``route_localnet`` of the pods' bridge, so that node ports work on 127.0.0.1, and
``bridge-nf-call-iptables``, so that packets between pods on the bridge pass through iptables. The sink's alias notes
whose ``route_localnet`` was switched on here, so that ``cleanup`` can switch off exactly that.

``ensure`` runs in a process of its own, ``python -m proxy.network``: pyroute2 would be a third of the proxy's memory,
and is needed only once. The proxy itself checks with ``in_place`` whether it must run again, which only reads /proc.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machinery import component

log = logging.getLogger("proxy.network")

SINK = "kube-sink"
ALIAS = "mini-minishift: swallows packets to Services without a rule"  # shown by ``ip link``
_NOTE = "; route_localnet="
AF_INET = int(socket.AF_INET)
SCOPE_LINK = 253
ROUTE_PROTOCOL = 4  # RTPROT_STATIC: set by an administrator's program

BRIDGE_NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
ROUTES = Path("/proc/thread-self/net/route")
ENSURE_SECONDS = 30


def in_place(service_cidr: str, cluster_cidr: str) -> bool:
    """Return whether everything is as ``ensure`` leaves it."""
    routes = _routes(ROUTES.read_text())
    if routes.get(service_cidr) != SINK:
        return False
    localnet = _localnet_switch(routes.get(cluster_cidr, ""))
    return all(switch.read_text().strip() == "1" for switch in (localnet, BRIDGE_NETFILTER) if switch.exists())


def start_ensuring(service_cidr: str, cluster_cidr: str) -> subprocess.Popen[bytes]:
    """Start a process that runs ``ensure``; ``finish_ensuring`` waits for its end."""
    return subprocess.Popen([sys.executable, "-m", "proxy.network", service_cidr, cluster_cidr])


def finish_ensuring(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process of ``start_ensuring``. Raises OSError if it failed; it has logged the reason."""
    try:
        failed = process.wait(ENSURE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        failed = 1
    if failed:
        raise OSError(f"cannot make device {SINK} and its route; the log says why")


def ensure_in_process(service_cidr: str, cluster_cidr: str) -> None:
    """Run ``ensure`` in a process of its own unless everything is in place."""
    if not in_place(service_cidr, cluster_cidr):
        finish_ensuring(start_ensuring(service_cidr, cluster_cidr))


def _routes(text: str) -> dict[str, str]:
    """Parse /proc/net/route: destination (CIDR) → device. Of several the one with the lowest metric counts."""
    found: dict[str, str] = {}
    rows = sorted((line.split() for line in text.splitlines()[1:]), key=lambda row: int(row[6]))
    for device, destination, *_, mask, _mtu, _window, _rtt in rows:
        address, ones = bytes.fromhex(destination)[::-1], int(mask, 16).bit_count()
        found.setdefault(f"{socket.inet_ntoa(address)}/{ones}", device)
    return found


def ensure(service_cidr: str, cluster_cidr: str) -> None:
    """Create and switch on what is missing. Needs root; raises OSError."""
    with _netlink() as ip:
        index = _ensure_sink(ip)
        _ensure_route(ip, index, service_cidr)
        _ensure_localnet(ip, index, cluster_cidr)
    _ensure_bridge_netfilter()


def cleanup() -> None:
    """Remove the sink, and with it the route, and switch off the ``route_localnet`` that ``ensure`` switched on."""
    with _netlink() as ip:
        found = ip.link_lookup(ifname=SINK)
        if not found:
            return
        alias = ip.get_links(found[0])[0].get_attr("IFLA_IFALIAS") or ""
        _, _, device = alias.partition(_NOTE)
        switch = _localnet_switch(device)
        if device and switch.exists():
            switch.write_text("0")
        ip.link("del", index=found[0])
        log.info("removed device %s and its route", SINK)


@contextmanager
def _netlink() -> Iterator[Any]:
    """Connect to the kernel. pyroute2 is imported here because that takes a tenth of a second, and memory."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise OSError(error.code, f"the kernel refused a device or route: {error}") from error


def _ensure_sink(ip: Any) -> int:
    from pyroute2.netlink.exceptions import NetlinkError

    found = ip.link_lookup(ifname=SINK)
    if not found:
        try:
            ip.link("add", ifname=SINK, kind="dummy")
        except NetlinkError as error:
            if error.code != errno.EOPNOTSUPP:
                raise
            ip.link("add", ifname=SINK, kind="bridge")
        found = ip.link_lookup(ifname=SINK)
        # With IPv6 the kernel would send neighbour discovery packets through the device.
        _write_if_there(Path(f"/proc/sys/net/ipv6/conf/{SINK}/disable_ipv6"), "1")
        ip.link("set", index=found[0], ifalias=ALIAS)
        log.info("made device %s", SINK)
    index = int(found[0])
    if not ip.get_links(index)[0]["flags"] & 1:  # IFF_UP
        ip.link("set", index=index, state="up")
    return index


def _ensure_route(ip: Any, index: int, service_cidr: str) -> None:
    # get_routes(dst=…) would tell where packets go now, and the default route is an answer to that, too.
    for route in ip.route("dump", family=AF_INET):
        if route.get_attr("RTA_OIF") == index and f"{route.get_attr('RTA_DST')}/{route['dst_len']}" == service_cidr:
            return
    ip.route("replace", dst=service_cidr, oif=index, scope=SCOPE_LINK, proto=ROUTE_PROTOCOL)
    log.info("routed %s into %s", service_cidr, SINK)


def _ensure_localnet(ip: Any, sink: int, cluster_cidr: str) -> None:
    device = _device_in(ip, cluster_cidr)
    switch = _localnet_switch(device)
    if not device or not switch.exists() or switch.read_text().strip() == "1":
        return
    ip.link("set", index=sink, ifalias=f"{ALIAS}{_NOTE}{device}")
    switch.write_text("1")
    log.info("node ports are reachable on 127.0.0.1 (route_localnet on %s)", device)


def _device_in(ip: Any, cluster_cidr: str) -> str:
    """Return the device that has an address in the pods' network, which is their bridge; empty if there is none."""
    network = ipaddress.ip_network(cluster_cidr)
    for address in ip.get_addr(family=AF_INET):
        if ipaddress.ip_address(address.get_attr("IFA_ADDRESS")) in network:
            return str(ip.get_links(address["index"])[0].get_attr("IFLA_IFNAME"))
    return ""


def _localnet_switch(device: str) -> Path:
    return Path(f"/proc/sys/net/ipv4/conf/{device}/route_localnet")


def _ensure_bridge_netfilter() -> None:
    """Let packets between pods on one bridge pass through iptables.

    Otherwise the answer of a pod to a pod on the same bridge goes there directly, its source is not translated back to
    the VIP, and the client takes it for a packet of another connection.
    """
    if not BRIDGE_NETFILTER.exists():
        problem = "the kernel module br_netfilter is missing; pods may not reach each other through Services"
        log.warning("%s. Load it with: modprobe br_netfilter", problem)
    elif BRIDGE_NETFILTER.read_text().strip() != "1":
        BRIDGE_NETFILTER.write_text("1")
        log.info("switched on net.bridge.bridge-nf-call-iptables")


def _write_if_there(path: Path, text: str) -> None:
    if path.exists():
        path.write_text(text)


def main() -> int:
    """Run ``ensure`` with the arguments SERVICE_CIDR and CLUSTER_CIDR; return the exit code."""
    component.setup_logging()
    try:
        ensure(*sys.argv[1:3])
    except OSError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
