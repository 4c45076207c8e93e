"""What a proxied page's links become, and which of a request's headers go on."""

from __future__ import annotations

import gzip
import resource
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.streaming.handlers import check_log_options, log_parameters
from apiserver.streaming.html import LIMIT, Rewriter, is_page
from apiserver.streaming.proxy import forwarded_headers, split_path
from apiserver.streaming.targets import ProxyTarget
from apiserver.streaming.upgrade import upgrade_headers
from machinery.errors import BadRequest, Invalid

PREFIX = "/api/v1/namespaces/ns/pods/web:80/proxy"
REWRITER = Rewriter(PREFIX, ProxyTarget("http", "172.17.0.2", 80), "localhost:8001")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/", PREFIX + "/"),
        ("/a/b?c=d#e", PREFIX + "/a/b?c=d#e"),
        ("http://172.17.0.2/a", PREFIX + "/a"),
        ("http://172.17.0.2:80/a", PREFIX + "/a"),
        ("relative", "relative"),
        ("?only=query", "?only=query"),
        ("https://example.com/a", "https://example.com/a"),
        (PREFIX + "/a", PREFIX + "/a"),
        ("http://localhost:8001/a", f"http://localhost:8001{PREFIX}/a"),
        ("http://localhost:8002/a", "http://localhost:8002/a"),
        ("mailto:someone", "mailto:someone"),
        ("http://[half", "http://[half"),
    ],
)
def test_links(url: str, expected: str) -> None:
    assert REWRITER.location(url) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (b'<a href="/rewriteme">/not me</a>', f'<a href="{PREFIX}/rewriteme">/not me</a>'.encode()),
        (b"<IMG\n  SRC='/i.png' alt=/x>", f"<IMG\n  SRC='{PREFIX}/i.png' alt=/x>".encode()),
        (b"<a href=/bare class=b>", f"<a href={PREFIX}/bare class=b>".encode()),
        (b'<p title="/nor me" data="/x">\xff', b'<p title="/nor me" data="/x">\xff'),
        (b"<script>f('<a href=\"/no\">')</script>", b"<script>f('<a href=\"/no\">')</script>"),
        (b'<!-- <a href="/no"> -->', b'<!-- <a href="/no"> -->'),
        (b'<script src="/s.js"></script>', f'<script src="{PREFIX}/s.js"></script>'.encode()),
        (b'&amp; <b>\n<form action="/f?a=1&amp;b"/>', f'&amp; <b>\n<form action="{PREFIX}/f?a=1&amp;b"/>'.encode()),
        (b'<a href="', b'<a href="'),
        (b'<a b="<a href=/x>', b'<a b="<a href=/x>'.replace(b"/x", PREFIX.encode() + b"/x")),
        (b'<a title=">" href="/x">', f'<a title=">" href="{PREFIX}/x">'.encode()),
        (b'<title><a href="/no"></title>', b'<title><a href="/no"></title>'),
        (b'<a href = "/x"">', f'<a href = "{PREFIX}/x"">'.encode()),
        (b"<a/href=/x>", f"<a/href={PREFIX}/x>".encode()),
        (b'<!doctype html "<a href=/x>', b'<!doctype html "<a href=/x>'),
        (b'<!-- <a href="/no">', b'<!-- <a href="/no">'),
    ],
)
def test_pages(page: bytes, expected: bytes) -> None:
    assert REWRITER.page(page, "") == expected


def test_compressed_pages() -> None:
    page, expected = b'<a href="/x">', f'<a href="{PREFIX}/x">'.encode()
    assert gzip.decompress(REWRITER.page(gzip.compress(page), "gzip")) == expected
    raw = zlib.compressobj(wbits=-15)
    rewritten = REWRITER.page(raw.compress(page) + raw.flush(), "deflate")
    assert zlib.decompress(rewritten, -15) == expected
    assert REWRITER.page(b"not gzip", "gzip") == b"not gzip"


def test_a_page_that_grows_too_large_is_passed_on_as_it_is() -> None:
    bomb = gzip.compress(b'<a href="/x">' + bytes(100 << 20))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert REWRITER.page(bomb, "gzip") is bomb
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 20 << 10, "KB"
    cut = gzip.compress(b'<a href="/x">')[:-1]
    assert REWRITER.page(cut, "gzip") is cut


@pytest.mark.parametrize(
    "part", [b'<a href="', b"<!--", b"<script>", b"<a ", b'<a b=">" ', b"<", b"<a b='\"", b"<a \t="]
)
def test_a_hostile_page_takes_linear_time(part: bytes) -> None:
    page = (part * LIMIT)[:LIMIT]
    since = time.thread_time()
    REWRITER.page(page, "")
    assert time.thread_time() - since < 5


def test_what_is_no_page() -> None:
    assert is_page("Text/HTML; charset=utf-8", "")
    assert not is_page("text/plain", "")
    assert not is_page("text/html", "br")


@given(st.text("<>ahref='\"/ \n!-script&;x="))
def test_any_text_is_a_page(text: str) -> None:
    page = text.encode()
    changed = Rewriter("/p", ProxyTarget("http", "h", 1)).page(page, "")
    assert len(changed) >= len(page)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PREFIX, (PREFIX, "")),
        (PREFIX + "/", (PREFIX, "/")),
        (PREFIX + "/a/proxy/b/", (PREFIX, "/a/proxy/b/")),
        ("/api/v1/namespaces/proxy/pods/proxy/proxy/x", ("/api/v1/namespaces/proxy/pods/proxy/proxy", "/x")),
    ],
)
def test_paths(path: str, expected: tuple[str, str]) -> None:
    assert split_path({"PATH_INFO": path}, namespaced=True) == expected


def test_paths_of_nodes() -> None:
    prefix = "/api/v1/nodes/n/proxy"
    assert split_path({"PATH_INFO": f"{prefix}/logs//a"}, namespaced=False) == (prefix, "/logs//a")


def test_escapes_in_a_path_stay() -> None:
    environ = {"RAW_URI": PREFIX + "/a%2Fb%20c?d=%2F", "PATH_INFO": PREFIX + "/a/b c"}
    assert split_path(environ, namespaced=True) == (PREFIX, "/a%2Fb%20c")


def test_headers_that_go_on() -> None:
    environ = {
        "HTTP_HOST": "api:6443", "HTTP_AUTHORIZATION": "Bearer secret", "HTTP_CONNECTION": "keep-alive, X-Hop",
        "HTTP_X_HOP": "1", "HTTP_X_OWN": "2", "HTTP_IMPERSONATE_USER": "admin", "HTTP_X_FORWARDED_FOR": "10.0.0.1",
        "HTTP_TRANSFER_ENCODING": "chunked", "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "https",
        "SERVER_NAME": "x",
    }  # fmt: skip
    assert dict(forwarded_headers(environ, PREFIX, "/a")) == {
        "Host": "api:6443", "X-Own": "2", "X-Forwarded-Uri": PREFIX + "/a", "X-Forwarded-Host": "api:6443",
        "X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.1, 127.0.0.1",
    }  # fmt: skip


def test_headers_of_an_upgrade() -> None:
    environ = {
        "HTTP_UPGRADE": "websocket", "HTTP_SEC_WEBSOCKET_KEY": "k", "HTTP_SEC_WEBSOCKET_PROTOCOL": "a,b",
        "HTTP_AUTHORIZATION": "Bearer secret", "CONTENT_LENGTH": "0",
    }  # fmt: skip
    assert upgrade_headers(environ) == [
        ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "k"), ("Sec-WebSocket-Protocol", "a,b"),
        ("Content-Length", "0"),
    ]  # fmt: skip


def test_log_options_are_checked_as_upstream_does() -> None:
    check_log_options("p", {"tailLines": ["0"], "sinceSeconds": ["1"], "limitBytes": ["1"]})
    with pytest.raises(BadRequest):
        check_log_options("p", {"tailLines": ["many"]})
    with pytest.raises(Invalid) as refused:
        check_log_options("p", {"tailLines": ["-1"], "sinceSeconds": ["0"], "sinceTime": ["2020-01-01T00:00:00Z"]})
    assert refused.value.message == (
        'PodLogOptions "p" is invalid: [tailLines: Invalid value: -1: must be greater than or equal to 0, '
        "sinceSeconds: Invalid value: 0: must be greater than 0, "
        "sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified]"
    )


def test_log_options_for_the_kubelet() -> None:
    query = {"follow": [""], "previous": ["false"], "tailLines": ["3"], "container": ["main"], "pretty": ["true"]}
    assert log_parameters(query) == [("follow", "true"), ("tailLines", "3")]
