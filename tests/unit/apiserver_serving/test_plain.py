"""What is parsed without h11 means the same to h11."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.serving.plain import parse

PLAIN = (
    b"POST /api/v1/x?a=%20b HTTP/1.1\r\nHost: a\r\nAccept: b\r\naccept:c\r\nX_Y: z\r\nContent-Length: 2\r\n\r\n{}GET /"
)


def test_a_plain_request() -> None:
    found = parse(PLAIN)
    assert found is not None
    assert (found.method, found.target, found.body, found.rest) == ("POST", "/api/v1/x?a=%20b", b"{}", b"GET /")
    assert found.fields == {"HTTP_HOST": "a", "HTTP_ACCEPT": "b,c", "CONTENT_LENGTH": "2"}


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (b"POST ", b"CONNECT "),
        (b"POST ", b"post "),
        (b"POST ", b"\r\nPOST "),
        (b" HTTP/1.1", b" HTTP/1.0"),
        (b" HTTP/1.1", b"  HTTP/1.1"),
        (b"%20", b" "),
        (b"%20", b"\xc3\xbc"),
        (b"Host: a\r\n", b""),
        (b"Host: a\r\n", b"Host: a\r\nHost: a\r\n"),
        (b"Host: a\r\n", b"Host: \r\n"),
        (b"Host: a\r\n", b"Host: a\n"),
        (b"Host: a\r\n", b"Host: a\r\n b\r\n"),
        (b"Host: a\r\n", b"Host : a\r\n"),
        (b"Host: a\r\n", b"Host: a\r\nUpgrade: websocket\r\n"),
        (b"Host: a\r\n", b"Host: a\r\nTransfer-Encoding: chunked\r\n"),
        (b"Host: a\r\n", b"Host: a\r\nEXPECT: 100-continue\r\n"),
        (b"Host: a\r\n", b"Host: a\r\n" + b"A" * 65 + b": b\r\n"),
        (b"Accept: b", b"Accept: b\tb"),
        (b"Accept: b", b"Accept: b\0"),
        (b"Accept: b", b"Accept: b\rb"),
        (b"Accept: b", b": b"),
        (b"Accept: b", b"Accept"),
        (b"Length: 2", b"Length: +2"),
        (b"Length: 2", b"Length: 2, 2"),
        (b"Length: 2", b"Length: 2\r\nContent-Length: 2"),
        (b"Length: 2", b"Length: 20"),
        (b"Length: 2", b"Length: "),
        (b"Length: 2", b"Length: 1234567890"),
        (b"\r\n\r\n", b"\n\n"),
    ],
)
def test_what_is_rare_or_wrong_is_left_to_h11(part: bytes, other: bytes) -> None:
    assert part in PLAIN
    assert parse(PLAIN.replace(part, other, 1)) is None


PIECES = st.sampled_from(
    [
        b"GET",
        b"POST",
        b" ",
        b"/",
        b"/a?b#c",
        b"http://h/x",
        b"HTTP/1.1",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\t",
        b":",
        b"Host: a",
    ]
    + [
        b"Host",
        b"Content-Length: 3",
        b"Content-Length",
        b"3",
        b"03",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"A_B: c",
    ]
    + [
        b"Accept: */*",
        b"Cookie: a",
        b"\0",
        b"\x7f",
        b"\xff",
        b"abc",
        b'"',
        b"(",
        b"Expect: 100-continue",
        b"POST / HTTP/1.1\r\n",
    ]
    + [b"GET /x HTTP/1.1\r\nHost: a\r\n", b"\r\nContent-Length: 3\r\n\r\nabc"]
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_what_is_taken_means_the_same_to_h11(tail: bytes) -> None:
    for data in (tail, b"GET / HTTP/1.1\r\nHost: a\r\n" + tail, b"POST /x HTTP/1.1\r\n" + tail + b"\r\n\r\nabc"):
        found = parse(data)
        if found is None:
            continue
        parser = h11.Connection(h11.SERVER)
        parser.receive_data(data)
        request, body = parser.next_event(), b""
        assert isinstance(request, h11.Request)
        while isinstance(event := parser.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        fields: dict[str, str] = {}
        for name, value in request.headers:
            if b"_" not in name:
                key = name.decode().upper().replace("-", "_")
                key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
                fields[key] = f"{fields[key]},{value.decode()}" if key in fields else value.decode()
        assert found == (request.method.decode(), request.target.decode(), fields, body, parser.trailing_data[0])
