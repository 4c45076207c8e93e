"""Port-forward: the three multiplexers as their clients see them, and the loop that joins them to sockets."""

from __future__ import annotations

import base64
import os
import queue
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from spdyclient import Replied, SpdyClient
from wsproto.connection import Connection as Framing
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from kubelet.server.connection import Connection
from kubelet.server.streams import portforward, spdy
from kubelet.server.streams.portforward import (
    ChannelMultiplexer,
    ConnectRequest,
    Forwarding,
    SpdyMultiplexer,
    TunnelMultiplexer,
)


class Kubectl:
    """A SPDY client joined to a multiplexer."""

    def __init__(self) -> None:
        self.written, self.answers = bytearray(), bytearray()
        self.session = SpdyClient(self.written.extend)
        self.multiplexer = SpdyMultiplexer(self.answers.extend)

    def open(self, kind: str, port: str, request: str = "0") -> int:
        headers = {"streamtype": kind, "port": port}
        return self.session.open(headers | ({"requestid": request} if request else {}))

    def sent(self) -> list[Any]:
        data = bytes(self.written)
        self.written.clear()
        return self.multiplexer.receive(data)

    def received(self) -> list[spdy.SpdyEvent]:
        data = bytes(self.answers)
        self.answers.clear()
        return self.session.receive(data)


@pytest.mark.parametrize("request_id", ["7", ""])
def test_a_connection_is_a_pair_of_streams(request_id: str) -> None:
    kubectl = Kubectl()
    error = kubectl.open("error", "80", request_id)
    assert kubectl.sent() == []
    data = kubectl.open("data", "80", request_id)
    kubectl.session.send(data, b"GET", end=True)
    assert kubectl.sent() == [ConnectRequest(data, 80), spdy.Data(data, b"GET", True)]
    kubectl.received()
    kubectl.multiplexer.send(data, b"200")
    kubectl.multiplexer.finish(data)
    assert kubectl.received() == [
        spdy.Data(data, b"200", False), spdy.Data(data, b"", True), spdy.Data(error, b"", True),
    ]  # fmt: skip


def test_an_error_is_told_on_the_error_stream() -> None:
    kubectl = Kubectl()
    error, data = kubectl.open("error", "80"), kubectl.open("data", "80")
    kubectl.sent()
    kubectl.received()
    kubectl.multiplexer.finish(data, "refused")
    assert kubectl.received() == [spdy.Data(data, b"", True), spdy.Data(error, b"refused", True)]
    kubectl.multiplexer.finish(data, "again")
    assert kubectl.received() == []


def test_a_reset_drops_the_connection() -> None:
    kubectl = Kubectl()
    kubectl.open("error", "80")
    data = kubectl.open("data", "80")
    kubectl.session.reset(data)
    assert kubectl.sent() == [ConnectRequest(data, 80), spdy.Reset(data, spdy.CANCEL)]


@pytest.mark.parametrize(("kind", "port"), [("data", "0"), ("data", "65536"), ("data", "http"), ("stdin", "80")])
def test_streams_that_make_no_sense_are_refused(kind: str, port: str) -> None:
    kubectl = Kubectl()
    stream = kubectl.open(kind, port)
    assert kubectl.sent() == []
    assert kubectl.received() == [spdy.Reset(stream, spdy.REFUSED_STREAM)]


def test_the_tunnel_is_spdy_in_binary_messages() -> None:
    client, inner = Framing(ConnectionType.CLIENT), bytearray()
    session = SpdyClient(inner.extend)
    multiplexer = TunnelMultiplexer(client.receive_data)
    session.open({"streamtype": "error", "port": "80", "requestid": "0"})
    data = session.open({"streamtype": "data", "port": "80", "requestid": "0"})
    # Messages need not be whole frames.
    first, second = client.send(BytesMessage(bytes(inner[:30]))), client.send(BytesMessage(bytes(inner[30:])))
    assert multiplexer.receive(first + second) == [ConnectRequest(data, 80)]
    multiplexer.send(data, b"hello")
    answers = b"".join(bytes(event.data) for event in client.events() if isinstance(event, BytesMessage))
    assert spdy.Data(data, b"hello", False) in session.receive(answers)
    assert multiplexer.receive(client.send(CloseConnection(1000))) == []
    assert multiplexer.closed


class Channels:
    """A WebSocket client joined to a multiplexer of channels."""

    def __init__(self, protocol: str, *ports: int) -> None:
        self.client = Framing(ConnectionType.CLIENT)
        self.multiplexer = ChannelMultiplexer(self.client.receive_data, protocol, ports)

    def received(self) -> list[Any]:
        events = [event for event in self.client.events() if isinstance(event, BytesMessage | TextMessage)]
        return [event.data if isinstance(event.data, str) else bytes(event.data) for event in events]


def test_channels_begin_with_their_port() -> None:
    channels = Channels("v4.channel.k8s.io", 80, 8080)
    assert channels.received() == [b"\x00\x50\x00", b"\x01\x50\x00", b"\x02\x90\x1f", b"\x03\x90\x1f"]
    assert channels.multiplexer.receive(b"") == [ConnectRequest(0, 80), ConnectRequest(1, 8080)]
    message = channels.client.send(BytesMessage(b"\x02to 8080")) + channels.client.send(BytesMessage(b"\x01error?"))
    assert channels.multiplexer.receive(message) == [spdy.Data(1, b"to 8080", False)]
    channels.multiplexer.send(0, b"from 80")
    channels.multiplexer.finish(1, "refused")
    assert channels.received() == [b"\x00from 80", b"\x03refused"]
    assert not channels.multiplexer.closed
    channels.multiplexer.finish(0)
    assert channels.multiplexer.closed


def test_base64_channels() -> None:
    channels = Channels("v4.base64.channel.k8s.io", 80)
    assert channels.received() == ["0UAA=", "1UAA="]
    channels.multiplexer.receive(b"")
    message = channels.client.send(TextMessage("0" + base64.b64encode(b"hi").decode()))
    not_base64 = channels.client.send(TextMessage("0?"))
    assert channels.multiplexer.receive(message + not_base64) == [spdy.Data(0, b"hi", False)]


def test_a_base64_message_without_an_end_ends_the_session() -> None:
    channels = Channels("v4.base64.channel.k8s.io", 80)
    channels.multiplexer.receive(b"")
    for _ in range(9):
        assert not channels.multiplexer.left
        channels.multiplexer.receive(channels.client.send(TextMessage("0" * (1 << 20), message_finished=False)))
    assert channels.multiplexer.left


class Stage:
    """A session with kubectl's side as a socket; ports are sockets of the test's own, or errors."""

    def __init__(self, pair: Any, run: Callable[..., Any]) -> None:
        self.client, inner = pair()
        self.pair = pair
        self._pods: dict[int, queue.Queue[socket.socket]] = {port: queue.Queue() for port in (80, 81)}
        self.session = SpdyClient(self.client.sendall)
        self.slow: queue.Queue[Callable[[socket.socket | OSError], None]] = queue.Queue()
        self.events: list[spdy.SpdyEvent] = []
        connection = Connection(inner)
        self.forwarding = Forwarding(connection, SpdyMultiplexer(connection.deliver), self.dial, "pod default/p, uid u")
        self.running = run(self.forwarding.run)

    def dial(self, port: int, done: Callable[[socket.socket | OSError], None]) -> None:
        if port == 82:
            return self.slow.put(done)
        if port == 9:
            return done(OSError("connection refused"))
        inner, pod = self.pair()
        inner.setblocking(False)
        self._pods[port].put(pod)
        return done(inner)

    def pod(self, port: int) -> socket.socket:
        """The pod's end of the next connection to the port."""
        return self._pods[port].get(timeout=10)

    def leave(self) -> None:
        self.client.close()
        with suppress(OSError):  # it may have noticed when it wrote
            self.running.result()

    def open(self, port: int, request: str) -> tuple[int, int]:
        headers = {"port": str(port), "requestid": request}
        streams = [self.session.open({"streamtype": kind} | headers) for kind in ("error", "data")]
        self.until(lambda event: event == Replied(streams[1], {}, False))
        return streams[0], streams[1]

    def until(self, wanted: Callable[[spdy.SpdyEvent], bool]) -> None:
        while not any(wanted(event) for event in self.events):
            data = self.client.recv(65536)
            assert data, self.events
            self.events += self.session.receive(data)

    def data(self, stream: int) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, spdy.Data) and event.stream == stream)


def test_two_connections_at_once(pair: Any, run: Callable[..., Any], read_all: Any) -> None:
    stage = Stage(pair, run)
    streams = [stage.open(80, str(number))[1] for number in range(2)]
    for number, stream in enumerate(streams):
        stage.session.send(stream, b"question %d" % number, end=True)
    for number, stream in enumerate(streams):
        pod = stage.pod(80)
        assert read_all(pod) == b"question %d" % number
        pod.sendall(b"answer %d" % number)
        pod.close()
        stage.until(lambda event, stream=stream: isinstance(event, spdy.Data) and event[0] == stream and event.end)  # type: ignore[misc]
        assert stage.data(stream) == b"answer %d" % number
    stage.leave()


def test_a_refused_connection_leaves_the_others_alone(pair: Any, run: Callable[..., Any]) -> None:
    stage = Stage(pair, run)
    _, good = stage.open(80, "0")
    error, _ = stage.open(9, "1")
    stage.until(lambda event: isinstance(event, spdy.Data) and event.stream == error and event.end)
    assert stage.data(error) == b"error forwarding port 9 to pod default/p, uid u: connection refused"
    stage.session.send(good, b"still here")
    assert stage.pod(80).recv(100) == b"still here"
    stage.leave()


def test_a_connection_that_the_client_gives_up_is_closed(pair: Any, run: Callable[..., Any], read_all: Any) -> None:
    stage = Stage(pair, run)
    _, data = stage.open(80, "0")
    stage.session.reset(data)
    assert read_all(stage.pod(80)) == b""
    stage.leave()


def test_when_the_client_leaves_everything_is_closed(pair: Any, run: Callable[..., Any], read_all: Any) -> None:
    stage = Stage(pair, run)
    stage.open(80, "0")
    stage.open(81, "1")
    stage.leave()
    assert [read_all(stage.pod(port)) for port in (80, 81)] == [b"", b""]


@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("end", ["half-close", "reset", "leave", "cut"])
def test_what_a_client_sends_before_it_ends_arrives(
    pair: Any, run: Callable[..., Any], read_all: Any, size: int, end: str, send_and_close: Any
) -> None:
    stage, content = Stage(pair, run), os.urandom(size)
    _, data = stage.open(80, "0")

    def upload() -> None:
        stage.session.send(data, content, end=end == "half-close")
        if end == "reset":
            stage.session.reset(data)
        elif end == "leave":
            stage.session.leave()
        elif end == "cut":
            send_and_close(stage.client)

    writing = run(upload)
    assert read_all(stage.pod(80)) == content
    writing.result()
    stage.leave()


def test_also_while_the_pod_answers_and_nobody_takes_it(
    pair: Any, run: Callable[..., Any], send_and_close: Any, tee: Any
) -> None:
    stage, received = Stage(pair, run), bytearray()
    _, data = stage.open(80, "0")
    pod = stage.pod(80)

    def upload() -> None:
        stage.session.send(data, b"x" * 1_000_000)
        send_and_close(stage.client)

    echo = run(tee, pod, received)
    writing = run(upload)
    writing.result()
    stage.running.result()
    echo.result()
    assert len(received) == 1_000_000


def test_a_pod_that_sends_no_more_is_still_sent_to(pair: Any, run: Callable[..., Any], read_all: Any) -> None:
    stage = Stage(pair, run)
    error, data = stage.open(80, "0")
    pod = stage.pod(80)
    pod.sendall(b"hello")
    pod.shutdown(socket.SHUT_WR)
    stage.until(lambda event: isinstance(event, spdy.Data) and event.stream == error and event.end)
    assert stage.data(data) == b"hello"
    stage.session.send(data, b"late", end=True)
    assert read_all(pod) == b"late"
    stage.leave()


def test_a_connection_made_after_the_client_left_gets_what_it_sent(
    pair: Any, run: Callable[..., Any], read_all: Any, send_and_close: Any
) -> None:
    stage = Stage(pair, run)
    _, data = (stage.session.open({"streamtype": kind, "port": "82"}) for kind in ("error", "data"))
    stage.session.send(data, b"early")
    send_and_close(stage.client)
    done = stage.slow.get(timeout=10)
    inner, pod = pair()
    inner.setblocking(False)
    done(inner)
    assert read_all(pod) == b"early"
    with suppress(OSError):
        stage.running.result()


def test_channels_also_carry_what_was_sent_before_the_client_hears_of_the_end(
    pair: Any, run: Callable[..., Any], read_all: Any
) -> None:
    client, inner = pair()
    near, pod = pair()
    near.setblocking(False)
    connection, framing = Connection(inner), Framing(ConnectionType.CLIENT)
    multiplexer = ChannelMultiplexer(connection.deliver, "v4.channel.k8s.io", [80])
    running = run(Forwarding(connection, multiplexer, lambda port, done: done(near), "pod").run)
    pod.shutdown(socket.SHUT_WR)
    events: list[Any] = []
    while not any(isinstance(event, CloseConnection) for event in events):
        framing.receive_data(client.recv(65536))
        events += framing.events()
    late = Framing(ConnectionType.CLIENT)  # one that has not read the goodbye yet
    client.sendall(late.send(BytesMessage(b"\0" + b"x" * 1_000_000)) + late.send(CloseConnection(1000)))
    assert read_all(pod) == b"x" * 1_000_000
    running.result()


def test_only_so_many_connections_are_made_at_a_time(
    pair: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a thread until the pod answers."""
    stage = Stage(pair, run)
    monkeypatch.setattr(portforward, "_MAX_DIALING", 2)
    for request in range(5):
        stage.open(82, str(request))
    waiting = [stage.slow.get(timeout=10) for _ in range(2)]
    assert stage.slow.empty()
    while waiting:
        waiting.pop(0)(OSError("no answer"))
        with suppress(queue.Empty):
            waiting.append(stage.slow.get(timeout=1))
        assert len(waiting) <= 2
    stage.until(lambda event: isinstance(event, spdy.Data) and event.stream == 17 and event.end)
    stage.leave()
