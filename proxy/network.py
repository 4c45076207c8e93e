"""The network around the rules: where packets to VIPs go that no rule has caught, and two kernel switches.

The Service range is routed into a sink, a device of ours that swallows what it is given: ``dummy`` where the
kernel has it, else a bridge without ports. So a missing rule is a dropped packet, not a leak to
the default gateway; and the OUTPUT chain is consulted at all, which happens only where a route exists.

``python -m proxy.network`` makes them and ends: pyroute2 would be a third of the proxy's memory, and is needed
once. The proxy itself only looks (``in_place``), which takes no more than reading /proc.

The sink's alias notes which other device's ``route_localnet`` was switched on (node ports on 127.0.0.1
need it), so that cleaning up can undo exactly that.
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
ALIAS = "mini-minishift: swallows packets to Services without a rule"
_NOTE = "; route_localnet="
AF_INET = int(socket.AF_INET)
SCOPE_LINK = 253
ROUTE_PROTOCOL = 4  # RTPROT_STATIC: set by an administrator's program

BRIDGE_NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
ROUTES = Path("/proc/thread-self/net/route")
HELPER_SECONDS = 30


def in_place(service_cidr: str, cluster_cidr: str) -> bool:
    """Is everything as ``ensure`` leaves it?"""
    routes = _routes(ROUTES.read_text())
    if routes.get(service_cidr) != SINK:
        return False
    localnet = _localnet_switch(routes.get(cluster_cidr, ""))
    return all(switch.read_text().strip() == "1" for switch in (localnet, BRIDGE_NETFILTER) if switch.exists())


def start_ensuring(service_cidr: str, cluster_cidr: str) -> subprocess.Popen[bytes]:
    """Starts the process that runs ``ensure``; for ``finish_ensuring``."""
    return subprocess.Popen([sys.executable, "-m", "proxy.network", service_cidr, cluster_cidr])


def finish_ensuring(process: subprocess.Popen[bytes]) -> None:
    """Waits for it; raises OSError if it failed. It has then said why."""
    try:
        failed = process.wait(HELPER_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        failed = 1
    if failed:
        raise OSError(f"cannot make device {SINK} and its route; the log says why")


def ensure_apart(service_cidr: str, cluster_cidr: str) -> None:
    """``ensure`` in a process of its own, if there is anything to do."""
    if not in_place(service_cidr, cluster_cidr):
        finish_ensuring(start_ensuring(service_cidr, cluster_cidr))


def _routes(text: str) -> dict[str, str]:
    """/proc/net/route: destination → device, the metric lowest first."""
    found: dict[str, str] = {}
    rows = sorted((line.split() for line in text.splitlines()[1:]), key=lambda row: int(row[6]))
    for device, destination, *_, mask, _mtu, _window, _rtt in rows:
        address, ones = bytes.fromhex(destination)[::-1], int(mask, 16).bit_count()
        found.setdefault(f"{socket.inet_ntoa(address)}/{ones}", device)
    return found


def ensure(service_cidr: str, cluster_cidr: str) -> None:
    """Makes what is missing; changes nothing when all is there. Needs root; raises OSError."""
    with _netlink() as ip:
        index = _ensure_sink(ip)
        _ensure_route(ip, index, service_cidr)
        _ensure_localnet(ip, index, cluster_cidr)
    _ensure_bridge_netfilter()


def cleanup() -> None:
    """Removes the sink and with it the route, and switches back what ``ensure`` switched on."""
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
    """A connection to the kernel. pyroute2 is imported here because that takes a tenth of a second, and memory."""
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
        # Without this the device would announce itself in IPv6.
        _write_if_there(Path(f"/proc/sys/net/ipv6/conf/{SINK}/disable_ipv6"), "1")
        ip.link("set", index=found[0], ifalias=ALIAS)
        log.info("made device %s", SINK)
    index = int(found[0])
    if not ip.get_links(index)[0]["flags"] & 1:  # IFF_UP
        ip.link("set", index=index, state="up")
    return index


def _ensure_route(ip: Any, index: int, service_cidr: str) -> None:
    # Not get_routes(dst=…): that asks where packets would go, and the default route is an answer too.
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
    """The device that has an address of the pods' network: their bridge."""
    network = ipaddress.ip_network(cluster_cidr)
    for address in ip.get_addr(family=AF_INET):
        if ipaddress.ip_address(address.get_attr("IFA_ADDRESS")) in network:
            return str(ip.get_links(address["index"])[0].get_attr("IFLA_IFNAME"))
    return ""


def _localnet_switch(device: str) -> Path:
    return Path(f"/proc/sys/net/ipv4/conf/{device}/route_localnet")


def _ensure_bridge_netfilter() -> None:
    """Packets between pods on one bridge must pass through iptables, or a VIP's answer is not translated back."""
    if not BRIDGE_NETFILTER.exists():
        log.warning("the kernel module br_netfilter is missing; pods may not reach each other through Services. "
                    "Load it with: modprobe br_netfilter")  # fmt: skip
    elif BRIDGE_NETFILTER.read_text().strip() != "1":
        BRIDGE_NETFILTER.write_text("1")
        log.info("switched on net.bridge.bridge-nf-call-iptables")


def _write_if_there(path: Path, text: str) -> None:
    if path.exists():
        path.write_text(text)


def main() -> int:
    """``python -m proxy.network SERVICE_CIDR CLUSTER_CIDR``"""
    component.setup_logging()
    try:
        ensure(*sys.argv[1:3])
    except OSError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
