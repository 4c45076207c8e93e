"""HTTP as it may come: old, early, in pieces, many at once, and what is nearly HTTP."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable

import pytest
from integration.served import Served

pytestmark = pytest.mark.etcd

HEAD = b"Host: x\r\nAuthorization: Bearer admin-token\r\n"
CMS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def talk(served: Served) -> Callable[..., bytes]:
    """Sends bytes and reads until the server closes, or until the answer ends with these bytes."""

    def send(data: bytes, until: bytes = b"") -> bytes:
        with served.tls() as connection:
            connection.sendall(data)
            answer = b""
            while part := connection.recv(65536):
                answer += part
                if until and answer.endswith(until):
                    break
        return answer

    return send


def request(line: str, body: bytes = b"", *more: str) -> bytes:
    lines = [f"{line} HTTP/1.1", *more, *([f"Content-Length: {len(body)}"] if body else [])]
    return "\r\n".join(lines).encode() + b"\r\n" + HEAD + b"\r\n" + body


def config_map(name: str) -> bytes:
    return json.dumps({"metadata": {"name": name}}).encode()


@pytest.mark.parametrize(("kept", "closes"), [("", True), ("Connection: keep-alive\r\n", False)])
def test_http_1_0(talk: Callable[..., bytes], kept: str, closes: bool) -> None:
    answer = talk(b"GET /healthz HTTP/1.0\r\n" + kept.encode() + HEAD + b"\r\n", b"" if closes else b"ok")
    assert answer.startswith(b"HTTP/1.0 200 ") and answer.endswith(b"\r\n\r\nok")
    assert (b"Connection: close" in answer) == closes


def test_a_watch_over_http_1_0_ends_with_its_connection(talk: Callable[..., bytes]) -> None:
    answer = talk(b"GET /api/v1/namespaces?watch=1&timeoutSeconds=1 HTTP/1.0\r\n" + HEAD + b"\r\n")
    assert b"chunked" not in answer
    assert {json.loads(line)["type"] for line in answer.partition(b"\r\n\r\n")[2].splitlines()} == {"ADDED"}


def test_requests_in_a_row_without_waiting(talk: Callable[..., bytes]) -> None:
    last = request("GET /version", b"", "Connection: close")
    answer = talk(request("GET /healthz") * 3 + request("HEAD /version") + request("GET /livez", b"body") + last)
    assert answer.count(b"HTTP/1.1 200 ") == 6
    assert answer.count(b"\r\n\r\nok") == 4


def test_a_client_that_asks_before_it_sends(talk: Callable[..., bytes]) -> None:
    expecting = request(f"POST {CMS}", config_map("expected"), "Expect: 100-continue", "Content-Type: application/json")
    answer = talk(expecting, b"}\n")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")
    assert talk(request(f"POST {CMS}", b"x", "Expect: a miracle")).startswith(b"HTTP/1.1 417 ")


def test_head_says_what_get_would(talk: Callable[..., bytes]) -> None:
    answer = talk(request("HEAD /api/v1/namespaces?watch=1", b"", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: " in answer and b"Cache-Control: no-cache, private" in answer


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("OPTIONS /api/v1/pods", 405),
        ("TRACE /api/v1/pods", 405),
        ("CONNECT example.com:443", 405),
        ("FOO /api/v1/pods", 405),
        ("OPTIONS *", 404),
        ("GET //api/v1/namespaces", 404),
        ("GET /api/v1//namespaces", 404),
        ("GET /api/v1/namespaces/default/", 200),
        ("GET /api/v1/namespaces/de%66ault", 200),
        ("GET /api/v1/namespaces/%00", 404),
        ("GET /api/v1/namespaces/%ff", 404),
        ("GET /api/v1/namespaces/..%2f..%2fetc", 404),
        ("GET /api/v1/namespaces/" + "a" * 5000, 404),
        ("GET http://elsewhere/healthz", 200),
    ],
)
def test_methods_and_paths(talk: Callable[..., bytes], line: str, code: int) -> None:
    answer = talk(request(line, b"", "Connection: close"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == code, head
    if code >= 400:
        assert json.loads(body)["code"] == code


@pytest.mark.parametrize(
    "headers",
    [
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -5",),
        ("Content-Length: five",),
        ("Transfer-Encoding: chunked, gzip",),
    ],
)
def test_bodies_of_two_lengths_are_nobodys(talk: Callable[..., bytes], headers: tuple[str, ...]) -> None:
    """Two servers must not read the same bytes as different requests."""
    answer = talk(request(f"POST {CMS}", b"", *headers) + b"5\r\nhello\r\n0\r\n\r\n")
    assert answer.split()[1] in (b"400", b"501")
    assert b"Connection: close" in answer


def test_http_2_is_not_offered(served: Served) -> None:
    context = served.pki.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with served.tls(context) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    context = served.pki.client_context()
    context.set_alpn_protocols(["h2"])
    with served.tls(context) as connection:
        assert connection.selected_alpn_protocol() is None
        with pytest.raises((ssl.SSLError, ConnectionError, TimeoutError, AssertionError)):
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert not connection.recv(4096).startswith(b"HTTP/1.1 400 ")
