"""WebSockets that end in the API server: the handshake, and watches.

Each event of a watch is a text message with one JSON object, or a binary one in protobuf (upstream:
WatchServer.HandleWS). The client's pings are answered, its close ends the watch, and other messages are ignored.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from flask import Response

from apiserver.model.exchange import Exchange
from apiserver.streaming.upgrade import exchange_of, http_head
from machinery import websocket
from machinery.errors import BadRequest


class Acceptance(NamedTuple):
    """A request for a WebSocket that can be granted: the chosen protocol, and the head of the response."""

    exchange: Exchange
    protocol: str
    head: bytes


def is_wanted(environ: Mapping[str, Any]) -> bool:
    """Tell whether the request asks for a WebSocket."""
    upgrade, connection = environ.get("HTTP_UPGRADE", ""), environ.get("HTTP_CONNECTION", "")
    return websocket.is_websocket({"Upgrade": upgrade, "Connection": connection})


def accept(environ: Mapping[str, Any], choose: Callable[[Mapping[str, str]], str]) -> Acceptance:
    """Check a request for a WebSocket and choose its protocol; nothing is sent yet. Raises BadRequest."""
    exchange = exchange_of(environ)
    names = ("Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
    fields = {name: environ.get("HTTP_" + name.upper().replace("-", "_"), "") for name in names}
    try:
        protocol = choose(fields)
        answer = websocket.handshake(fields, protocol)
    except websocket.HandshakeError as error:
        raise BadRequest(f"unable to upgrade: {error}") from error
    return Acceptance(exchange, protocol, http_head(101, answer))


def among(protocols: Sequence[str]) -> Callable[[Mapping[str, str]], str]:
    """Return a function that chooses the first of the client's protocols that is one of these."""
    return lambda fields: websocket.choose_protocol(fields, protocols)


def only_one(fields: Mapping[str, str]) -> str:
    """Choose a watch's protocol. It has none itself; a single one that is offered is granted, as by Go's library."""
    offered = [name.strip() for name in fields.get("Sec-WebSocket-Protocol", "").split(",") if name.strip()]
    return offered[0] if len(offered) == 1 else ""


class WatchSocket:
    """The client's side of a watch over a WebSocket (see ``watchstream.WatchClient``)."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._accepted = accept(environ, only_one)
        self._socket = self._accepted.exchange.socket
        self._framing: websocket.WebSocket | None = None

    def fileno(self) -> int:
        number: int = self._socket.fileno()
        return number

    def has_left(self) -> bool:
        """Read what the client has sent, answer its pings, and tell whether it has closed."""
        assert self._framing is not None
        self._socket.setblocking(False)
        received = []
        try:
            while data := self._socket.recv(4096):
                received.append(data)
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        except OSError:
            return True
        else:
            return True
        finally:
            self._socket.setblocking(True)
        self._framing.receive(b"".join(received))
        return self._framing.closed

    def carry(self, stream: Iterable[bytes], messages: Callable[[bytes], Iterable[bytes]], *, text: bool) -> Response:
        """Accept the WebSocket and send what ``messages`` makes of the stream, until it ends or the client leaves."""
        self._accepted.exchange.taken_over = True
        self._framing = framing = websocket.WebSocket(self._socket.sendall)
        with suppress(OSError):  # the client left
            self._socket.sendall(self._accepted.head)
            framing.receive(self._accepted.exchange.read_ahead())
            for part in stream:
                for message in messages(part):
                    framing.send(message, text=text)
            framing.close()
        with suppress(OSError):  # it is gone already
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        return Response()
