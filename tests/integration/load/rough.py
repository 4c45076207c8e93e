"""Clients without manners: they say half of what they have to say, say it drop by drop, or say nothing and leave."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from integration.served import Served

HEAD = (
    b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer admin-token\r\n"
    b"Content-Type: application/json\r\n"
)


def tcp(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=20)


def hello(served: Served) -> bytes:
    """The first message of a TLS handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        served.pki.client_context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake with nobody")


class Tls:
    """Makes TLS connections, of one context, which is dear to make."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._context = served.pki.client_context()

    def __call__(self) -> ssl.SSLSocket:
        return self._served.tls(self._context, timeout=20)


def drop(connection: socket.socket, abruptly: bool = False) -> None:
    """Leaves, properly or with a reset."""
    if abruptly:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def say_no_more(connection: socket.socket) -> None:
    """The end of what is sent, while the answer may still come; Python's TLS has no word for it."""
    socket.socket.shutdown(connection, socket.SHUT_WR)


def answer(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    try:
        while chunk := connection.recv(65536):
            found += chunk
    except OSError:
        pass  # it may close with a reset, having unread bytes of ours
    return found


class Drip(threading.Thread):
    """Sends each connection a byte at a time, until the server has had enough of all of them."""

    def __init__(self, connections: Sequence[socket.socket], byte: bytes) -> None:
        super().__init__(name="drip")
        self.open = list(connections)
        for connection in connections:
            connection.setblocking(False)
        self.over = threading.Event()  # all are closed, or nobody wants to know any more
        self._byte = byte
        self.start()

    def run(self) -> None:
        while self.open and not self.over.wait(0.2):
            self.open = [connection for connection in self.open if self._feed(connection)]
        self.over.set()

    def _feed(self, connection: socket.socket) -> bool:
        """Tells whether the connection is still open."""
        try:
            connection.send(self._byte)
            poll = select.poll()  # select takes no descriptor above 1,023
            poll.register(connection, select.POLLIN)
            return not poll.poll(0) or connection.recv(65536) != b""
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        except OSError:
            return False


class Footprint(NamedTuple):
    """What the workers hold."""

    threads: int
    sockets: int
    kilobytes: int

    @staticmethod
    def of(served: Served) -> Footprint:
        threads = sockets = kilobytes = 0
        for pid in served.workers():
            proc = Path(f"/proc/{pid}")
            threads += len(list((proc / "task").iterdir()))
            sockets += sum(_is_socket(file) for file in (proc / "fd").iterdir())
            rollup = (proc / "smaps_rollup").read_text()
            kilobytes += int(rollup.partition("\nPss:")[2].split()[0])
        return Footprint(threads, sockets, kilobytes)


def _is_socket(file: Path) -> bool:
    try:
        return str(file.readlink()).startswith("socket:")
    except FileNotFoundError:  # it was closed while we looked
        return False


def wait_until_small(served: Served, before: Footprint, seconds: float = 20) -> Footprint:
    """Asks until threads and sockets are as few as before; the state of other processes has no event to wait for."""
    deadline = time.monotonic() + seconds
    while True:
        now = Footprint.of(served)
        if (now.threads <= before.threads and now.sockets <= before.sockets) or time.monotonic() > deadline:
            return now
        threading.Event().wait(0.1)
