"""Streams by protocol, way and moment: what was sent before an end arrives, and the end is told.

The input of a process, and its output, of ten bytes and of a million; through the API server's tunnel and straight from
the kubelet; over WebSocket and SPDY; to a client that reads at once, and to one that begins late.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from integration.streaming.conftest import Api
from integration.streaming.test_closing import connect
from spdyclient import Replied, SpdyClient
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from cluster.settings import State
from kubelet.server.server import KubeletServer
from kubelet.server.streams.spdy import Data

pytestmark = pytest.mark.docker
KEY = ("Upgrade: websocket", "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyEhIQ==", "Sec-WebSocket-Version: 13")
PROTOCOLS = ["v4.channel.k8s.io", "v5.channel.k8s.io", "SPDY"]
STDIN, STDOUT, ERROR, CLOSE = 0, 1, 3, 255


class Way(NamedTuple):
    """Where a client connects to, and how exec is asked for there."""

    server: Any  # with a port and a context, as connect needs them
    path: Callable[[str, list[str]], str]


def of_api(pod: str, command: list[str]) -> str:
    query = [*(("command", word) for word in command), ("stdin", "true"), ("stdout", "true")]
    return f"/api/v1/namespaces/default/pods/{pod}/exec?{urlencode(query)}"


def of_kubelet(pod: str, command: list[str]) -> str:
    query = [*(("command", word) for word in command), ("input", "1"), ("output", "1")]
    return f"/exec/default/{pod}/main?{urlencode(query)}"


class Direct(NamedTuple):
    port: int
    context: ssl.SSLContext


@pytest.fixture(params=["api", "kubelet"])
def way(request: pytest.FixtureRequest, api: Api, kubelet: KubeletServer, state: State) -> Way:
    if request.param == "api":
        return Way(api, of_api)
    context = ssl.create_default_context(cafile=state.pki / "ca.crt")
    context.load_cert_chain(state.pki / "admin.crt", state.pki / "admin.key")
    return Way(Direct(kubelet.addresses[0][1], context), of_kubelet)


class WebSocketClient:
    """Channels over a WebSocket."""

    def __init__(self, way: Way, path: str, protocol: str) -> None:
        self.sock, rest = connect(way.server, path, *KEY, f"Sec-WebSocket-Protocol: {protocol}")
        self._framing = Connection(ConnectionType.CLIENT, trailing_data=rest)
        self._ends_stdin = protocol.startswith("v5")
        self._message = b""

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), 30_000):
            self.sock.sendall(self._framing.send(BytesMessage(bytes([STDIN]) + data[start : start + 30_000])))

    def end(self) -> bool:
        """Tells whether the protocol can say so."""
        if self._ends_stdin:
            self.sock.sendall(self._framing.send(BytesMessage(bytes([CLOSE, STDIN]))))
        return self._ends_stdin

    def read(self) -> tuple[bytes, Any]:
        """All output, and the status at the end."""
        output, status = bytearray(), b""
        while not status:
            for event in self._framing.events():
                if isinstance(event, BytesMessage):
                    self._message += bytes(event.data)
                    if event.message_finished:
                        channel, data, self._message = self._message[:1], self._message[1:], b""
                        output += data if channel == bytes([STDOUT]) else b""
                        status += data if channel == bytes([ERROR]) else b""
            if not status:
                data = self.sock.recv(65536)
                assert data, "the status was lost"
                self._framing.receive_data(data)
        self.sock.close()
        return bytes(output), json.loads(status)


class SpdyChannels:
    """The same over SPDY."""

    def __init__(self, way: Way, path: str) -> None:
        self.sock, rest = connect(way.server, path, "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io")
        self._session = SpdyClient(self.sock.sendall)
        kinds = ("error", "stdout", "stdin")
        self._streams = {kind: self._session.open({"streamtype": kind}) for kind in kinds}
        self._early = [event for event in self._session.receive(rest) if isinstance(event, Data)]
        replied = 0
        while replied < len(kinds):
            events = self._session.receive(self.sock.recv(65536))
            replied += sum(isinstance(event, Replied) for event in events)
            self._early += [event for event in events if isinstance(event, Data)]

    def send(self, data: bytes) -> None:
        self._session.send(self._streams["stdin"], data)

    def end(self) -> bool:
        self._session.send(self._streams["stdin"], b"", end=True)
        return True

    def read(self) -> tuple[bytes, Any]:
        output, status, ended = bytearray(), b"", False
        events: list[Any] = list(self._early)
        while not ended:
            for event in events:
                if isinstance(event, Data) and event.stream == self._streams["stdout"]:
                    output += event.data
                if isinstance(event, Data) and event.stream == self._streams["error"]:
                    status, ended = status + event.data, event.end
            if not ended:
                data = self.sock.recv(65536)
                assert data, "the status was lost"
                events = list(self._session.receive(data))
        self.sock.close()
        return bytes(output), json.loads(status)


def open_client(way: Way, path: str, protocol: str) -> Any:
    return SpdyChannels(way, path) if protocol == "SPDY" else WebSocketClient(way, path, protocol)


@pytest.fixture(scope="module")
def sleeper(host: Any, api: Api) -> str:
    api.add_pod(host.start("streams", ["sleep", "infinity"]))
    return "streams"


@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_last_output_of_a_process_arrives(way: Way, sleeper: str, protocol: str, late: bool, size: int) -> None:
    command = ["sh", "-c", f"yes 0123456 | head -c {size}; exit 7"]
    client = open_client(way, way.path(sleeper, command), protocol)
    if late:  # long after the process has ended, of what the buffers between hold
        threading.Event().wait(0.5)
    output, status = client.read()
    assert output == (b"0123456\n" * size)[:size]
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_input_of_a_process_arrives_and_its_answer(way: Way, sleeper: str, protocol: str, size: int) -> None:
    data = (b"abcdefg\n" * size)[:size]
    client = open_client(way, way.path(sleeper, ["sh", "-c", f"head -c {size} | sha256sum"]), protocol)
    client.send(data)
    client.end()
    output, status = client.read()
    assert (output.split()[0].decode(), status["status"]) == (hashlib.sha256(data).hexdigest(), "Success")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_end_of_input_is_told_and_output_goes_on_after_it(way: Way, sleeper: str, protocol: str) -> None:
    client = open_client(way, way.path(sleeper, ["sh", "-c", "cat; sleep 0.2; echo after"]), protocol)
    client.send(b"before ")
    if not client.end():
        client.sock.close()  # this protocol has no other end
        return
    assert client.read() == (b"before after\n", {"metadata": {}, "status": "Success"})


def test_a_log_that_is_followed_arrives_to_its_end(api: Api, pod: Callable[..., str]) -> None:
    name = pod("sh", "-c", "yes 0123456 | head -c 1000000; sleep 1; yes 0123456 | head -c 1000000")
    code, log = api.request("GET", f"/api/v1/namespaces/default/pods/{name}/log?follow=true")
    assert (code, log) == (200, b"0123456\n" * 250_000)
