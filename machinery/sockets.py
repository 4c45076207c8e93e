"""What the kernel knows of a socket and Python's socket module does not tell."""

from __future__ import annotations

import fcntl
import socket
import sys
import termios


def untaken(sock: socket.socket) -> int:
    """Return how many of the bytes written to a socket its peer has not taken.

    Over a Unix socket the peer has read them when it is 0; over TCP its kernel has acknowledged them.
    """
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
