"""The server's side of TLS. A client is asked for a certificate, but may have none."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path

from apiserver.serving.sockets import TLSSocket

log = logging.getLogger(__name__)


class ServerTLS:
    """The SSLContext for all connections, made again when one of its files changes."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._lock = threading.Lock()
        self._seen = self._times()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return the current context. A renewed certificate that does not load is logged, and the old one stays."""
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
        context.sslsocket_class = TLSSocket
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A client that has closed its sending half without TLS's goodbye still gets what is sent to it.
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        context.set_alpn_protocols(["http/1.1"])  # HTTP/2 is not offered: a thread serves one request of a connection
        context.load_cert_chain(self._certificate, self._key)
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context
