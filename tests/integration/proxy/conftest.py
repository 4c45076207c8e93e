"""A little cluster network in private network namespaces: a node with a bridge, two pods on it, a client outside.

                 client 10.9.0.2 ── 10.9.0.1 ┐ node
    pod1 172.17.0.2 ┐                        │
    pod2 172.17.0.4 ┴── bridge 172.17.0.1 ───┘

The test's thread lives in the node's namespace, so iptables and routes of the machine are never touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import network
from proxy.rules import AddressRanges
from proxy.runner import Iptables

POD1, POD2, NODE, CLIENT = "172.17.0.2", "172.17.0.4", "172.17.0.1", "10.9.0.2"
OUTSIDE = "10.9.0.1"  # the node, as the client knows it
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


def setns(descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """The namespaces, by role, and sockets in them."""

    def __init__(self) -> None:
        self.names = {role: f"mmproxy{os.getpid()}{role}" for role in ("node", "pod1", "pod2", "client")}
        self.closing = contextlib.ExitStack()

    @contextlib.contextmanager
    def inside(self, role: str) -> Iterator[None]:
        """Puts this thread into a namespace; what it creates there stays there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.names[role]}", os.O_RDONLY)
        try:
            setns(there)
            yield
        finally:
            setns(home)
            os.close(there)
            os.close(home)

    def build(self) -> None:
        for name in self.names.values():
            run(f"ip netns add {name}")
            run(f"ip -n {name} link set lo up")
        node = self.names["node"]
        run(f"ip -n {node} link add docker0 type bridge")
        run(f"ip -n {node} addr add {NODE}/16 dev docker0")
        run(f"ip -n {node} link set docker0 up")
        for role, address in (("pod1", f"{POD1}/16"), ("pod2", f"{POD2}/16"), ("client", f"{CLIENT}/24")):
            peer = self.names[role]
            run(f"ip link add eth0 netns {peer} type veth peer name {role} netns {node}")
            run(f"ip -n {peer} addr add {address} dev eth0")
            run(f"ip -n {peer} link set eth0 up")
            run(f"ip -n {node} link set {role} up")
            if role != "client":
                run(f"ip -n {node} link set {role} master docker0")
                run(f"ip -n {node} link set {role} type bridge_slave hairpin on")  # the kubelet's job
                run(f"ip -n {peer} route add default via {NODE}")
        run(f"ip -n {node} addr add {OUTSIDE}/24 dev client")
        # A cluster's node has a default route; nothing may leak to it.
        run(f"ip -n {node} route add default via {CLIENT}")
        run(f"ip -n {self.names['client']} route add default via {OUTSIDE}")
        with self.inside("node"):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def destroy(self) -> None:
        self.closing.close()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def serve(self, role: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
        """Answers whoever connects (or sends) with the role, a space and the address it sees."""
        with self.inside(role):
            listener = socket.socket(socket.AF_INET, kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("0.0.0.0", port))
            if kind == socket.SOCK_STREAM:
                listener.listen()

        def answer() -> None:
            while True:
                try:
                    if kind == socket.SOCK_STREAM:
                        connection, peer = listener.accept()
                        with connection:
                            connection.sendall(f"{role} {peer[0]}".encode())
                    else:
                        _, peer = listener.recvfrom(100)
                        if peer is None:  # shut down
                            return
                        listener.sendto(f"{role} {peer[0]}".encode(), peer)
                except OSError:
                    return

        def close() -> None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

        threading.Thread(target=answer, daemon=True).start()
        self.closing.callback(close)

    def ask(self, role: str, address: str, port: int, seconds: float = 5) -> tuple[str, ...]:
        """What the server says when asked from a namespace: (who, the address it saw)."""
        with self.inside(role), socket.create_connection((address, port), seconds) as connection:
            return tuple(connection.recv(100).decode().split())


@pytest.fixture
def net() -> Iterator[Network]:
    if os.geteuid() != 0:
        pytest.fail("needs root: private network namespaces")
    made = Network()
    try:
        made.build()
        with made.inside("node"):
            yield made
    finally:
        made.destroy()


@pytest.fixture(params=["iptables-nft", "iptables-legacy"])
def iptables(request: pytest.FixtureRequest, net: Network) -> Iptables:
    if not shutil.which(f"{request.param}-restore"):
        pytest.fail(f"there is no {request.param}-restore; install it with: apt-get install iptables")
    return Iptables(request.param)


@pytest.fixture
def config() -> AddressRanges:
    return AddressRanges("172.17.0.0/16", "172.30.0.0/16")


@pytest.fixture
def sink(net: Network, config: AddressRanges) -> None:
    network.ensure(config.service_cidr, config.cluster_cidr)
