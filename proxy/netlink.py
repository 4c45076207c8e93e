"""The part of netlink that the running proxy needs: read messages and attributes, and send requests to nfnetlink.

pyroute2 knows all of netlink, but would be a third of the proxy's memory. Devices and routes are made with it, in a
process that ends again (``network.py``); the few messages that are needed all the time are read here.
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
    """Yield the messages of one datagram: the type, and what follows the header."""
    while len(data) >= HEADER.size:
        length, message_type, *_ = HEADER.unpack_from(data)
        if length < HEADER.size:
            return
        yield message_type, data[HEADER.size : length]
        data = data[_aligned(length) :]


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes of a message's body, or of a nested attribute, by type."""
    found = {}
    while len(data) >= ATTRIBUTE.size:
        length, attribute_type = ATTRIBUTE.unpack_from(data)
        if length < ATTRIBUTE.size:
            break
        found[attribute_type & TYPE_MASK] = data[ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def attribute(attribute_type: int, value: bytes) -> bytes:
    """Return one attribute as bytes, padded to a multiple of four."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, attribute_type) + value + b"\0" * (_aligned(length) - length)


def request_netfilter(message_type: int, flags: int, body: bytes = b"") -> Iterator[bytes]:
    """Send one request about IPv4 to nfnetlink and yield the bodies of its answers. Raises OSError if it is refused."""
    payload = NFGEN.pack(socket.AF_INET, 0, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.settimeout(10)
        kernel.bind((0, 0))
        kernel.send(HEADER.pack(HEADER.size + len(payload), message_type, flags | REQUEST, 1, 0) + payload)
        while True:
            for answer_type, content in messages(kernel.recv(1 << 20)):
                if answer_type == ERROR:
                    (code,) = struct.unpack_from("=i", content)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                if answer_type == DONE:
                    return
                yield content[NFGEN.size :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
