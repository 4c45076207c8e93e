"""A backend's bytes to the client: as an ordinary answer, or as a stream on the client's taken-over socket."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Response

from apiserver.model.exchange import EXCHANGE, Exchange
from apiserver.streaming.backend import BackendError, Stream, open_stream
from apiserver.streaming.tunnel import TUNNELS
from machinery.errors import ApiError, InternalError

# RFC 9110: they belong to one connection.
HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_CHUNK = 65536


def upgrade(environ: dict[str, Any], sock: socket.socket, path: str, headers: Iterable[tuple[str, str]]) -> Response:
    """Repeats the client's upgrade request to a backend, and joins the two connections when it agrees."""
    fields = [*headers, ("Connection", "Upgrade"), *upgrade_headers(environ)]
    try:
        stream = open_stream(sock, environ["REQUEST_METHOD"], path, fields)
    except (BackendError, OSError) as error:
        sock.close()
        raise unreachable(f"error dialing backend: {error}") from error
    if stream.code != http.HTTPStatus.SWITCHING_PROTOCOLS:
        if stream.code < http.HTTPStatus.BAD_REQUEST:  # neither the protocol nor a refusal
            sock.close()
            raise unreachable(f"invalid upgrade response: status code {stream.code}")
        return relayed(stream.response(environ["REQUEST_METHOD"]))
    return take_over(environ, stream.head, stream)


def upgrade_headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the client said about the protocol that it wants."""
    names = ("Upgrade", "X-Stream-Protocol-Version", "Origin")
    found = [(name, environ.get("HTTP_" + name.upper().replace("-", "_"))) for name in names]
    found += [
        ("Sec-WebSocket-" + name[len("HTTP_SEC_WEBSOCKET_") :].title().replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith("HTTP_SEC_WEBSOCKET_")
    ]
    length = environ.get("CONTENT_LENGTH")
    return [(name, value) for name, value in found if value] + ([("Content-Length", "0")] if length == "0" else [])


def take_over(environ: dict[str, Any], head: bytes, stream: Stream) -> Response:
    """Writes the answer's head on the client's socket and carries bytes until both directions have ended."""
    try:
        exchange = exchange_of(environ)
    except InternalError:
        stream.sock.close()
        raise
    exchange.taken_over = True
    try:
        exchange.socket.sendall(head)
    except OSError:  # the client has left
        stream.sock.close()
    else:
        TUNNELS.relay(exchange.socket, stream.sock, exchange.read_ahead(), stream.ahead)
    return Response()


def exchange_of(environ: Mapping[str, Any]) -> Exchange:
    """Return the exchange whose socket a handler wants to write on itself. Raises InternalError if there is none.

    Such a handler sets ``taken_over``; what it returns then is not sent.
    """
    exchange: Exchange | None = environ.get(EXCHANGE)
    if exchange is None:
        raise InternalError("Internal error occurred: the web server does not hand out its sockets")
    return exchange


def http_head(code: int, reason: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """An answer's head, for a socket that was taken over."""
    lines = [f"HTTP/1.1 {code} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def relayed(response: http.client.HTTPResponse, body: bytes | None = None, *, ahead: bytes = b"") -> Response:
    """A backend's answer as ours, streamed; ``body`` takes the place of its own, ``ahead`` has been read of it."""
    answer = Response(_body(response, ahead) if body is None else body, response.status)
    answer.headers.clear()
    hops = HOP_BY_HOP | {name.strip().lower() for name in response.headers.get("Connection", "").split(",")}
    for name, value in response.headers.items():
        if name.lower() not in hops and not (body is not None and name.lower() == "content-length"):
            answer.headers.add(name, value)
    answer.call_on_close(response.close)
    return answer


def _body(response: http.client.HTTPResponse, ahead: bytes) -> Iterator[bytes]:
    if ahead:
        yield ahead
    while data := response.read1(_CHUNK):
        yield data


def unreachable(message: str) -> ApiError:
    """Upstream's 500 for a backend that does not answer has no reason."""
    return ApiError(message, code=500, reason="")
