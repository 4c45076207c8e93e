"""The little of netlink that the running proxy needs: reading messages and attributes, and asking nfnetlink.

pyroute2 makes the devices and routes (``network.py``), in a process that ends again: it would be a third
of this process's memory. What runs all the time is a few dozen bytes of headers, taken apart here.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
ERROR, DONE = 2, 3
NESTED = 0x8000
TYPE_MASK = 0x3FFF  # without the flags "nested" and "network byte order"
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, process
ATTRIBUTE = struct.Struct("=HH")  # length, type
# nfgenmsg: family, version, resource; begins the body of every nfnetlink message.
NFGEN = struct.Struct("=BBH")


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of one datagram: type, and what follows the header."""
    while len(data) >= HEADER.size:
        length, kind, *_ = HEADER.unpack_from(data)
        if length < HEADER.size:
            return
        yield kind, data[HEADER.size : length]
        data = data[_aligned(length) :]


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a body, by type."""
    found = {}
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        if length < ATTRIBUTE.size:
            break
        found[kind & TYPE_MASK] = data[ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + b"\0" * (_aligned(length) - length)


def ask_netfilter(kind: int, flags: int, body: bytes = b"") -> Iterator[bytes]:
    """Sends one request about IPv4 to nfnetlink and yields the bodies of its answers; raises OSError if refused."""
    payload = NFGEN.pack(socket.AF_INET, 0, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.settimeout(10)
        kernel.bind((0, 0))
        kernel.send(HEADER.pack(HEADER.size + len(payload), kind, flags | REQUEST, 1, 0) + payload)
        while True:
            for answer, content in messages(kernel.recv(1 << 20)):
                if answer == ERROR:
                    (code,) = struct.unpack_from("=i", content)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                if answer == DONE:
                    return
                yield content[NFGEN.size :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
