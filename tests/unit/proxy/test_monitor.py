"""Netlink datagrams: who has changed rules."""

from __future__ import annotations

from proxy import monitor, netlink


def message(kind: int, body: bytes) -> bytes:
    return netlink.HEADER.pack(netlink.HEADER.size + len(body), kind, 0, 0, 0) + body


def generation(process: int) -> bytes:
    attributes = netlink.attribute(1, (7).to_bytes(4, "big"))
    attributes += netlink.attribute(monitor.GENERATION_PROCESS, process.to_bytes(4, "big"))
    return message(monitor.NEWGEN, b"\0\0\0\0" + attributes)


def test_messages_of_one_datagram() -> None:
    data = message(1, b"abc\0") + generation(4711)
    (first, body), (second, generation_body) = netlink.messages(data)
    assert (first, body, second) == (1, b"abc\0", monitor.NEWGEN)
    assert monitor.generation_process(generation_body) == 4711


def test_garbage_ends_the_reading() -> None:
    assert list(netlink.messages(b"\0" * 40)) == []
    assert monitor.generation_process(b"\0" * 8) == 0


def test_attributes_are_padded_and_read_back() -> None:
    data = netlink.attribute(1, b"abcde") + netlink.attribute(2 | netlink.NESTED, b"x")
    assert len(data) % 4 == 0
    assert netlink.attributes(data) == {1: b"abcde", 2: b"x"}
