"""The proxy subresources: HTTP to a pod, to one of a Service's pods, or to a node's kubelet, under a path of the API.

The request is repeated with its method, body and most headers, but without the credentials, which are for the API. The
response is streamed. Redirects and links in HTML that lead to the server's own root are rewritten to stay below the
proxy's path.
Upstream: apimachinery/pkg/util/proxy (UpgradeAwareHandler, Transport).
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from flask import Response

from apiserver.config import Config
from apiserver.kinds.endpoints import ENDPOINTS
from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.subresources import CONNECT, body
from apiserver.model.kind import Subresource
from apiserver.registry.call import Call
from apiserver.registry.reader import require_object
from apiserver.registry.rest import Rest
from apiserver.streaming.backend import BackendError, BackendSocket, Dialer, response_error_text
from apiserver.streaming.html import LIMIT, Rewriter, is_page
from apiserver.streaming.targets import (
    ProxyTarget,
    kubelet_of,
    node_target,
    pod_target,
    service_target,
    split_scheme_name_port,
)
from apiserver.streaming.upgrade import HOP_BY_HOP, client_of, connection_options, proxied, upgrade
from machinery.errors import ServiceUnavailable

_CHUNK = 65536
# A pod must not decide which web pages may read responses of the API server (upstream: corsRemovingTransport).
_CORS = tuple(f"Access-Control-Allow-{name}" for name in ("Credentials", "Headers", "Methods", "Origin"))
# The client's credentials are for the API server, not for a pod.
_NOT_FORWARDED = HOP_BY_HOP | {"authorization", "content-length", "content-type", "expect"}


class Proxy:
    """The handlers, one for each kind that has the subresource."""

    def __init__(self, dialer: Dialer, rest: Rest) -> None:
        self._dialer = dialer
        self._rest = rest

    def pod(self, call: Call) -> Response:
        """Serve ``pods/[scheme:]name[:port]/proxy``."""
        scheme, name, port = split_scheme_name_port(call.name, "pod")
        pod = require_object(self._rest.reader, PODS, call.namespace, name)
        return self._forward(call, pod_target(pod, scheme, port), name)

    def service(self, call: Call) -> Response:
        """Serve ``services/[scheme:]name[:port]/proxy``."""
        scheme, name, port = split_scheme_name_port(call.name, "service")
        service = require_object(self._rest.reader, call.kind, call.namespace, name)
        reader = self._rest.reader
        endpoints = reader.get(ENDPOINTS, call.namespace, name, consistent=True)
        target = service_target(service, endpoints, scheme, port, lambda pod: reader.get(PODS, call.namespace, pod))
        return self._forward(call, target, name)

    def node(self, call: Call) -> Response:
        """Serve ``nodes/[scheme:]name[:port]/proxy``: the kubelet, unless another port is asked for."""
        scheme, name, port = split_scheme_name_port(call.name, "node")
        node = require_object(self._rest.reader, NODES, "", name)
        other = node_target(node, scheme, port)
        return self._forward(call, other or kubelet_of(node), name, kubelet=other is None)

    def _forward(self, call: Call, target: ProxyTarget, name: str, *, kubelet: bool = False) -> Response:
        environ = call.environ
        self._rest.admit("CONNECT", replace(call.write, name=name), None)
        prefix, rest = split_path(environ, namespaced=call.kind.namespaced)
        upgrades = environ.get("HTTP_UPGRADE") and "upgrade" in environ.get("HTTP_CONNECTION", "").lower()
        if not rest and not upgrades and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return _add_slash(environ, prefix)
        query = environ.get("QUERY_STRING", "")
        path = (rest or "/") + (f"?{query}" if query else "")
        try:
            dial = self._dialer.kubelet if kubelet else self._dialer.server
            backend = dial(target, client_of(environ))
            if upgrades:
                return upgrade(environ, backend, path, forwarded_headers(environ, prefix, rest))
            response = _exchange(backend, environ, path, prefix, rest)
            try:
                return _rewritten(response, Rewriter(prefix, target, environ.get("HTTP_HOST", "")))
            except BaseException:
                response.close()
                raise
        except (BackendError, OSError, http.client.HTTPException) as error:
            raise ServiceUnavailable(f"error trying to reach service: {response_error_text(error)}") from error


def split_path(environ: dict[str, Any], *, namespaced: bool) -> tuple[str, str]:
    """Split the request's path behind ``/proxy``. Both parts are escaped exactly as the client sent them."""
    path = str(environ.get("RAW_URI", "")).partition("?")[0]
    if not path.startswith("/"):
        path = quote(environ["PATH_INFO"].encode("latin-1"), safe="/:@!$&'()*+,;=~-._")
    # /api/v1/namespaces/NS/pods/NAME/proxy or /api/v1/nodes/NAME/proxy
    words = 8 if namespaced else 6
    parts = path.split("/", words)
    return "/".join(parts[:words]), "".join("/" + rest for rest in parts[words:])


def _exchange(
    backend: BackendSocket, environ: dict[str, Any], path: str, prefix: str, rest: str
) -> http.client.HTTPResponse:
    """Send the request, its body as it arrives, and read the head of the response. Closes ``backend`` if that fails."""
    connection = http.client.HTTPConnection("")
    connection.sock = backend
    try:
        connection.putrequest(environ["REQUEST_METHOD"], path, skip_host=True, skip_accept_encoding=True)
        for name, value in forwarded_headers(environ, prefix, rest):
            connection.putheader(name, value)
        length, chunked = environ.get("CONTENT_LENGTH", ""), "HTTP_TRANSFER_ENCODING" in environ
        if environ.get("CONTENT_TYPE"):
            connection.putheader("Content-Type", environ["CONTENT_TYPE"])
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif length:
            connection.putheader("Content-Length", length)
        connection.putheader("Connection", "close")
        connection.endheaders()
        if chunked or length not in ("", "0"):
            _send_body(connection, environ["wsgi.input"], chunked=chunked)
        return connection.getresponse()
    except BaseException:
        backend.close()
        raise


def _send_body(connection: http.client.HTTPConnection, body: Any, *, chunked: bool) -> None:
    while data := body.read1(_CHUNK):
        try:
            connection.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        except (BrokenPipeError, ConnectionResetError):
            return  # it wants no more of it: its response says why
    if chunked:
        connection.send(b"0\r\n\r\n")


def forwarded_headers(environ: dict[str, Any], prefix: str, rest: str) -> Iterator[tuple[str, str]]:
    """Yield the client's headers that are passed on, and X-Forwarded headers that say who asked for what."""
    hops = connection_options([environ.get("HTTP_CONNECTION", "")]) - {"host"}
    for key, value in environ.items():
        name = key[len("HTTP_") :].replace("_", "-").lower()
        if key.startswith("HTTP_") and name not in _NOT_FORWARDED | hops and not name.startswith(_ABOUT_CLIENT):
            yield name.title(), value
    yield "X-Forwarded-Uri", prefix + (rest or "/")
    yield "X-Forwarded-Host", environ.get("HTTP_HOST", "")
    yield "X-Forwarded-Proto", environ.get("wsgi.url_scheme", "https")
    earlier = environ.get("HTTP_X_FORWARDED_FOR")
    client = environ.get("REMOTE_ADDR", "")
    yield "X-Forwarded-For", f"{earlier}, {client}" if earlier else client


# Headers that begin so are not passed on: impersonation, what a front proxy vouches for, and what is written here.
_ABOUT_CLIENT = ("impersonate-", "x-remote-", "x-forwarded-", "x-stream-protocol-version", "sec-websocket-", "origin")


def _rewritten(response: http.client.HTTPResponse, rewriter: Rewriter) -> Response:
    encoding = response.headers.get("Content-Encoding", "")
    head = response.read(LIMIT + 1) if is_page(response.headers.get("Content-Type", ""), encoding) else b""
    if head and len(head) <= LIMIT:
        answer = proxied(response, rewriter.page(head, encoding))
    else:
        answer = proxied(response, ahead=head)
    if "Location" in answer.headers:
        answer.headers["Location"] = rewriter.location(answer.headers["Location"])
    for name in _CORS:
        answer.headers.pop(name, None)
    return answer


def _add_slash(environ: dict[str, Any], prefix: str) -> Response:
    """Redirect to the path with a slash at its end, without which relative links would lead elsewhere."""
    query = environ.get("QUERY_STRING", "")
    return Response(b"", 301, {"Location": f"{prefix}/" + (f"?{query}" if query else "")})


def _row(options: str, method: Callable[[Proxy, Call], Response]) -> tuple[Subresource]:
    def handler(config: Config, rest: Rest) -> Callable[[Call], Response]:
        return partial(method, Proxy(Dialer(config), rest))

    return (Subresource("proxy", CONNECT, *body("", options), handler=handler, subpaths=True),)


# Resource → its subresource ``proxy``.
SUBRESOURCES: Mapping[str, tuple[Subresource, ...]] = {
    "pods": _row("PodProxyOptions", Proxy.pod),
    "services": _row("ServiceProxyOptions", Proxy.service),
    "nodes": _row("NodeProxyOptions", Proxy.node),
}
