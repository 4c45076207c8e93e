"""The server's side of TLS: one context for all connections, and a client certificate wherever the client has one."""

from __future__ import annotations

import errno
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# A client that stops in the middle of something is given up after so many seconds.
STALLED = 60.0

log = logging.getLogger(__name__)


class PatientSocket(ssl.SSLSocket):
    """A connection that waits for its client, but not for ever: where gunicorn asks it to block, it gets a time-out.

    So a handshake, a head or a body that stops in the middle ends, and so does a client that does not take what it is
    sent. Neither is news: to gunicorn it looks like a client that has hung up.
    """

    def settimeout(self, value: float | None) -> None:
        super().settimeout(STALLED if value is None else value)

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    def do_handshake(self, block: bool = False) -> None:
        with _hanging_up():
            super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        with _hanging_up():
            return super().recv(buflen, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        with _hanging_up():
            super().sendall(data, flags)


@contextmanager
def _hanging_up() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise ConnectionResetError(errno.ECONNRESET, "the client stalled") from None


class ServerTLS:
    """Makes the SSLContext once, and again when the certificate on disk is another one."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._lock = threading.Lock()
        self._seen = self._times()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """The current context; a renewed certificate that does not load is logged, and the old one stays."""
        times = self._times()
        if times != self._seen:
            with self._lock:
                if times != self._seen:
                    self._seen = times
                    try:
                        self._context = self._load()
                        log.info("read the renewed certificate %s", self._certificate)
                    except (OSError, ssl.SSLError) as error:
                        log.error("keeping the old certificate, %s does not load: %s", self._certificate, error)
        return self._context

    def _times(self) -> tuple[int, ...]:
        files = [file for file in (self._certificate, self._key, self._client_ca) if file is not None]
        try:
            return tuple(file.stat().st_mtime_ns for file in files)
        except FileNotFoundError:
            return self._seen if hasattr(self, "_seen") else ()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = PatientSocket
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context
