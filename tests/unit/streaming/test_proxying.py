"""What a proxied page's links become, and which of a request's headers go on."""

from __future__ import annotations

import pytest

from apiserver.connect import check_log_options, log_parameters
from apiserver.locations import Target
from apiserver.proxying import Rewriter, forwarded_headers, split_path
from apiserver.relay import read_ahead, upgrade_headers
from machinery.errors import BadRequest, Invalid

PREFIX = "/api/v1/namespaces/ns/pods/web:80/proxy"
REWRITER = Rewriter(PREFIX, Target("http", "172.17.0.2", 80))


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
        ("mailto:someone", "mailto:someone"),
    ],
)
def test_links(url: str, expected: str) -> None:
    assert REWRITER.location(url) == expected


def test_html() -> None:
    page = b'<a href="/rewriteme">/not me</a><img src=\'/i.png\'><p title="/nor me">\xff<A HREF="x">'
    expected = f'<a href="{PREFIX}/rewriteme">/not me</a><img src=\'{PREFIX}/i.png\'><p title="/nor me">'.encode()
    assert REWRITER.html(page) == expected + b'\xff<A HREF="x">'


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


def test_without_gunicorn_nothing_was_read_ahead() -> None:
    assert read_ahead({}) == b""


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
