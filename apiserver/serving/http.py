"""HTTP/1.1 between a connection and a WSGI application: an ``HTTPExchange`` is one request with its response.

h11 parses the request, head and body, unless it is of the plainest form (plain.py). h11 is strict about what two
servers could read differently (request smuggling), and what little it leaves open is refused here. The response is
written without it, since head and body shall leave in one TLS record.
"""

from __future__ import annotations

import io
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import h11
import orjson

from apiserver.model.exchange import EXCHANGE
from apiserver.serving.connection import HEAD_LIMIT, ClientConnection
from apiserver.serving.plain import parse, wsgi_name
from machinery.errors import ApiError
from machinery.httpstatus import status_line

# Bytes of a request's first line: kubectl exec sends its command in the URL, for which upstream has 1 MB.
LINE_LIMIT = 256 * 1024
# Bytes of a header's line, and how many headers there may be.
FIELD_LIMIT = 64 * 1024
FIELDS_LIMIT = 100
# Above so many bytes, joining head and body costs more than sending them one by one.
JOIN_LIMIT = 64 * 1024
# Bytes of a request's body that are collected before the application is called: a little more than the longest that it
# takes as a whole, so that it can tell. The rest of a longer one is received while the application reads it.
BODY_LIMIT = 3 * 1024 * 1024 + 1
# So many chunks a body may have, and more if they have so many bytes on average: each costs some microseconds.
CHUNKS_LIMIT, CHUNK_SIZE = 5_000, 200
_CHUNK = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# They describe the connection, which is the server's affair, or are written by it.
_SERVERS_OWN = frozenset({"connection", "date", "keep-alive", "transfer-encoding"})

Headers = Sequence[tuple[str, str]]


class BadMessage(Exception):
    """The client sent no HTTP, or HTTP that is not accepted; ``code`` is the answer's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class BrokenBody(OSError):
    """The request's body ended early or is malformed."""


class HTTPExchange:
    """One request and its response (see ``apiserver.model.exchange``).

    The steps are: make it of a head, ``build_environ``, ``collect_body``, call the application with the environ and
    ``start_response``, ``write`` each part of what it returns, ``finish``. The environ refers to the exchange; so the
    exchange must not refer to the environ, since a cycle would leave both to the garbage collector.
    """

    def __init__(self, connection: ClientConnection, *, body_timeout: float, last: bool) -> None:
        """Parse the head in the connection's buffer; raises BadMessage. The connection closes after a ``last`` one."""
        self._connection = connection
        self.socket = connection.socket
        self.bytes_sent = 0
        self.taken_over = False
        self.head_sent = False
        self.chunked = False
        self._body_timeout = body_timeout
        self._keep_alive = not last
        self._parser: h11.Connection | None = None  # of a request that is not plain
        self._body_ended = True
        _check_limits(connection.buffer)
        if (plain := parse(connection.buffer)) is not None:
            self.method, self._target, self._fields = plain.method, plain.target, plain.fields
            self._collected, self._rest = bytearray(plain.body), plain.rest
            self._is_http_1_0 = self._awaits_continue = False
        else:
            self._parser, request = _parse(connection.buffer)
            self.method, self._target = request.method.decode("latin-1"), request.target.decode("latin-1")
            self._fields = _fields(request)
            self._collected, self._rest = bytearray(), b""
            self._is_http_1_0 = request.http_version == b"1.0"
            self._awaits_continue = self._parser.they_are_waiting_for_100_continue
        connection.buffer.clear()
        self._broken: BrokenBody | None = None
        self._chunks = 0  # that were collected
        self._client_left = False  # in the middle of the body
        self._is_too_long = False  # to be collected
        self._head = b""  # built, but not sent yet
        self._status = ""
        self._headers: Headers = ()
        self._bodyless = False
        self._missing: int | None = None  # bytes of the body that Content-Length has promised and are still to come

    # --- the request ------------------------------------------------------------------------------------------------

    def build_environ(self) -> dict[str, Any]:
        """Return WSGI's view of the request. Raises BadMessage."""
        path, query = _split(self._target)
        (host, port), (client_host, client_port) = self._connection.server[:2], self._connection.client[:2]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "RAW_URI": self._target,
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": "HTTP/1.0" if self._is_http_1_0 else "HTTP/1.1",
            "REMOTE_ADDR": client_host,
            "REMOTE_PORT": str(client_port),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if self._connection.is_tls else "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            EXCHANGE: self,
            **self._fields,
        }
        self._body_ended = not self._has_body(environ) or self._parser is None
        environ["wsgi.input"] = io.BytesIO(self._collected) if self._body_ended else io.BufferedReader(_Input(self))
        if "HTTP_CONNECTION" in environ or self._is_http_1_0:
            options = [option.strip().lower() for option in environ.get("HTTP_CONNECTION", "").split(",")]
            if "keep-alive" not in options if self._is_http_1_0 else "close" in options:
                self._keep_alive = False
        return environ

    def _has_body(self, environ: dict[str, Any]) -> bool:
        encoded, length = environ.get("HTTP_TRANSFER_ENCODING"), environ.get("CONTENT_LENGTH")
        if encoded is not None and (length is not None or self._is_http_1_0):
            raise BadMessage(400, "the body's length is given in two ways, or in one that HTTP/1.0 does not know")
        if environ.get("HTTP_EXPECT", "100-continue").lower() != "100-continue":
            raise BadMessage(417, f"this expectation cannot be met: {environ['HTTP_EXPECT'][:100]}")
        self._is_too_long = length is not None and int(length) >= BODY_LIMIT
        return encoded is not None or length not in (None, "0")

    @property
    def has_body(self) -> bool:
        """True if there is a body that has not been received to its end."""
        return not self._body_ended

    @property
    def collected(self) -> int:
        """The bytes of the body that are held here."""
        return len(self._collected)

    def collect_body(self) -> bool:
        """Receive what has come of the body, without waiting; return True if the application can be called.

        That is when all of it is here, when it is longer than BODY_LIMIT, or when it is malformed: then reading it
        raises BrokenBody. Raises OSError if the client is gone.
        """
        if self._body_ended or (self._is_too_long and not self._collected):
            return True
        self.socket.setblocking(False)
        try:
            while not self._body_ended and len(self._collected) < BODY_LIMIT:
                self._collected += self._receive_body()
                self._chunks += 1
                if self._chunks > max(CHUNKS_LIMIT, len(self._collected) // CHUNK_SIZE):
                    self._keep_alive = False
                    raise BrokenBody(f"it has {self._chunks} chunks or more, of very few bytes each")
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return False
        except BrokenBody as error:
            if self._client_left:
                raise
            self._broken = error
        self.socket.setblocking(True)
        return True

    def receive_body(self) -> bytes:
        """Wait for the next part of the request's body; empty at its end. Raises OSError, also for a broken body."""
        if self._collected:
            part, self._collected = bytes(self._collected), bytearray()
            return part
        if self._broken is not None:
            raise self._broken
        return self._receive_body()

    def _receive_body(self) -> bytes:
        if self._awaits_continue and not self._body_ended:
            self._awaits_continue = False
            self.socket.sendall(_CONTINUE)
        while not self._body_ended and self._parser is not None:
            try:
                event = self._parser.next_event()
                if event is h11.NEED_DATA:
                    data = self.socket.recv(_CHUNK)
                    self._client_left = not data
                    self._parser.receive_data(data)
                elif isinstance(event, h11.Data):
                    return bytes(event.data)
                else:
                    self._body_ended = True
            except h11.RemoteProtocolError as error:
                self._keep_alive = False
                raise BrokenBody(str(error)) from error
        return b""

    def body_deadline(self) -> AbstractContextManager[None]:
        deadline: AbstractContextManager[None] = self.socket.deadline(self._body_timeout)
        return nullcontext() if self._body_ended else deadline

    def read_ahead(self) -> bytes:
        return self._rest if self._parser is None else self._parser.trailing_data[0]

    # --- the response -----------------------------------------------------------------------------------------------

    def start_response(self, status: str, headers: Headers, error: Any = None) -> Callable[[bytes], None]:
        """Keep the head until there is something of the body; ``error`` replaces one that was not sent yet."""
        if error and self.head_sent:
            raise error[1]
        self._status, self._headers = status, headers
        self._head = b""
        return self.write

    def write(self, part: bytes) -> None:
        """Send a part of the body, after the head if that has not been sent."""
        if not part:
            return
        if not self.head_sent:
            self._build_head()
        if self._bodyless:
            return
        self.bytes_sent += len(part)
        if self._missing is not None:
            self._missing -= len(part)
        self._send(b"%X\r\n%b\r\n" % (len(part), part) if self.chunked else part)

    def send_head(self) -> None:
        """Send the head at once: a watch has begun, though nothing has happened yet."""
        self._build_head()
        self._send(b"")

    def finish(self) -> None:
        """Send what is missing of the response."""
        if not self.head_sent:
            self._build_head()
        self._send(b"0\r\n\r\n" if self.chunked else b"")

    def can_be_followed(self) -> bool:
        """Make the connection ready for another request, and tell whether it can have one: not after half a body."""
        if not self._keep_alive or self._missing or self.taken_over or not self._body_ended:
            return False
        self._collected.clear()
        self._connection.buffer += self.read_ahead()
        return True

    def _build_head(self) -> None:
        if not self._status:
            raise RuntimeError("the application did not call start_response")
        lines = [f"HTTP/1.{0 if self._is_http_1_0 else 1} {status_line(int(self._status[:3]))}"]
        length = None
        for name, value in self._headers:
            lowered = name.lower()
            if lowered == "content-length":
                length = int(value)
            if lowered not in _SERVERS_OWN:
                lines.append(f"{name}: {value}")
        self._bodyless = self.method == "HEAD" or self._status.startswith(("1", "204", "304"))
        if not self._bodyless:
            self._missing = length
            self.chunked = length is None and not self._is_http_1_0
            self._keep_alive = self._keep_alive and (self.chunked or length is not None)
        if self._awaits_continue and not self._body_ended:
            self._keep_alive = False  # whether the client will send its body after this response is not known
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        lines += [f"Date: {_date(int(time.time()))}", f"Connection: {'keep-alive' if self._keep_alive else 'close'}"]
        head = "\r\n".join(lines)
        if head.count("\n") + 1 != len(lines) or head.count("\r") + 1 != len(lines):
            raise ValueError("a header of the response has a line break")
        self._head = (head + "\r\n\r\n").encode("latin-1")
        self.head_sent = True

    def _send(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) <= JOIN_LIMIT:
                data = head + data
            else:
                self.socket.sendall(head)
        if data:
            self.socket.sendall(data)


class _Input(io.RawIOBase):
    """The request's body as a file."""

    def __init__(self, exchange: HTTPExchange) -> None:
        self._exchange = exchange
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = memoryview(self._exchange.receive_body())
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def refusal(code: int, reason: str, message: str) -> bytes:
    """Return a whole response with a Status, for what never came to the application."""
    body = orjson.dumps(ApiError(message, code=code, reason=reason).status())
    head = (
        f"HTTP/1.1 {status_line(code)}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body


def _parse(head: bytearray) -> tuple[h11.Connection, h11.Request]:
    """Parse a request's head. What follows it stays in the parser. Raises BadMessage."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
    try:
        parser.receive_data(bytes(head))
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise BadMessage(error.error_status_hint, f"the request cannot be read: {error}") from error
    if not isinstance(event, h11.Request) or event.http_version not in (b"1.0", b"1.1"):
        raise BadMessage(400, "the request cannot be read: it is not HTTP/1.1")
    return parser, event


def _fields(request: h11.Request) -> dict[str, str]:
    """Return the headers by WSGI's names."""
    fields: dict[str, str] = {}
    for name, value in request.headers:
        if key := wsgi_name(name.decode("latin-1")):
            text = value.decode("latin-1")
            fields[key] = f"{fields[key]},{text}" if key in fields else text
    return fields


def _check_limits(buffer: bytearray) -> None:
    """Raise BadMessage for a head with lines that are too long or too many."""
    if len(buffer) <= FIELD_LIMIT and buffer.count(b"\n") <= FIELDS_LIMIT:
        return
    data = bytes(buffer)
    lines = data.splitlines()
    if len(lines[0]) > LINE_LIMIT:
        raise BadMessage(414, f"the request's first line has more than {LINE_LIMIT} bytes")
    fields = lines[1 : lines.index(b"")] if b"" in lines else lines[1:]
    if len(fields) > FIELDS_LIMIT or any(len(field) > FIELD_LIMIT for field in fields):
        raise BadMessage(431, f"the request has more than {FIELDS_LIMIT} headers, or one of over {FIELD_LIMIT} bytes")


def _split(target: str) -> tuple[str, str]:
    """Split a request's target into the path, as WSGI has it (bytes as Latin-1), and the query."""
    if target.startswith("/"):
        path, _, query = target.partition("#")[0].partition("?")
    else:
        try:
            parts = urlsplit(target)
        except ValueError as error:
            raise BadMessage(400, f"the request cannot be read: {error}") from error
        path, query = parts.path, parts.query
    return (unquote_to_bytes(path).decode("latin-1") if "%" in path else path), query


@lru_cache(2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
