"""Connect to a port inside a pod: a socket belongs to the network namespace of the thread that makes it.

setns changes the calling thread only, so each connection is made by a thread of its own, which ends with it; the socket
then serves any thread.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_CONNECT_SECONDS = 10.0
_LOOPBACK = ((socket.AF_INET, "127.0.0.1", "tcp4"), (socket.AF_INET6, "::1", "tcp6"))

Dialed = Callable[[socket.socket | OSError], None]


def dial(pid: int, port: int, done: Dialed) -> None:
    """Connect to the pod's localhost, and call ``done`` with the socket or the error, from another thread.

    ``pid`` is a process in the pod's network namespace, 0 for the node's.
    """
    threading.Thread(target=_dial, args=(pid, port, done), name=f"dial-{port}", daemon=True).start()


def _dial(pid: int, port: int, done: Dialed) -> None:
    try:
        if pid:
            enter_network(Path(f"/proc/{pid}/ns/net"))
        done(_connect(port))
    except OSError as error:
        done(error)


def enter_network(namespace: Path) -> None:
    """Move the calling thread into a network namespace (os.setns exists only since Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, f"cannot enter {namespace}: {os.strerror(code)}")
    finally:
        os.close(handle)


def _connect(port: int) -> socket.socket:
    """Try IPv4 and then IPv6, as upstream does; the error is the first one's, in Go's words."""
    first: OSError | None = None
    for family, address, network in _LOOPBACK:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # The kernel has no IPv6.
            first = first or error
            continue
        try:
            sock.settimeout(_CONNECT_SECONDS)
            sock.connect((address, port))
            sock.setblocking(False)
            return sock
        except OSError as error:
            sock.close()
            words = (os.strerror(error.errno) if error.errno else str(error)).lower()
            first = first or ConnectionError(f"dial {network} {address}:{port}: connect: {words}")
    raise first or OSError("no network")
