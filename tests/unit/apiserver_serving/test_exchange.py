"""A request and its response over a real socket, without the rest of the web server."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from apiserver.serving import http
from apiserver.serving.connection import ClientConnection
from apiserver.serving.http import BadMessage, BrokenBody, HTTPExchange

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
WITH_LENGTH = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
WITHOUT = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n"


class Client:
    """The other end of a connection of the server's."""

    def __init__(self) -> None:
        accepted, self.sock = socket.socketpair()
        self.sock.settimeout(5)
        self.connection = ClientConnection(accepted, ("10.0.0.1", 1), ("10.0.0.2", 2), None, 5.0)

    def ask(self, data: bytes = b"", *, last: bool = False, whole: bool = True) -> tuple[HTTPExchange, dict[str, Any]]:
        self.sock.sendall(data)
        assert self.connection.receive_head()
        exchange = HTTPExchange(self.connection, body_timeout=0.2, last=last)
        environ = exchange.build_environ()
        assert exchange.collect_body() is whole
        self.connection.socket.setblocking(True)
        return exchange, environ

    def received(self) -> tuple[list[str], bytes]:
        """The lines of a response's head, and its body, as far as they have been sent."""
        head, _, body = self.sock.recv(1 << 20).partition(b"\r\n\r\n")
        return head.decode().split("\r\n"), body


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.connection.close()
    made.sock.close()


def respond(exchange: HTTPExchange, *parts: bytes, **headers: str) -> None:
    exchange.start_response("200 OK", [(name.replace("_", "-"), value) for name, value in headers.items()])
    for part in parts:
        exchange.write(part)
    exchange.finish()


@pytest.mark.parametrize("first", [CHUNKED, WITH_LENGTH, WITHOUT])
@pytest.mark.parametrize("read", [0, 2, 3])
def test_the_next_request_begins_where_the_last_one_ended(client: Client, first: bytes, read: int) -> None:
    exchange, environ = client.ask(first + NEXT)
    assert environ["wsgi.input"].read(read) == (b"" if first is WITHOUT else b"abc"[:read])
    respond(exchange, b"x")
    assert exchange.can_be_followed()
    _, following = client.ask()
    assert (following["PATH_INFO"], following["wsgi.url_scheme"]) == ("/next", "http"), "no proxy is believed"


def test_environ(client: Client) -> None:
    _, environ = client.ask(
        b"GET /a%20b/%C3%A9?q=%41#f HTTP/1.1\r\nHost: a\r\n"
        b"X-A: 1\r\nx-a: 2\r\nX_A: 3\r\nContent-Type: text/plain\r\n\r\n"
    )
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a b/\xc3\xa9", "q=%41")
    assert (environ["HTTP_X_A"], environ["CONTENT_TYPE"]) == ("1,2", "text/plain"), "an underscore is no dash"
    assert environ["RAW_URI"] == "/a%20b/%C3%A9?q=%41#f"
    assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"]) == ("10.0.0.1", "2")
    assert environ["wsgi.input"].read() == b""


def test_a_body_ends_too_early_or_never(client: Client) -> None:
    exchange, environ = client.ask(WITH_LENGTH[:-1], whole=False)
    assert exchange.collected == 2
    with exchange.body_deadline(), pytest.raises(ConnectionResetError):
        environ["wsgi.input"].read()
    client.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(OSError, match="without sending complete message body"):
        environ["wsgi.input"].read()


def test_after_half_a_body_no_request_can_follow(client: Client) -> None:
    exchange, _ = client.ask(WITH_LENGTH[:-1], whole=False)
    respond(exchange, b"x", Content_Length="1")
    assert not exchange.can_be_followed()


def test_a_body_is_collected_as_it_comes(client: Client) -> None:
    exchange, environ = client.ask(WITH_LENGTH[:-3], whole=False)
    for byte in (b"a", b"b"):
        client.sock.sendall(byte)
        assert not exchange.collect_body()
    client.sock.sendall(b"c" + NEXT)
    assert exchange.collect_body()
    assert environ["wsgi.input"].read() == b"abc"
    respond(exchange, b"x")
    assert exchange.can_be_followed()


def test_of_a_long_body_only_so_much_is_collected(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_LIMIT", 2)
    exchange, environ = client.ask(WITH_LENGTH[:-3])
    assert exchange.collected == 0, "it is known to be too long"
    client.sock.sendall(b"abc")
    assert environ["wsgi.input"].read() == b"abc"
    respond(exchange, b"x")
    assert exchange.can_be_followed()
    client.received()
    monkeypatch.setattr(http, "BODY_LIMIT", 3)
    chunked = CHUNKED.replace(b"0\r\n\r\n", b"4\r\ndefg\r\n0\r\n\r\n")
    exchange, environ = client.ask(chunked)
    assert exchange.collected == 3
    assert environ["wsgi.input"].read() == b"abcdefg"


@pytest.mark.parametrize(
    "chunk",
    [
        b"g\r\nabc\r\n", b"-1\r\na\r\n", b"0x3\r\nabc\r\n", b"3 \t\r\r\nabc\r\n", b"3\r\nabcd\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"\r\n", b"1" * 21 + b"\r\n", b"\xb2\r\nab\r\n", b"+3\r\nabc\r\n", b"3_0\r\nabc\r\n",
    ],
)  # fmt: skip
def test_a_chunk_that_is_none_breaks_the_body(client: Client, chunk: bytes) -> None:
    exchange, environ = client.ask(CHUNKED[: CHUNKED.index(b"3\r\n")] + chunk + b"0\r\n\r\n" + NEXT)
    with pytest.raises(BrokenBody):
        environ["wsgi.input"].read()
    respond(exchange, b"x")
    assert not exchange.can_be_followed(), "where the next request begins is not known"


def test_a_body_of_very_many_chunks_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CHUNKS_LIMIT", 3)
    monkeypatch.setattr(http, "CHUNK_SIZE", 100)
    exchange, environ = client.ask(CHUNKED.replace(b"3\r\n", (b"c8\r\n" + b"a" * 200 + b"\r\n") * 5 + b"3\r\n"))
    assert len(environ["wsgi.input"].read()) == 1003
    respond(exchange, b"x")
    assert exchange.can_be_followed()
    _, environ = client.ask(CHUNKED.replace(b"3\r\nabc", b"1\r\na\r\n" * 3 + b"1\r\na"))
    with pytest.raises(BrokenBody, match="4 chunks or more"):
        environ["wsgi.input"].read()


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Folded: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\x00\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\n", 417),
        (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * http.LINE_LIMIT), 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: %b\r\n\r\n" % (b"x" * http.FIELD_LIMIT), 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (b"A: x\r\n" * http.FIELDS_LIMIT), 431),
    ],
)
def test_what_is_refused(client: Client, head: bytes, code: int) -> None:
    client.connection.is_new = False
    client.connection.buffer += head
    with pytest.raises(BadMessage) as refused:
        HTTPExchange(client.connection, body_timeout=1, last=False).build_environ()
    assert refused.value.code == code
    response = http.refusal(code, "BadRequest", str(refused.value))
    assert response.startswith(b"HTTP/1.1 %d " % code) and b'"kind":"Status"' in response


def test_a_response_with_a_length_and_one_without(client: Client) -> None:
    exchange, _ = client.ask(WITHOUT)
    respond(exchange, b"ab", b"", b"c", Content_Length="3", Connection="upgrade")
    lines, body = client.received()
    assert lines[:2] == ["HTTP/1.1 200 OK", "Content-Length: 3"]
    assert lines[-1] == "Connection: keep-alive" and lines.count("Connection: upgrade") == 0
    assert parsedate_to_datetime(lines[2].removeprefix("Date: "))
    assert body in (b"ab", b"abc")
    assert (exchange.bytes_sent, exchange.can_be_followed()) == (3, True)


def test_a_chunked_response(client: Client) -> None:
    exchange, _ = client.ask(WITHOUT)
    respond(exchange, b"ab", b"x" * 12)
    data = b""
    while not data.endswith(b"0\r\n\r\n"):
        data += client.sock.recv(1000)
    assert data.endswith(b"\r\n\r\n2\r\nab\r\nC\r\nxxxxxxxxxxxx\r\n0\r\n\r\n") and b"Transfer-Encoding: chunked" in data
    assert exchange.can_be_followed()


@pytest.mark.parametrize(
    ("request_line", "header", "last", "keeps"),
    [
        (b"GET / HTTP/1.1", b"", False, True),
        (b"GET / HTTP/1.1", b"", True, False),
        (b"GET / HTTP/1.1", b"Connection: Close\r\n", False, False),
        (b"GET / HTTP/1.0", b"", False, False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\n", False, True),
    ],
)
def test_keep_alive(client: Client, request_line: bytes, header: bytes, last: bool, keeps: bool) -> None:
    exchange, _ = client.ask(request_line + b"\r\nHost: a\r\n" + header + b"\r\n", last=last)
    respond(exchange, b"x", Content_Length="1")
    lines, _ = client.received()
    assert lines[-1] == ("Connection: keep-alive" if keeps else "Connection: close")
    assert exchange.can_be_followed() is keeps


def test_a_response_without_a_length_ends_with_the_connection_in_http_1_0(client: Client) -> None:
    exchange, _ = client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    respond(exchange, b"x")
    lines, body = client.received()
    assert (lines[-1], body) == ("Connection: close", b"x")
    assert not exchange.can_be_followed()


def test_a_response_shorter_than_promised_ends_the_connection(client: Client) -> None:
    exchange, _ = client.ask(WITHOUT)
    respond(exchange, b"x", Content_Length="2")
    assert not exchange.can_be_followed()


def test_no_header_of_a_response_makes_a_second_one(client: Client) -> None:
    exchange, _ = client.ask(WITHOUT)
    with pytest.raises(ValueError, match="line break"):
        respond(exchange, b"", X="a\r\nY: b")


def test_a_client_that_waits_for_100_continue(client: Client) -> None:
    expecting = WITH_LENGTH.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")
    exchange, environ = client.ask(expecting[:-3], whole=False)
    client.sock.sendall(b"abc")
    assert environ["wsgi.input"].read() == b"abc"
    assert client.received() == (["HTTP/1.1 100 Continue"], b"")
    respond(exchange, b"x", Content_Length="1")
    assert exchange.can_be_followed()


def test_one_that_is_refused_before_it_continues_may_not_use_the_connection_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_LIMIT", 2)  # and the application does not read a longer one
    expecting = WITH_LENGTH.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")
    exchange, _ = client.ask(expecting[:-3])
    respond(exchange, b"x", Content_Length="1")
    lines, _ = client.received()
    assert lines[0] == "HTTP/1.1 200 OK" and lines[-1] == "Connection: close"
    assert not exchange.can_be_followed()


def test_what_was_read_ahead_of_a_takeover(client: Client) -> None:
    exchange, environ = client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nearly")
    assert isinstance(environ["wsgi.input"], io.BytesIO)
    assert exchange.read_ahead() == b"early"
    exchange.taken_over = True
    assert not exchange.can_be_followed()


@pytest.mark.parametrize(
    ("applications", "line"),
    [
        ("404 NOT FOUND", "404 Not Found"),
        ("409 CONFLICT", "409 Conflict"),
        ("413 CONTENT TOO LARGE", "413 Request Entity Too Large"),
        ("599 UNKNOWN", "599 status code 599"),
    ],
)
def test_the_reason_phrase_is_not_the_applications(client: Client, applications: str, line: str) -> None:
    exchange, _ = client.ask(WITHOUT)
    exchange.start_response(applications, [])
    exchange.finish()
    head, _ = client.received()
    assert head[0] == f"HTTP/1.1 {line}"
    assert not [field for field in head if field.startswith("Server:")]


def test_a_refusal_has_the_same_phrases() -> None:
    assert http.refusal(422, "Invalid", "x").startswith(b"HTTP/1.1 422 Unprocessable Entity\r\n")
