"""The API client of every component: one method for each verb, JSON only, errors raised as ``machinery.errors``.

One client serves all threads. Its connections are kept open and shared; up to 16 idle ones are kept.

Timeouts: a connection must be made within CONNECT_TIMEOUT and must not be silent for READ_TIMEOUT (a watch: for
its ``timeout`` and WATCH_GRACE); otherwise Timeout is raised.

Retries: a GET is sent once more when its connection breaks, since the server may have closed an idle one just then.
A write is never repeated, because its caller could not know whether the first attempt took effect; ServiceUnavailable
is raised, and the reconciler looks again. Retries after an answer (409, 429, 5xx) are the caller's business
(``controller.py``).

Streams: ``watch`` reads from a connection of its own and yields each event as soon as its line is complete. Setting
``stop`` ends it at once, from any thread, by shutting down the socket; the reader may be blocked in it.

Requests go to the transport adapter of the library requests directly: its Session looks up proxies, netrc and cookies
for each call, which costs more than the call itself.
"""

from __future__ import annotations

import copy
import logging
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import urlencode, urlsplit

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from machinery import errors, kubeconfig
from machinery.digits import is_number
from machinery.kubeconfig import ClientConfig
from machinery.metrics import METRICS
from machinery.objects import Object
from machinery.resources import Resource
from machinery.stopping import call_on

log = logging.getLogger(__name__)

# Seconds.
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
# The server ends a watch after timeoutSeconds. If it has not done so this much later, it is dead.
WATCH_GRACE = 30.0

PatchType = Literal["merge", "strategic", "json"]
_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


REQUESTS = METRICS.counter(
    "rest_client_requests_total", "[ALPHA] Requests to the API server, by its answer.", ("code", "method", "host")
)
DURATIONS = METRICS.histogram(
    "rest_client_request_duration_seconds",
    "[ALPHA] How long the API server took to answer; for watches, to begin to.",
    ("verb", "host"),
    (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60),
)

# All that a broken connection raises. While a body is streamed, requests does not translate errors of the layers below.
_WOULD_WAIT = (BlockingIOError, ssl.SSLWantReadError)
_TRANSPORT_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class WatchEvent(NamedTuple):
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK. A bookmark's object has nothing but a resourceVersion."""

    type: str
    object: Object


class TokenSource(Protocol):
    """Provides bearer tokens that expire and are renewed."""

    def get(self) -> str:
        """Return a token that is valid now; raise ApiError if there is none to be had."""

    def reject(self, token: str) -> None:
        """Note that the server has refused this token, so that ``get`` returns another."""


class Client:
    """Talks to one API server as one user; see the file's docstring for timeouts, retries and streams."""

    def __init__(self, config: ClientConfig, *, user_agent: str = "mini-minishift") -> None:
        self.server = config.server
        self.namespace = config.namespace
        self._host = urlsplit(config.server).netloc
        self._verify = not config.insecure_skip_tls_verify
        self._transport = _Transport(config)
        self._headers = {
            "User-Agent": user_agent,
            "Accept-Encoding": "identity",
            "Connection": "keep-alive",
        }
        if config.token:
            self._headers["Authorization"] = f"Bearer {config.token}"
        self._tokens: TokenSource | None = None
        self._on_forbidden: Callable[[errors.Forbidden], None] | None = None

    @classmethod
    def from_kubeconfig(cls, path: str | Path, *, context: str = "", user_agent: str = "mini-minishift") -> Client:
        """Return a client for the current (or the named) context of a kubeconfig. Raises KubeconfigError."""
        return cls(kubeconfig.client_config(path, context), user_agent=user_agent)

    def under(self, tokens: TokenSource, on_forbidden: Callable[[errors.Forbidden], None] | None = None) -> Client:
        """Return a client with the same connections and another identity; ``on_forbidden`` is told of every 403.

        The connections must not have an identity of their own (a client certificate).
        """
        other = copy.copy(self)
        other._tokens = tokens
        other._on_forbidden = on_forbidden
        return other

    # Verbs

    def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return self.request("GET", resource.path(namespace, name, subresource))

    def find(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object | None:
        """Return an object, None if there is none."""
        try:
            return self.get(resource, name, namespace, subresource=subresource)
        except errors.NotFound:
            return None

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> Object:
        """Return the List object. Its items are given kind and apiVersion, which servers leave out."""
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit or ""),
            "continue": continue_,
            "resourceVersion": resource_version,
        }
        result = self.request("GET", resource.path(namespace), query)
        items = result.get("items") or []
        for item in items:
            item.setdefault("kind", resource.kind)
            item.setdefault("apiVersion", resource.api_version)
        result["items"] = items
        return result

    def create(self, resource: Resource, obj: Object, namespace: str = "") -> Object:
        """Create an object, in the namespace that it names unless another is given. Raises AlreadyExists."""
        namespace = namespace or obj.get("metadata", {}).get("namespace", "")
        return self.request("POST", resource.path(namespace), body=obj)

    def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace an object, or a subresource (``status``). Raises Conflict if it has changed since it was read."""
        meta = obj["metadata"]
        return self.request("PUT", resource.path(meta.get("namespace", ""), meta["name"], subresource), body=obj)

    def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        body: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        path = resource.path(namespace, name, subresource)
        return self.request("PATCH", path, body=body, content_type=_PATCH_TYPES[type])

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period: int | None = None,
        propagation: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """Delete an object. With a uid or resourceVersion it must still be that one; otherwise Conflict is raised."""
        options = _delete_options(grace_period, propagation, uid, resource_version)
        return self.request("DELETE", resource.path(namespace, name), body=options)

    def delete_collection(self, resource: Resource, namespace: str = "", *, propagation: str | None = None) -> Object:
        """Delete all objects of a kind, or those in one namespace."""
        return self.request("DELETE", resource.path(namespace), body=_delete_options(None, propagation, None, None))

    def create_subresource(
        self, resource: Resource, name: str, namespace: str, subresource: str, body: Object
    ) -> Object:
        """Post to a subresource of an object: ``binding``, ``token``, ``eviction``."""
        return self.request("POST", resource.path(namespace, name, subresource), body=body)

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout: int | None = None,
        stop: threading.Event | None = None,
        bookmarks: bool = True,
    ) -> Iterator[WatchEvent]:
        """Yield the changes after ``resource_version`` until the server ends the watch or ``stop`` is set.

        ``timeout`` is in seconds: after it the server ends the watch. Raises Gone if the server no longer has the
        changes since that version, ServiceUnavailable or Timeout when the connection breaks.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true" if bookmarks else "",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": str(timeout or ""),
        }
        read_timeout = timeout + WATCH_GRACE if timeout else None
        response = self._send("GET", resource.path(namespace), query, stream=True, read_timeout=read_timeout)
        cancel = call_on(stop, lambda: _shut_down(response)) if stop else lambda: None
        try:
            for line in _lines(response):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise errors.ApiError.from_status(event["object"])
                yield WatchEvent(event["type"], event["object"])
        except _TRANSPORT_ERRORS as error:
            if stop is None or not stop.is_set():
                raise self._unreachable(error) from error
        finally:
            cancel()
            response.close()

    def open_watch(self, resource: Resource, *, resource_version: str, timeout: int) -> WatchConnection:
        """Begin a watch, with bookmarks, that is read without waiting; the server ends it after so many seconds."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout),
        }
        return WatchConnection(self._send("GET", resource.path(), query, stream=True), self._unreachable)

    def raw(self, path: str, *, method: str = "GET", body: Any = None) -> bytes:
        """Send a request to any path, e.g. ``/healthz``, and return the body of its answer."""
        return self._send(method, path, {}, body).content

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """Send a request to any path and return its JSON answer."""
        answer = self._send(method, path, query or {}, body, content_type, accept=accept).content
        result: Object = orjson.loads(answer)
        return result

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    # Transport

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any = None,
        content_type: str = "application/json",
        *,
        accept: str = "application/json",
        stream: bool = False,
        read_timeout: float | None = READ_TIMEOUT,
    ) -> requests.Response:
        given = {name: value for name, value in query.items() if value}
        request = requests.PreparedRequest()
        request.method = method
        request.url = f"{self.server}{path}?{urlencode(given)}" if given else self.server + path
        request.headers = CaseInsensitiveDict(self._headers)
        request.headers["Accept"] = accept
        request.hooks = {}
        token = self._tokens.get() if self._tokens else ""
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            request.body = orjson.dumps(body)
            request.headers["Content-Type"] = content_type
            request.headers["Content-Length"] = str(len(request.body))
        timeout: Any = (CONNECT_TIMEOUT, read_timeout)  # The type stubs do not know that either may be None.
        attempts = 2 if method == "GET" else 1
        for attempt in range(attempts):
            since, code = time.perf_counter(), "<error>"
            try:
                response = self._transport.send(request, stream=True, timeout=timeout, verify=self._verify)
                if not stream or response.status_code >= 400:
                    response.content  # noqa: B018 - this reads the body, after which the connection can be used again
                code = str(response.status_code)
                break
            except _TRANSPORT_ERRORS as error:
                if attempt == attempts - 1 or isinstance(error, requests.Timeout):
                    raise self._unreachable(error) from error
            finally:
                REQUESTS.add((code, method, self._host))
                DURATIONS.observe(time.perf_counter() - since, (method, self._host))
        if response.status_code == HTTPStatus.UNAUTHORIZED and self._tokens:
            self._tokens.reject(token)
        if response.status_code >= 400:
            refusal = _error_of(response)
            if isinstance(refusal, errors.Forbidden) and self._on_forbidden:
                self._on_forbidden(refusal)
            raise refusal
        return response

    def _unreachable(self, error: BaseException) -> errors.ApiError:
        if isinstance(error, requests.Timeout):
            return errors.Timeout(f"the API server at {self.server} did not answer in time: {_root(error)}")
        return errors.ServiceUnavailable(f"cannot reach the API server at {self.server}: {_root(error)}")


class WatchConnection:
    """An open watch, of which ``take`` returns what has arrived. Its descriptor is readable when there is more."""

    def __init__(self, response: requests.Response, unreachable: Callable[[BaseException], errors.ApiError]) -> None:
        raw: Any = response.raw
        self.ended = False
        self._response = response
        self._unreachable = unreachable
        self._is_chunked = bool(raw.chunked)
        self._socket = raw.connection.sock
        self._socket.setblocking(False)
        self._line = b""
        try:
            self._arrived: bytes = raw._fp.fp.peek()  # what came with the head, and is in the buffer of its reader
        except _WOULD_WAIT:
            self._arrived = b""

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def take(self) -> Iterator[WatchEvent]:
        """Yield the events that have arrived. Raises the error that the server sends, or ServiceUnavailable."""
        parts = [self._arrived]
        try:
            while part := self._socket.recv(65536):
                parts.append(part)
            self.ended = True
        except _WOULD_WAIT:
            pass
        except _TRANSPORT_ERRORS as error:
            raise self._unreachable(error) from error
        content, self._arrived = b"".join(parts), b""
        if self._is_chunked:
            content, self._arrived, complete = _dechunked(content)
            self.ended = self.ended or complete
        *lines, self._line = (self._line + content).split(b"\n")
        for line in lines:
            if line.strip():
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise errors.ApiError.from_status(event["object"])
                yield WatchEvent(event["type"], event["object"])

    def close(self) -> None:
        self._response.close()


def _dechunked(stream: bytes) -> tuple[bytes, bytes, bool]:
    """Return the content of the complete chunks, what follows them, and whether the last chunk was among them."""
    parts: list[bytes] = []
    at = 0
    while (end := stream.find(b"\r\n", at)) >= 0:
        size = int(stream[at:end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts), b"", True
        if len(stream) < end + size + 4:
            break
        parts.append(stream[end + 2 : end + 2 + size])
        at = end + size + 4
    return b"".join(parts), stream[at:], False


class _Transport(HTTPAdapter):
    """The transport adapter of requests, with one TLS context made from the kubeconfig's data."""

    def __init__(self, config: ClientConfig) -> None:
        self._context = _tls_context(config) if config.server.startswith("https:") else None
        self._tls_server_name = config.tls_server_name
        # Only idle connections count; those of watches are in use and not in the pool.
        super().__init__(pool_connections=1, pool_maxsize=16)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        if self._tls_server_name:
            kwargs["server_hostname"] = self._tls_server_name
        super().init_poolmanager(*args, **kwargs)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the TLS context verifies the server. requests would load its bundle of public authorities."""


def _tls_context(config: ClientConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if config.certificate_authority:
        context.load_verify_locations(cadata=config.certificate_authority.decode())
    else:
        context.load_default_certs()
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_certificate:
        # OpenSSL reads certificate and key from files only. The folder has mode 0700.
        with tempfile.TemporaryDirectory(prefix="mini-minishift-") as folder:
            pair = Path(folder, "pair.pem")
            descriptor = os.open(pair, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(config.client_certificate + b"\n" + config.client_key)
            context.load_cert_chain(pair)
    return context


def _lines(response: requests.Response) -> Iterator[bytes]:
    """Yield the lines of a stream, each as soon as it is complete."""
    rest = b""
    for chunk in _chunks(response):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line


def _chunks(response: requests.Response) -> Iterator[bytes]:
    raw = response.raw
    if raw.chunked:
        yield from raw.stream(None)
    else:
        while chunk := raw.read1(65536):
            yield chunk


def _shut_down(response: requests.Response) -> None:
    """End a stream from another thread than its reader's."""
    try:
        response.raw.shutdown()
    except ValueError:
        log.debug("a stream had ended before it was stopped")


def _error_of(response: requests.Response) -> errors.ApiError:
    try:
        status = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = response.text.strip() or response.reason or "an error without a text"
        status = {"message": text, "code": response.status_code}
    if is_number(after := response.headers.get("Retry-After", "")):
        status.setdefault("details", {}).setdefault("retryAfterSeconds", int(after))
    return errors.ApiError.from_status(status)


def _delete_options(
    grace_period: int | None, propagation: str | None, uid: str | None, resource_version: str | None
) -> Object | None:
    options: Object = {}
    if grace_period is not None:
        options["gracePeriodSeconds"] = grace_period
    if propagation:
        options["propagationPolicy"] = propagation
    conditions = {"uid": uid, "resourceVersion": resource_version}
    if preconditions := {name: value for name, value in conditions.items() if value}:
        options["preconditions"] = preconditions
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None


def _root(error: BaseException) -> str:
    """Return the text of the innermost cause, e.g. ``Connection refused``, without those wrapped around it."""
    while True:
        causes = (getattr(error, "reason", None), *error.args, error.__cause__)
        inner = next((cause for cause in causes if isinstance(cause, BaseException)), None)
        if inner is None:
            return str(error) or type(error).__name__
        error = inner
