"""Passes a backend's response on to the client: as an ordinary one, or as a tunnel over the client's socket."""

from __future__ import annotations

import http.client
import socket
import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from flask import Response

from apiserver.model.exchange import EXCHANGE, Exchange
from apiserver.streaming.backend import BackendError, BackendSocket, Stream, open_stream
from apiserver.streaming.tunnel import TUNNELS
from machinery.errors import ApiError, BadRequest, InternalError, quote
from machinery.httpstatus import status_line

# Headers that belong to one connection and are not passed on (RFC 9110, section 7.6.1).
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CHUNK = 65536


def upgrade(environ: dict[str, Any], sock: BackendSocket, path: str, headers: Iterable[tuple[str, str]]) -> Response:
    """Repeat the client's upgrade request to a backend, and tunnel between both connections if it agrees (101).

    A refusal of the backend is passed on. Raises ApiError (500) if there is no proper response, and BadRequest if the
    request has a body, of which nobody could tell whether it belongs to the stream. Closes ``sock``.
    """
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        sock.close()
        raise BadRequest("a request to upgrade the connection must not have a body")
    fields = [*headers, ("Connection", "Upgrade"), *upgrade_headers(environ)]
    try:
        stream = open_stream(sock, environ["REQUEST_METHOD"], path, fields)
    except (BackendError, OSError) as error:
        sock.close()
        raise unreachable(f"error dialing backend: {error}") from error
    if stream.code != http.HTTPStatus.SWITCHING_PROTOCOLS:
        if stream.code < http.HTTPStatus.BAD_REQUEST:  # it has neither switched protocols nor refused
            sock.close()
            raise unreachable(f"invalid upgrade response: status code {stream.code}")
        try:
            return proxied(stream.response(environ["REQUEST_METHOD"]))
        except (BackendError, OSError, http.client.HTTPException) as error:
            stream.backend.sock.close()
            raise unreachable(f"error dialing backend: {error}") from error
    return take_over(environ, stream.head, stream)


def upgrade_headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the client's headers about the protocol that it wants."""
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
    """Write a response's head on the client's socket, and carry bytes until both directions have ended."""
    try:
        exchange = exchange_of(environ)
    except InternalError:
        stream.sock.close()
        raise
    exchange.taken_over = True
    with suppress(OSError):  # it is no TCP socket, as in some tests
        # Whoever pauses a stream (kubectl logs | less) may take nothing for a long time.
        exchange.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
    try:
        exchange.socket.sendall(head)
    except OSError:  # the client has left
        stream.sock.close()
    else:
        TUNNELS.carry(exchange.socket, stream.sock, exchange.read_ahead(), stream.ahead)
    return Response()


def client_of(environ: Mapping[str, Any]) -> socket.socket | None:
    """Return the client's socket, None if the web server does not hand it out."""
    exchange: Exchange | None = environ.get(EXCHANGE)
    return None if exchange is None else exchange.socket


def exchange_of(environ: Mapping[str, Any]) -> Exchange:
    """Return the exchange whose socket a handler wants to write on itself. Raises InternalError if there is none.

    Such a handler sets ``taken_over``; what it returns then is not sent.
    """
    exchange: Exchange | None = environ.get(EXCHANGE)
    if exchange is None:
        raise InternalError("Internal error occurred: the web server does not hand out its sockets")
    return exchange


def http_head(code: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return a response's head, to be written on a socket that was taken over."""
    lines = [f"HTTP/1.1 {status_line(code)}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def proxied(response: http.client.HTTPResponse, body: bytes | None = None, *, ahead: bytes = b"") -> Response:
    """Return a backend's response as ours. ``body`` replaces its own; ``ahead`` has been read of that already.

    What says where the response ends is written anew. Raises BackendError for a response that two readers could
    understand differently.
    """
    length = _length(response)
    if body is not None:
        length = len(body)
    answer = Response(body_of(response, ahead) if body is None else body, response.status)
    answer.headers.clear()
    hops = HOP_BY_HOP | connection_options(response.headers.get_all("Connection") or ()) | {"content-length"}
    for name, value in response.headers.items():
        if name.lower() not in hops:
            answer.headers.add(name, _field(name, value))
    if length is not None:
        answer.headers["Content-Length"] = str(length)
    answer.call_on_close(response.close)
    return answer


def _length(response: http.client.HTTPResponse) -> int | None:
    """Return the response's Content-Length; None if its body ends otherwise."""
    lengths = response.headers.get_all("Content-Length") or []
    encodings = response.headers.get_all("Transfer-Encoding") or []
    if response.status < http.HTTPStatus.OK:
        raise BackendError(f"unexpected informational response: status code {response.status}")
    if encodings and [text.strip().lower() for text in encodings] != ["chunked"]:
        raise BackendError(f"unsupported transfer encoding: {quote(', '.join(encodings))}")
    if encodings or not lengths:
        return None
    texts = {text.strip() for text in lengths}
    if len(texts) > 1:
        listed = " ".join(quote(text) for text in lengths)
        raise BackendError(f"http: message cannot contain multiple Content-Length headers; got [{listed}]")
    (text,) = texts
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BackendError(f"bad Content-Length {quote(text)}")
    return int(text)


def connection_options(values: Iterable[str]) -> set[str]:
    """Return the names of headers that the Connection header says are for this connection only."""
    return {name.strip().lower() for value in values for name in value.split(",")}


_CONTROLS = frozenset(map(chr, (*range(9), *range(10, 32), 127)))
_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")


def _field(name: str, value: str) -> str:
    """Return a header's value, of a folded one in one line. Raises BackendError for one that HTTP does not have."""
    value = " ".join(line.strip(" \t") for line in value.split("\r\n"))
    if not name or not _NAME_CHARACTERS.issuperset(name) or not _CONTROLS.isdisjoint(value):
        raise BackendError(f"malformed MIME header: invalid header {quote(name)}")
    return value


def body_of(response: http.client.HTTPResponse, ahead: bytes = b"") -> Iterator[bytes]:
    """Yield a response's body as it arrives, after what has been read of it already."""
    if ahead:
        yield ahead
    while data := response.read1(_CHUNK):
        yield data


def unreachable(message: str) -> ApiError:
    """Return upstream's error for a backend that does not answer: a 500 without a reason."""
    return ApiError(message, code=500, reason="")
