"""The five channels over WebSocket and SPDY, seen from a client of each protocol."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection

import pytest
from spdyclient import SpdyClient
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from kubelet.server.streams import spdy
from kubelet.server.streams.channels import SUCCESS, Channel, Received, SpdyStreams, WebSocketStreams

EXIT_3 = {"status": "Failure", "reason": "NonZeroExitCode", "message": "exit 3"}
INTERACTIVE = (Channel.STDIN, Channel.STDOUT, Channel.RESIZE)


class Browser:
    """A WebSocket client joined to WebSocketStreams."""

    def __init__(self, protocol: str, channels: Collection[Channel] = INTERACTIVE) -> None:
        self.client = Connection(ConnectionType.CLIENT)
        self.streams = WebSocketStreams(self.client.receive_data, protocol, channels)

    def send(self, event: BytesMessage | TextMessage | Ping | CloseConnection) -> list[Received]:
        return self.streams.receive(self.client.send(event))

    def received(self) -> list[bytes | str | int]:
        found: list[bytes | str | int] = []
        for event in self.client.events():
            if isinstance(event, BytesMessage | TextMessage):
                found.append(event.data if isinstance(event.data, str) else bytes(event.data))
            elif isinstance(event, CloseConnection):
                found.append(event.code)
        return found


@pytest.mark.parametrize(
    ("channels", "lowest"), [(INTERACTIVE, b"\x01"), ([Channel.STDERR], b"\x02"), ([Channel.STDIN], b"\x03")]
)
def test_an_empty_message_tells_that_the_session_stands(channels: Collection[Channel], lowest: bytes) -> None:
    browser = Browser("v4.channel.k8s.io", channels)
    assert browser.received() == []
    browser.streams.begin()
    assert browser.received() == [lowest]


def test_websocket_stdin_resize_and_output() -> None:
    browser = Browser("v4.channel.k8s.io")
    assert browser.send(BytesMessage(b"\x00abc")) == [Received(Channel.STDIN, b"abc")]
    assert browser.send(BytesMessage(b'\x04{"Width":1}')) == [Received(Channel.RESIZE, b'{"Width":1}')]
    assert browser.send(BytesMessage(b"\x01not a channel to write to")) == []
    assert browser.send(BytesMessage(b"")) == []
    browser.streams.send(Channel.STDOUT, b"out")
    assert browser.received() == [b"\x01out"]


def test_a_large_message_comes_out_in_pieces_of_one_channel() -> None:
    browser = Browser("v4.channel.k8s.io")
    data = browser.client.send(BytesMessage(b"\x00" + b"x" * 100_000))
    pieces = [
        piece for start in range(0, len(data), 999) for piece in browser.streams.receive(data[start : start + 999])
    ]
    assert {piece.channel for piece in pieces} == {Channel.STDIN}
    assert b"".join(piece.data for piece in pieces) == b"x" * 100_000
    assert len(pieces) > 50


def test_only_v5_can_end_stdin() -> None:
    assert Browser("v5.channel.k8s.io").send(BytesMessage(b"\xff\x00")) == [Received(Channel.STDIN, b"", True)]
    assert Browser("v4.channel.k8s.io").send(BytesMessage(b"\xff\x00")) == []


def test_base64_channels_are_digits() -> None:
    browser = Browser("v4.base64.channel.k8s.io")
    browser.streams.begin()
    assert browser.received() == ["1"]
    assert browser.send(TextMessage("0" + base64.b64encode(b"in").decode())) == [Received(Channel.STDIN, b"in")]
    assert browser.send(TextMessage("0***")) == []
    browser.streams.send(Channel.STDOUT, b"out")
    assert browser.received() == ["1" + base64.b64encode(b"out").decode()]


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_since_v4_the_end_is_told_as_a_status(protocol: str) -> None:
    for status in (SUCCESS, EXIT_3):
        browser = Browser(protocol)
        browser.streams.finish(status)
        message, code = browser.received()
        assert isinstance(message, bytes) and message[0] == Channel.ERROR
        assert (json.loads(message[1:]), code) == (status, 1000)


def test_before_v4_the_end_is_told_in_words_if_it_was_bad() -> None:
    for status, told in ((SUCCESS, []), (EXIT_3, [b"\x03exit 3"])):
        browser = Browser("")
        browser.received()
        browser.streams.finish(status)
        assert browser.received() == [*told, 1000]


def test_pings_are_answered_and_farewells_too() -> None:
    browser = Browser("v5.channel.k8s.io")
    browser.received()
    browser.send(Ping(b"there?"))
    assert [event for event in browser.client.events() if isinstance(event, Pong)] == [
        Pong(payload=bytearray(b"there?"))  # type: ignore[arg-type]
    ]
    browser.send(CloseConnection(1000))
    assert browser.streams.closed
    assert browser.received() == [1000]


def test_nonsense_ends_the_websocket() -> None:
    browser = Browser("v4.channel.k8s.io")
    browser.streams.receive(b"\xff" * 20)
    assert browser.streams.closed
    assert browser.streams.receive(b"more") == []


class Kubectl:
    """A SPDY client joined to SpdyStreams."""

    def __init__(self, protocol: str, channels: Collection[Channel]) -> None:
        self.written, self.answers = bytearray(), bytearray()
        self.session = SpdyClient(self.written.extend)
        self.streams = SpdyStreams(self.answers.extend, protocol, channels)

    def sent(self) -> list[Received]:
        data = bytes(self.written)
        self.written.clear()
        return self.streams.receive(data)

    def received(self) -> list[spdy.SpdyEvent]:
        data = bytes(self.answers)
        self.answers.clear()
        return self.session.receive(data)


def test_spdy_is_ready_when_every_stream_is_open() -> None:
    kubectl = Kubectl("v4.channel.k8s.io", [Channel.STDIN, Channel.STDOUT])
    for name in ("error", "stdin", "stdout"):
        assert not kubectl.streams.ready
        kubectl.session.open({"streamType": name})
        kubectl.sent()
    assert kubectl.streams.ready


@pytest.mark.parametrize(("protocol", "ready"), [("v4.channel.k8s.io", False), ("v2.channel.k8s.io", True)])
def test_resize_is_a_stream_since_v3(protocol: str, ready: bool) -> None:
    kubectl = Kubectl(protocol, [Channel.STDOUT, Channel.RESIZE])
    for name in ("error", "stdout"):
        kubectl.session.open({"streamtype": name})
    kubectl.sent()
    assert kubectl.streams.ready is ready


def test_spdy_stdin_its_end_and_output() -> None:
    kubectl = Kubectl("v4.channel.k8s.io", [Channel.STDIN, Channel.STDOUT])
    error, stdin, stdout = (kubectl.session.open({"streamtype": name}) for name in ("error", "stdin", "stdout"))
    kubectl.session.send(stdin, b"abc")
    kubectl.session.send(stdin, b"", end=True)
    assert kubectl.sent() == [Received(Channel.STDIN, b"abc"), Received(Channel.STDIN, b"", True)]
    kubectl.received()
    kubectl.streams.send(Channel.STDOUT, b"out")
    kubectl.streams.send(Channel.STDERR, b"nobody asked for it")
    kubectl.streams.finish(EXIT_3)
    *output, status = kubectl.received()
    assert output == [spdy.Data(stdout, b"out", False), spdy.Data(stdout, b"", True)]
    assert isinstance(status, spdy.Data) and (status.stream, status.end) == (error, True)
    assert json.loads(status.data) == EXIT_3


def test_a_stream_that_nobody_asked_for_is_refused() -> None:
    kubectl = Kubectl("v4.channel.k8s.io", [Channel.STDOUT])
    stream = kubectl.session.open({"streamtype": "stdin"})
    assert kubectl.sent() == []
    assert kubectl.received() == [spdy.Reset(stream, spdy.REFUSED_STREAM)]
