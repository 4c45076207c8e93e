"""Paths and what they ask for, with upstream's own table of cases extended."""

from __future__ import annotations

import pytest

from apiserver.model.requestinfo import RequestInfo, parse_request


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        # verb, group, version, namespace, resource, subresource, name, subpath
        ("GET", "/api/v1/pods", ("list", "", "v1", "", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces", ("list", "", "v1", "", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/other", ("get", "", "v1", "other", "namespaces", "", "other", "")),
        (
            "PUT",
            "/api/v1/namespaces/other/finalize",
            ("update", "", "v1", "other", "namespaces", "finalize", "other", ""),
        ),
        ("GET", "/api/v1/namespaces/other/status", ("get", "", "v1", "other", "namespaces", "status", "other", "")),
        ("GET", "/api/v1/namespaces/other/pods", ("list", "", "v1", "other", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/other/pods/foo", ("get", "", "v1", "other", "pods", "", "foo", "")),
        ("HEAD", "/api/v1/namespaces/other/pods/foo", ("get", "", "v1", "other", "pods", "", "foo", "")),
        ("POST", "/api/v1/namespaces/other/pods", ("create", "", "v1", "other", "pods", "", "", "")),
        ("PATCH", "/api/v1/namespaces/other/pods/foo", ("patch", "", "v1", "other", "pods", "", "foo", "")),
        ("DELETE", "/api/v1/namespaces/other/pods/foo", ("delete", "", "v1", "other", "pods", "", "foo", "")),
        ("DELETE", "/api/v1/namespaces/other/pods", ("deletecollection", "", "v1", "other", "pods", "", "", "")),
        ("GET", "/api/v1/watch/pods", ("watch", "", "v1", "", "pods", "", "", "")),
        ("GET", "/api/v1/watch/namespaces/other/pods/foo", ("watch", "", "v1", "other", "pods", "", "foo", "")),
        ("GET", "/api/v1/namespaces/o/pods/p/log", ("get", "", "v1", "o", "pods", "log", "p", "")),
        ("POST", "/api/v1/namespaces/o/pods/p/proxy/a/b", ("create", "", "v1", "o", "pods", "proxy", "p", "/a/b")),
        ("GET", "/api/v1/namespaces/o/pods/p/proxy/a/", ("get", "", "v1", "o", "pods", "proxy", "p", "/a/")),
        ("GET", "/api/v1/nodes/n/proxy/logs", ("get", "", "v1", "", "nodes", "proxy", "n", "/logs")),
        (
            "GET",
            "/apis/discovery.k8s.io/v1/namespaces/o/endpointslices/s",
            ("get", "discovery.k8s.io", "v1", "o", "endpointslices", "", "s", ""),
        ),
    ],
)
def test_resources(method: str, path: str, expected: tuple[str, ...]) -> None:
    verb, group, version, namespace, resource, subresource, name, subpath = expected
    assert parse_request(method, path) == RequestInfo(
        path, verb, True, group, version, namespace, resource, subresource, name, subpath
    )


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/v1", "/api/", "/apis", "/apis/batch", "/apis/batch/v1", "/healthz/x", "//api/v1/pods", "*"],
)
def test_what_is_no_resource(path: str) -> None:
    assert parse_request("GET", path) == RequestInfo(path, "get")


@pytest.mark.parametrize(("path", "verb"), [("/api/v1/pods", "watch"), ("/api/v1/namespaces/o/pods/p", "get"),
                                            ("/api/v1/namespaces/o/pods/p/log", "get")])  # fmt: skip
def test_the_watch_flag(path: str, verb: str) -> None:
    """Upstream's GET of one object does not look at it."""
    assert parse_request("GET", path, watch=True).verb == verb


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/api/v1/watch/namespaces/o/pods/p", "watch"),
        ("GET", "/api/v1/watch/pods", "watch"),
        ("HEAD", "/api/v1/watch/pods", "list"),
        ("POST", "/api/v1/watch/pods", "post"),
        ("OPTIONS", "/api/v1/pods", "options"),
        ("OPTIONS", "/api/v1/namespaces/o/pods/p/proxy/x", "get"),
    ],
)
def test_old_watches_and_methods_without_a_verb(method: str, path: str, verb: str) -> None:
    assert parse_request(method, path).verb == verb
