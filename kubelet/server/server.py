"""The kubelet's HTTPS listener: a thread per connection, mutual TLS, prompt shutdown.

The listening thread only accepts. The TLS handshake runs in the connection's own thread and within a time limit, so a
client that connects and says nothing costs a thread for ten seconds and disturbs nobody. When there are too many
connections, a new one takes the place of the one on which nothing has moved for longest: one without a request if there
is any, so that neither silent clients nor forgotten streams lock others out.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from kubelet.server.connection import Connection
from kubelet.server.handler import KubeletApi, RequestHandler

_LOG = logging.getLogger(__name__)
_HANDSHAKE_SECONDS = 10.0
_MAX_CONNECTIONS = 1000
_STOP_SECONDS = 2.0


def server_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """Return the TLS settings: a client certificate of the cluster's CA, or none, because a token does as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that has closed its sending half without TLS's goodbye still gets what is sent to it.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class KubeletServer:
    """Serves a KubeletApi on some addresses: ``start``, then ``stop``. Port 0 takes a free one, see ``addresses``."""

    def __init__(self, api: KubeletApi, context: ssl.SSLContext, addresses: Sequence[tuple[str, int]]) -> None:
        self.api = api
        self._context = context
        self._stopping = False
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._listeners = [_listen(address) for address in addresses]
        self._acceptors: list[threading.Thread] = []

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Return the addresses and ports on which the server listens."""
        return [listener.getsockname()[:2] for listener in self._listeners]

    def start(self) -> None:
        """Begin to accept connections."""
        for listener in self._listeners:
            thread = threading.Thread(target=self._accept, args=(listener,), name="kubelet-server", daemon=True)
            thread.start()
            self._acceptors.append(thread)

    def stop(self) -> None:
        """Close the listeners, abort every connection and wait a moment for their threads."""
        with self._lock:
            self._stopping = True
            connections = dict(self._connections)
        for listener in self._listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            except OSError:
                _LOG.debug("listener was closed already")
            listener.close()
        for connection in connections:
            connection.abort()
        for thread in [*self._acceptors, *connections.values()]:
            thread.join(_STOP_SECONDS)

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping:
            try:
                sock, address = listener.accept()
            except ConnectionError:
                continue  # the client left the queue
            except OSError as error:
                if not self._stopping:
                    _LOG.error("the kubelet's server cannot accept any more: %s", error)
                return
            self._begin(sock, address)

    def _begin(self, sock: socket.socket, address: Any) -> None:
        connection = Connection(sock, self._context)
        thread = threading.Thread(target=self._serve, args=(connection, address), name="kubelet-request", daemon=True)
        with self._lock:
            if self._stopping:
                sock.close()
                return
            if len(self._connections) >= _MAX_CONNECTIONS:
                longest_silent = min(self._connections, key=lambda one: (one.in_request, one.last_moved))
                del self._connections[longest_silent]
                longest_silent.abort()
            self._connections[connection] = thread
        thread.start()

    def _serve(self, connection: Connection, address: Any) -> None:
        try:
            connection.handshake(_HANDSHAKE_SECONDS)
            RequestHandler(cast(Any, connection), address, cast(Any, self.api))
        except OSError as error:  # ssl.SSLError, TimeoutError and broken connections are OSErrors too
            _LOG.debug("connection from %s: %s", address[0], error)
        except Exception:
            _LOG.exception("request from %s failed", address[0])
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()


def _listen(address: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(
            address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET, backlog=128
        )
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise OSError(error.errno, f"cannot listen on {address[0]}:{address[1]}: {reason}") from error
