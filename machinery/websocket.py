"""The server's end of a WebSocket (RFC 6455): the answer to the handshake, and messages, which wsproto frames.

It does no I/O: ``receive(bytes)`` returns the parts of messages as they arrive, so that a message of many megabytes is
never in memory as a whole; all output, pongs included, goes to the function that the WebSocket was created with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # wsproto takes 25 ms to import, so that is done with the first WebSocket
    from wsproto.events import Event

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NORMAL = 1000


class MessagePart(NamedTuple):
    """Some bytes of a message; whether they are its ``first``, its ``last``, and whether it is a text message."""

    data: bytes
    first: bool
    last: bool
    text: bool


class HandshakeError(Exception):
    """The request asks for a WebSocket in a way that is not supported; the text says which."""


def is_websocket(headers: Mapping[str, str]) -> bool:
    """Return whether the request asks for a WebSocket."""
    upgrade = headers.get("Upgrade", "").lower()
    return upgrade == "websocket" and "upgrade" in headers.get("Connection", "").lower()


def choose_protocol(headers: Mapping[str, str], supported: Sequence[str]) -> str:
    """Return the first of the client's protocols that is supported, empty if the client names none.

    Raises HandshakeError if it names only others.
    """
    offered = [name.strip() for name in headers.get("Sec-WebSocket-Protocol", "").split(",") if name.strip()]
    for name in offered:
        if name in supported:
            return name
    if offered:
        raise HandshakeError(f"the protocols {', '.join(offered)} are not supported, only {', '.join(supported)}")
    return ""


def handshake(headers: Mapping[str, str], protocol: str) -> list[tuple[str, str]]:
    """Return the headers of the answer 101 that accepts the WebSocket. Raises HandshakeError."""
    key = headers.get("Sec-WebSocket-Key", "")
    if not key or headers.get("Sec-WebSocket-Version") != "13":
        raise HandshakeError("a WebSocket needs the headers Sec-WebSocket-Key and Sec-WebSocket-Version: 13")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    answer = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    return answer + ([("Sec-WebSocket-Protocol", protocol)] if protocol else [])


class WebSocket:
    """An established WebSocket; ``write`` is called with the bytes to send."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        from wsproto.connection import Connection, ConnectionType

        self._write = write
        self._framing = Connection(ConnectionType.SERVER)
        self._first = True
        self.closed = False  # the client has closed it, or has violated the protocol

    def receive(self, data: bytes) -> list[MessagePart]:
        """Return the parts of messages in these bytes, and answer pings and closes."""
        from wsproto.utilities import LocalProtocolError

        parts: list[MessagePart] = []
        if self.closed:
            return parts
        try:
            self._framing.receive_data(data)
            for event in self._framing.events():
                self._handle(event, parts)
        except LocalProtocolError:
            self.closed = True  # There were bytes after the closing handshake.
        return parts

    def _handle(self, event: Event, parts: list[MessagePart]) -> None:
        from wsproto.connection import ConnectionState
        from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

        if isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):
            self.closed = True
            if self._framing.state is ConnectionState.OPEN:  # the client sent no close frame, but an error
                self._send(CloseConnection(code=event.code, reason=event.reason))
            elif self._framing.state is ConnectionState.REMOTE_CLOSING:
                self._send(event.response())
        elif isinstance(event, BytesMessage | TextMessage):
            text = isinstance(event, TextMessage)
            content = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
            parts.append(MessagePart(content, self._first, event.message_finished, text))
            self._first = event.message_finished

    def send(self, data: bytes, *, text: bool = False) -> None:
        """Send one message, unless the WebSocket is closing."""
        from wsproto.events import BytesMessage, TextMessage

        if self._is_open:
            self._send(TextMessage(data.decode()) if text else BytesMessage(data))

    def close(self, code: int = NORMAL) -> None:
        """Begin the closing handshake, unless the client has."""
        from wsproto.events import CloseConnection

        if self._is_open:
            self._send(CloseConnection(code=code))

    @property
    def _is_open(self) -> bool:
        return self._framing.state.name == "OPEN"

    def _send(self, event: Event) -> None:
        self._write(self._framing.send(event))
