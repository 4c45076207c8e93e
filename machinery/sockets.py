"""What can be asked of a socket, or told it, beyond Python's socket and ssl modules."""

from __future__ import annotations

import fcntl
import os
import socket
import ssl
import sys
import termios
from contextlib import suppress


def untaken(sock: socket.socket) -> int:
    """Return how many of the bytes written to a socket its peer has not taken.

    Over a Unix socket the peer has read them when it is 0; over TCP its kernel has acknowledged them.
    """
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def close_notify(sock: ssl.SSLSocket) -> bytes:
    """End the sending half of TLS, and return the record that tells it to the peer; the caller sends it on the socket.

    ``unwrap`` would send it, but then it also reads: what the peer still has to say is thrown away, and an error
    besides. So for the moment of the call another socket, with nothing to read, stands in the place of the
    connection's. No other thread may use the descriptor meanwhile.
    """
    descriptor = sock.fileno()
    stand_in, records = socket.socketpair()
    with stand_in, records:
        stand_in.setblocking(False)
        records.setblocking(False)
        kept = os.dup(descriptor)
        try:
            os.dup2(stand_in.fileno(), descriptor, inheritable=False)
            with suppress(OSError, ValueError):  # there is nothing to read, or TLS has failed before
                sock.unwrap()
        finally:
            os.dup2(kept, descriptor, inheritable=False)
            os.close(kept)
        with suppress(BlockingIOError):
            return records.recv(1024)
    return b""
