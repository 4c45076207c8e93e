"""A pod's log over a WebSocket, each piece that arrives as one message (upstream: wsstream.Reader).

Protocols: binary.k8s.io (and none at all), base64.binary.k8s.io.
"""

from __future__ import annotations

import base64
import http.client
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Response

from apiserver.streaming import websockets
from apiserver.streaming.backend import Stream
from apiserver.streaming.tunnel import TUNNELS
from machinery import websocket

PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io")
_CHUNK = 32 * 1024


def serve(environ: dict[str, Any], open_log: Callable[[], Stream]) -> Response:
    """Open the log, accept the WebSocket and copy one into the other.

    ``open_log`` returns a response without chunks, whose end is that of the connection.
    """
    exchange, protocol, head = websockets.accept(environ, websockets.among(PROTOCOLS))
    log = open_log()
    exchange.taken_over = True
    client = exchange.socket
    with suppress(OSError), TUNNELS.registered(client, log.sock):  # the client may leave at any time
        client.sendall(head)
        _copy(client, log, base64_text=protocol.startswith("base64"))
    return Response()


def _copy(client: socket.socket, log: Stream, *, base64_text: bool) -> None:
    stream = websocket.WebSocket(client.sendall)

    def show(data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            stream.send(base64.b64encode(chunk) if base64_text else chunk, text=base64_text)

    data = log.ahead or log.backend.recv(_CHUNK)
    while data:
        show(data)
        data = log.backend.recv(_CHUNK)  # ends with an error when the client leaves
    with suppress(http.client.HTTPException):
        stream.close()
