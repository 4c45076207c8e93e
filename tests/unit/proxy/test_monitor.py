"""Netlink datagrams: who has changed rules."""

import struct

from proxy import monitor


def message(kind, body):
    return monitor.HEADER.pack(monitor.HEADER.size + len(body), kind, 0, 0, 0) + body


def generation(process):
    attributes = struct.pack("=HH", 8, 1) + (7).to_bytes(4, "big")
    attributes += struct.pack("=HH", 8, monitor.GENERATION_PROCESS) + process.to_bytes(4, "big")
    return message(monitor.NEWGEN, b"\0\0\0\0" + attributes)


def test_messages_of_one_datagram():
    data = message(1, b"abc\0") + generation(4711)
    (first, body), (second, generation_body) = monitor.messages(data)
    assert (first, body, second) == (1, b"abc\0", monitor.NEWGEN)
    assert monitor._process(generation_body) == 4711


def test_garbage_ends_the_reading():
    assert list(monitor.messages(b"\0" * 40)) == []
    assert monitor._process(b"\0" * 8) == 0
