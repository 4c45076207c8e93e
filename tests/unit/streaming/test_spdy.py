"""SPDY frames: what one end sends the other understands, however the bytes are cut; nonsense ends in SpdyError."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spdyclient import Replied, SpdyClient

from kubelet.server.streams import spdy
from kubelet.server.streams.spdy import Data, Left, Opened, Reset, SpdyError, SpdyEvent, SpdySession

HEADERS = st.dictionaries(
    st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12),
    st.text(st.characters(codec="ascii", exclude_characters="\0")),
    max_size=5,
)


class Wire:
    """Both ends, and what has been written but not read."""

    def __init__(self) -> None:
        self.to_server, self.to_client = bytearray(), bytearray()
        self.client = SpdyClient(self.to_server.extend)
        self.server = SpdySession(self.to_client.extend)

    def at_server(self) -> list[SpdyEvent]:
        data = bytes(self.to_server)
        self.to_server.clear()
        return self.server.receive(data)

    def at_client(self) -> list[SpdyEvent]:
        data = bytes(self.to_client)
        self.to_client.clear()
        return self.client.receive(data)


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    # The checksum that zlib itself writes at the head of every SPDY/3 header stream.
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_a_stream_from_its_opening_to_its_end() -> None:
    wire = Wire()
    stream = wire.client.open({"StreamType": "stdin"})
    assert wire.at_server() == [Opened(stream, {"streamtype": "stdin"}, False)]
    wire.server.accept(stream)
    assert wire.at_client() == [Replied(stream, {}, False)]
    wire.client.send(stream, b"hello", end=True)
    assert wire.at_server() == [Data(stream, b"hello", True)]
    wire.server.send(stream, b"", end=True)
    assert wire.at_client() == [Data(stream, b"", True)]


def test_a_client_opens_streams_of_odd_numbers() -> None:
    wire = Wire()
    assert [wire.client.open({}), wire.client.open({})] == [1, 3]


def test_a_ping_of_the_peers_comes_back_and_an_answer_does_not() -> None:
    wire = Wire()
    wire.client.ping(7)
    sent = bytes(wire.to_server)
    assert wire.at_server() == [] and bytes(wire.to_client) == sent
    assert wire.at_client() == [] and not wire.to_server


def test_reset_and_goaway() -> None:
    wire = Wire()
    wire.client.reset(5)
    wire.client.leave()
    assert wire.at_server() == [Reset(5, spdy.CANCEL), Left()]


@pytest.mark.parametrize("number", [2, 1])
def test_a_stream_number_that_is_not_the_peers_next_is_reset(number: int) -> None:
    wire = Wire()
    wire.client.open({})
    wire.at_server()
    wire.client.next_stream = number
    wire.client.open({})
    assert wire.at_server() == []
    assert wire.at_client() == [Reset(number, spdy.PROTOCOL_ERROR)]


def test_frames_that_nobody_needs_are_skipped() -> None:
    wire = Wire()
    for kind, body in ((spdy.SETTINGS, b"\0" * 4), (spdy.WINDOW_UPDATE, b"\0" * 8), (99, b"whatever")):
        wire.to_server += struct.pack(">II", 1 << 31 | 3 << 16 | kind, len(body)) + body
    wire.client.open({"a": "b"})
    assert [type(event) for event in wire.at_server()] == [Opened]


def test_of_several_values_of_a_header_the_first_counts() -> None:
    wire = Wire()
    wire.client.open({"a": "one\0two"})
    assert wire.at_server() == [Opened(1, {"a": "one"}, False)]


@given(st.lists(HEADERS, max_size=6), st.lists(st.binary(max_size=300), max_size=6), st.data())
def test_the_bytes_may_be_cut_anywhere(openings: list[dict[str, str]], contents: list[bytes], data: Any) -> None:
    wire = Wire()
    streams = [wire.client.open(headers) for headers in openings]
    for index, content in enumerate(contents):
        wire.client.send(2 * index + 1, content, end=index % 2 == 0)
    events: list[SpdyEvent] = []
    rest = bytes(wire.to_server)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        events += wire.server.receive(rest[:size])
        rest = rest[size:]
    opened = [event for event in events if isinstance(event, Opened)]
    assert [(event.stream, event.headers) for event in opened] == list(zip(streams, openings, strict=True))
    for index, content in enumerate(contents):
        pieces = [event for event in events if isinstance(event, Data) and event.stream == 2 * index + 1]
        assert b"".join(piece.data for piece in pieces) == content
        assert [piece.end for piece in pieces].count(True) == (1 if index % 2 == 0 else 0)


@given(st.binary(max_size=400))
def test_garbage_neither_hangs_nor_crashes(garbage: bytes) -> None:
    try:
        SpdySession(bytearray().extend).receive(garbage)
    except SpdyError:
        return


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_opening_neither_hangs_nor_crashes(position: int, value: int) -> None:
    wire = Wire()
    wire.client.open({"streamtype": "error", "port": "80", "requestid": "0"})
    damaged = bytearray(wire.to_server)
    damaged[position % len(damaged)] = value
    try:
        wire.server.receive(bytes(damaged))
    except SpdyError:
        return


def test_a_header_block_that_inflates_without_end_is_refused() -> None:
    wire = Wire()
    wire.client.open({"a": "x" * (spdy.MAX_HEADERS + 1)})
    with pytest.raises(SpdyError, match="too long"):
        wire.at_server()
