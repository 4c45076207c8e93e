"""Connections to kubelets, and to the servers in pods that the proxy subresources lead to.

To a kubelet the API server shows its own client certificate, and the kubelet must show one of the cluster's CA. The
certificate of a server in a pod is not verified (upstream's proxyTLSClientConfig does not either).
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Iterable
from email.message import Message
from functools import cached_property
from typing import Any, NamedTuple

from apiserver.config import Config
from apiserver.streaming.targets import ProxyTarget
from machinery.errors import BadRequest, quote

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_HEAD_LIMIT = 65536


class Stream(NamedTuple):
    """A connection on which the head of a response has been read; ``ahead`` is what came with it of the body."""

    code: int
    headers: Message
    sock: socket.socket
    head: bytes
    ahead: bytes

    def response(self, method: str) -> http.client.HTTPResponse:
        """Return an ordinary response with a body, for an answer that turned out not to be a stream."""
        replay: Any = _Replay(self.head + self.ahead, self.sock)
        response = http.client.HTTPResponse(replay, method=method)
        response.begin()
        return response


def open_stream(
    sock: socket.socket, method: str, target: str, headers: Iterable[tuple[str, str]], *, version: str = "1.1"
) -> Stream:
    """Send a request without a body and read the head of its response; what comes behind it by chance is kept.

    (http.client reads through a buffer, in which the first bytes behind a 101 would be lost.) Raises OSError, and
    BackendError if the response is no HTTP.
    """
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise BackendError("a header of the request has a line break")
    sock.settimeout(_ANSWER_SECONDS)
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(8192)
        if not chunk or len(data) > _HEAD_LIMIT:
            raise BackendError("unexpected EOF")
        data += chunk
    sock.settimeout(None)
    head, separator, ahead = data.partition(b"\r\n\r\n")
    status, _, fields = head.partition(b"\r\n")
    words = status.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise BackendError("malformed HTTP response")
    parsed = http.client.parse_headers(io.BytesIO(fields + separator))
    return Stream(int(words[1]), parsed, sock, head + separator, ahead)


class _Replay(io.RawIOBase):
    """A file of bytes that have been read from a socket already, followed by the rest from the socket."""

    def __init__(self, data: bytes, sock: socket.socket) -> None:
        self._data = memoryview(data)
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._data:
            return self._sock.recv_into(buffer)
        taken = min(len(buffer), len(self._data))
        buffer[:taken], self._data = self._data[:taken], self._data[taken:]
        return taken

    def close(self) -> None:
        self._sock.close()
        super().close()


class Dialer:
    """Opens connections; raises BackendError if that fails. TLS contexts are made when needed, after the fork."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def kubelet(self, target: ProxyTarget, timeout: float = _CONNECT_SECONDS) -> http.client.HTTPConnection:
        """Connect to a kubelet within ``timeout`` seconds.

        Raises BadRequest if it has to prove who it is and does not. Whether something else listens there, nobody is
        told.
        """
        if not target.user:
            return self._open(target, self._kubelet_tls, timeout)
        refused = BadRequest("address not allowed")
        if self._kubelet_tls.verify_mode != ssl.CERT_REQUIRED:
            raise refused
        try:
            connection = self._open(target, self._kubelet_tls, timeout)
        except BackendError:
            raise refused from None
        if _names_of(connection.sock) != [target.user]:
            connection.close()
            raise refused
        return connection

    def server(self, target: ProxyTarget) -> http.client.HTTPConnection:
        """Connect to a server in a pod or on a node."""
        return self._open(target, self._any_tls if target.scheme == "https" else None)

    def _open(
        self, target: ProxyTarget, tls: ssl.SSLContext | None, timeout: float = _CONNECT_SECONDS
    ) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if tls is None:
            connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout)
        else:
            connection = http.client.HTTPSConnection(target.host, target.port, timeout=timeout, context=tls)
        try:
            connection.connect()
        except OSError as error:
            raise BackendError(f"dial tcp {target.host}:{target.port}: {dial_error_text(error)}") from error
        connection.sock.settimeout(None)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    @cached_property
    def _kubelet_tls(self) -> ssl.SSLContext:
        config = self._config
        context = _unverified()  # upstream, too, trusts any kubelet if --kubelet-certificate-authority is not given
        if config.kubelet_certificate_authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(config.kubelet_certificate_authority)
        if config.kubelet_client_certificate and config.kubelet_client_key:
            context.load_cert_chain(config.kubelet_client_certificate, config.kubelet_client_key)
        return context

    @cached_property
    def _any_tls(self) -> ssl.SSLContext:
        return _unverified()


def _unverified() -> ssl.SSLContext:
    """Return a context that takes any certificate of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _names_of(sock: Any) -> list[str]:
    """Return the common names in the certificate that a server has shown, and that was verified."""
    certificate = sock.getpeercert()
    return [value for part in certificate["subject"] for key, value in part if key == "commonName"]


class BackendError(Exception):
    """No connection, or no HTTP on it. The message is worded as Go's, since clients know those."""


def response_error_text(error: Exception) -> str:
    """Return why there was no response, as Go words it."""
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
        return "EOF"
    if isinstance(error, http.client.BadStatusLine):
        return f"malformed HTTP response {quote(str(error).rstrip())}"
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    return str(error)


def dial_error_text(error: OSError) -> str:
    """Return why there is no connection, as Go words it."""
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    return f"connect: {(error.strerror or str(error)).lower()}"
