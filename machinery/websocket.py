"""The server's end of a WebSocket (RFC 6455): the handshake's answer, and messages with wsproto's framing.

Pure: ``receive(bytes)`` gives pieces of messages as they arrive (a message of many megabytes is never held whole),
pings are answered by themselves, everything is written through the function that the WebSocket was made with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # imported with the first WebSocket: it would cost every start of a component 25 ms
    from wsproto.events import Event

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NORMAL = 1000


class Piece(NamedTuple):
    """Part of a message: the ``first`` of it, the ``last`` of it, both, or neither."""

    data: bytes
    first: bool
    last: bool
    text: bool


class HandshakeError(Exception):
    """The request asks for a WebSocket in a way that cannot be answered."""


def is_websocket(headers: Mapping[str, str]) -> bool:
    """Whether the request asks for a WebSocket."""
    upgrade = headers.get("Upgrade", "").lower()
    return upgrade == "websocket" and "upgrade" in headers.get("Connection", "").lower()


def choose_protocol(headers: Mapping[str, str], supported: Sequence[str]) -> str:
    """The first protocol of the client's that we speak; ``""`` when it names none.

    Raises HandshakeError when it names only others.
    """
    offered = [name.strip() for name in headers.get("Sec-WebSocket-Protocol", "").split(",") if name.strip()]
    for name in offered:
        if name in supported:
            return name
    if offered:
        raise HandshakeError(f"the protocols {', '.join(offered)} are not supported, only {', '.join(supported)}")
    return ""


def handshake(headers: Mapping[str, str], protocol: str) -> list[tuple[str, str]]:
    """The headers of the 101 that accepts."""
    key = headers.get("Sec-WebSocket-Key", "")
    if not key or headers.get("Sec-WebSocket-Version") != "13":
        raise HandshakeError("a WebSocket needs the headers Sec-WebSocket-Key and Sec-WebSocket-Version: 13")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    answer = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    return answer + ([("Sec-WebSocket-Protocol", protocol)] if protocol else [])


class WebSocket:
    """An established WebSocket."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        from wsproto.connection import Connection, ConnectionType

        self._write = write
        self._framing = Connection(ConnectionType.SERVER)
        self._first = True
        self.closed = False  # the client said goodbye, or spoke nonsense

    def receive(self, data: bytes) -> list[Piece]:
        """The pieces of messages in these bytes."""
        from wsproto.utilities import LocalProtocolError

        pieces: list[Piece] = []
        if self.closed:
            return pieces
        try:
            self._framing.receive_data(data)
            for event in self._framing.events():
                self._handle(event, pieces)
        except LocalProtocolError:
            self.closed = True  # bytes behind the closing handshake
        return pieces

    def _handle(self, event: Event, pieces: list[Piece]) -> None:
        from wsproto.connection import ConnectionState
        from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

        if isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):
            self.closed = True
            if self._framing.state is ConnectionState.OPEN:  # not a close frame, but an error of the client's
                self._send(CloseConnection(code=event.code, reason=event.reason))
            elif self._framing.state is ConnectionState.REMOTE_CLOSING:
                self._send(event.response())
        elif isinstance(event, BytesMessage | TextMessage):
            text = isinstance(event, TextMessage)
            content = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
            pieces.append(Piece(content, self._first, event.message_finished, text))
            self._first = event.message_finished

    def send(self, data: bytes, *, text: bool = False) -> None:
        """Sends one message; nothing once the WebSocket is closing."""
        from wsproto.events import BytesMessage, TextMessage

        if self._is_open:
            self._send(TextMessage(data.decode()) if text else BytesMessage(data))

    def close(self, code: int = NORMAL) -> None:
        """Begins the closing handshake."""
        from wsproto.events import CloseConnection

        if self._is_open:
            self._send(CloseConnection(code=code))

    @property
    def _is_open(self) -> bool:
        return self._framing.state.name == "OPEN"

    def _send(self, event: Event) -> None:
        self._write(self._framing.send(event))
