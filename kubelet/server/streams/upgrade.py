"""Turn an HTTP request into a stream: answer 101 in the protocol that the client asks for, or say why not.

What SPDY's clients list in X-Stream-Protocol-Version and WebSocket's in Sec-WebSocket-Protocol is upstream's
(httpstream.Handshake, wsstream): the first of the client's that the server speaks is taken, none at all means the
oldest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from email.message import Message

from kubelet.server.connection import Connection
from kubelet.server.streams.channels import (
    SPDY_PROTOCOLS,
    WEBSOCKET_PROTOCOLS,
    Channel,
    Received,
    SpdyStreams,
    Streams,
    WebSocketStreams,
)
from machinery import websocket
from machinery.objects import Object

Headers = Message
Answer = Callable[[list[tuple[str, str]]], None]  # writes a 101 with these headers
_STREAMS_SECONDS = 30.0  # upstream: DefaultStreamCreationTimeout
_FAREWELL_SECONDS = 10.0


class UpgradeError(Exception):
    """The request cannot be answered with 101; the code and the message are the answer instead."""

    def __init__(self, code: int, message: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.accepted = accepted  # for the header X-Accepted-Stream-Protocol-Versions


def is_spdy(headers: Headers) -> bool:
    """Return True if the request asks for SPDY/3.1."""
    return "upgrade" in headers.get("Connection", "").lower() and headers.get("Upgrade", "").lower() == "spdy/3.1"


def negotiate_spdy(headers: Headers, supported: Sequence[str]) -> str:
    """Return the client's first protocol that we speak, "" if it names none. Raises UpgradeError."""
    listed = headers.get_all("X-Stream-Protocol-Version") or []
    offered = [name.strip() for line in listed for name in line.split(",") if name.strip()]
    for name in offered:
        if name in supported:
            return name
    if offered:
        words = f"client supports [{' '.join(offered)}], server accepts [{' '.join(supported)}]"
        raise UpgradeError(403, f"unable to upgrade: unable to negotiate protocol: {words}", supported)
    return ""


def spdy_headers(protocol: str) -> list[tuple[str, str]]:
    """Return the headers of the 101 that accepts SPDY."""
    answer = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    return answer + ([("X-Stream-Protocol-Version", protocol)] if protocol else [])


def negotiate_websocket(headers: Headers, supported: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return the chosen subprotocol and the headers of the 101. Raises UpgradeError."""
    try:
        fields = dict(headers.items())
        protocol = websocket.choose_protocol(fields, supported)
        return protocol, websocket.handshake(fields, protocol)
    except websocket.HandshakeError as error:
        raise UpgradeError(400, f"unable to upgrade: {error}") from error


def not_an_upgrade(headers: Headers) -> UpgradeError:
    """Return the error for a request that asks for neither SPDY nor WebSocket."""
    asked = headers.get("Upgrade", "none")
    return UpgradeError(400, f"unable to upgrade: the header Upgrade must say SPDY/3.1 or websocket, not {asked}")


def open_streams(
    conn: Connection, headers: Headers, channels: Collection[Channel], answer: Answer
) -> tuple[Streams, list[Received]]:
    """Upgrade to the channels of exec and attach; return them, and what the client sent while it opened them.

    Raises UpgradeError, and ConnectionResetError if the client leaves before all channels are open.
    """
    if websocket.is_websocket(dict(headers.items())):
        protocol, fields = negotiate_websocket(headers, WEBSOCKET_PROTOCOLS)
        answer(fields)
        return WebSocketStreams(conn.deliver, protocol, channels), []
    if not is_spdy(headers):
        raise not_an_upgrade(headers)
    protocol = negotiate_spdy(headers, SPDY_PROTOCOLS)
    answer(spdy_headers(protocol))
    spdy_streams = SpdyStreams(conn.deliver, protocol, channels)
    early: list[Received] = []
    conn.deadline = time.monotonic() + _STREAMS_SECONDS
    while not spdy_streams.ready:
        data = conn.read()
        if not data:
            raise ConnectionResetError("the client left before it opened its streams")
        early += spdy_streams.receive(data)
    conn.deadline = None
    return spdy_streams, early


def finish_streams(conn: Connection, streams: Streams, status: Object) -> None:
    """Tell the client how its process ended, and give it time to read everything and to close first.

    Clients discard what they have not read yet when the connection ends.
    """
    streams.finish(status)
    conn.deadline = time.monotonic() + _FAREWELL_SECONDS
    while not streams.closed and (data := conn.read()):
        streams.receive(data)
