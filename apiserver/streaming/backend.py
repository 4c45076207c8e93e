"""Connections to kubelets, and to the servers in pods that the proxy subresources lead to.

To a kubelet the API server shows its own client certificate, and the kubelet must show one of the cluster's CA. The
certificate of a server in a pod is not verified (upstream's proxyTLSClientConfig does not either).

Whoever waits for a backend waits for the client, too: when that closes its end, the wait ends with ClientLeft, and with
it the thread and the connection to the backend.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from email.message import Message
from functools import cached_property
from typing import Any, NamedTuple

from apiserver.config import Config
from apiserver.streaming.targets import ProxyTarget, authority
from machinery.errors import BadRequest, quote

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_HEAD_LIMIT = 65536


class ClientLeft(ConnectionResetError):
    """The client has closed its connection, so nobody waits for the backend any more."""


class BackendSocket:
    """A connection to a backend: as much of a socket as http.client uses.

    Every wait for it ends with ClientLeft when ``client``, the socket of the client if there is one, has closed its
    sending half, as in Go's server. ``sock`` never blocks.
    """

    def __init__(self, sock: socket.socket, client: socket.socket | None = None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._client = client
        self._deadline: float | None = None  # by time.monotonic
        self._is_read_by_file = False

    def expire_after(self, seconds: float | None) -> None:
        """Have all waits from now on end with TimeoutError after so many seconds together; None: never.

        A timeout for each wait would let a backend that sends a byte now and then hold a thread for ever.
        """
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def connect(self, address: tuple[Any, ...]) -> None:
        """Connect to an IP address. Raises OSError."""
        code = self.sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            self._wait(select.POLLOUT)
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def begin_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Perform the handshake. Raises OSError, of which ssl.SSLError is one."""
        tls = context.wrap_socket(self.sock, server_hostname=host, do_handshake_on_connect=False)
        self.sock = tls
        self._until_done(tls.do_handshake, select.POLLIN)

    def recv(self, size: int) -> bytes:
        data: bytes = self._until_done(lambda: self.sock.recv(size), select.POLLIN)
        return data

    def recv_into(self, buffer: Any) -> int:
        count: int = self._until_done(lambda: self.sock.recv_into(buffer), select.POLLIN)
        return count

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._until_done(lambda: self.sock.send(rest), select.POLLOUT) :]  # noqa: B023

    def _until_done(self, call: Callable[[], Any], events: int) -> Any:
        while True:
            try:
                return call()
            except BlockingIOError:
                self._wait(events)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def _wait(self, events: int) -> None:
        poll = select.poll()
        poll.register(self.sock, events)
        if self._client is not None:
            poll.register(self._client, select.POLLRDHUP)
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        ready = dict(poll.poll(None if left is None else left * 1000))
        if not ready:
            raise TimeoutError("timed out")
        if self._client is not None and self._client.fileno() in ready:
            raise ClientLeft(errno.ECONNRESET, "the client has left")

    def makefile(self, mode: str = "rb", buffering: int = -1) -> io.BufferedReader:
        """Return the file that http.client reads a response from. The connection is closed with it."""
        self._is_read_by_file = True
        return io.BufferedReader(_SocketFile(b"", self))

    def close(self) -> None:
        """Close the connection, unless a file is left that reads from it."""
        if not self._is_read_by_file:
            self.sock.close()


class Stream(NamedTuple):
    """A connection on which the head of a response has been read; ``ahead`` is what came with it of the body."""

    code: int
    headers: Message
    backend: BackendSocket
    head: bytes
    ahead: bytes

    @property
    def sock(self) -> socket.socket:
        """The connection's socket, which does not block."""
        return self.backend.sock

    def response(self, method: str) -> http.client.HTTPResponse:
        """Return an ordinary response with a body, for an answer that turned out not to be a stream."""
        replay: Any = _Replay(_SocketFile(self.head + self.ahead, self.backend))
        response = http.client.HTTPResponse(replay, method=method)
        response.begin()
        return response


def open_stream(
    sock: BackendSocket, method: str, target: str, headers: Iterable[tuple[str, str]], *, version: str = "1.1"
) -> Stream:
    """Send a request without a body and read the head of its response; what comes behind it by chance is kept.

    (http.client reads through a buffer, in which the first bytes behind a 101 would be lost.) Raises OSError, and
    BackendError if the response is no HTTP.
    """
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise BackendError("a header of the request has a line break")
    sock.expire_after(_ANSWER_SECONDS)
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(8192)
        if not chunk or len(data) > _HEAD_LIMIT:
            raise BackendError("unexpected EOF")
        data += chunk
    sock.expire_after(None)
    head, separator, ahead = data.partition(b"\r\n\r\n")
    status, _, fields = head.partition(b"\r\n")
    words = status.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise BackendError("malformed HTTP response")
    parsed = http.client.parse_headers(io.BytesIO(fields + separator))
    return Stream(int(words[1]), parsed, sock, head + separator, ahead)


class _Replay(NamedTuple):
    """What http.client takes for a socket."""

    file: _SocketFile

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self.file)


class _SocketFile(io.RawIOBase):
    """A file of bytes that have been read from a connection already, followed by what comes from it."""

    def __init__(self, data: bytes, backend: BackendSocket) -> None:
        self._data = memoryview(data)
        self._backend = backend

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._data:
            return self._backend.recv_into(buffer)
        taken = min(len(buffer), len(self._data))
        buffer[:taken], self._data = self._data[:taken], self._data[taken:]
        return taken

    def close(self) -> None:
        self._backend.sock.close()
        super().close()


class Dialer:
    """Opens connections; raises BackendError if that fails. TLS contexts are made when needed, after the fork."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def kubelet(
        self, target: ProxyTarget, client: socket.socket | None = None, timeout: float = _CONNECT_SECONDS
    ) -> BackendSocket:
        """Connect to a kubelet within ``timeout`` seconds, on behalf of a client.

        Raises BadRequest if it has to prove who it is and does not. Whether something else listens there, nobody is
        told.
        """
        if not target.user:
            return self._open(target, self._kubelet_tls, client, timeout)
        refused = BadRequest("address not allowed")
        if self._kubelet_tls.verify_mode != ssl.CERT_REQUIRED:
            raise refused
        try:
            connection = self._open(target, self._kubelet_tls, client, timeout)
        except BackendError:
            raise refused from None
        if _names_of(connection.sock) != [target.user]:
            connection.close()
            raise refused
        return connection

    def server(self, target: ProxyTarget, client: socket.socket | None = None) -> BackendSocket:
        """Connect to a server in a pod or on a node, on behalf of a client."""
        return self._open(target, self._any_tls if target.scheme == "https" else None, client, _CONNECT_SECONDS)

    def _open(
        self, target: ProxyTarget, tls: ssl.SSLContext | None, client: socket.socket | None, timeout: float
    ) -> BackendSocket:
        # The address is no name: what was checked is what is connected to.
        family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
        connection = BackendSocket(socket.socket(family, socket.SOCK_STREAM), client)
        connection.expire_after(timeout)
        try:
            connection.connect((target.host, target.port))
            if tls is not None:
                connection.begin_tls(tls, target.host)
        except ClientLeft:
            connection.close()
            raise
        except OSError as error:
            connection.close()
            raise BackendError(f"dial tcp {authority(target)}: {dial_error_text(error)}") from error
        connection.expire_after(None)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    @cached_property
    def _kubelet_tls(self) -> ssl.SSLContext:
        config = self._config
        context = _unverified()  # upstream, too, trusts any kubelet if --kubelet-certificate-authority is not given
        if config.kubelet_certificate_authority:
            context = _client_tls()
            context.load_verify_locations(config.kubelet_certificate_authority)
        if config.kubelet_client_certificate and config.kubelet_client_key:
            context.load_cert_chain(config.kubelet_client_certificate, config.kubelet_client_key)
        return context

    @cached_property
    def _any_tls(self) -> ssl.SSLContext:
        return _unverified()


def _unverified() -> ssl.SSLContext:
    """Return a context that takes any certificate of the server."""
    context = _client_tls()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _client_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A backend that has closed its sending half without TLS's goodbye still gets what is sent to it.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
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
