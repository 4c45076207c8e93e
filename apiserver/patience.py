"""Connections that wait for their client, but not for ever.

Each single wait ends after a while. And what a client has to say, the handshake and head of a request or its body, must
be said in a time, however often a byte of it comes: a client that says it drop by drop would hold a thread for good.
None of it is news: to gunicorn it looks like a client that has hung up.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gunicorn.http import get_parser
from gunicorn.sock import ssl_wrap_socket
from gunicorn.workers.gthread import TConn

# Seconds for one wait; for a handshake with the head of its request; and for that when many are slow.
STALLED = 60.0
HEAD = 10.0
HURRIED = 1.0

if TYPE_CHECKING:
    _Base = socket.socket
else:
    _Base = object


class Patient(_Base):
    """What both kinds of socket have in common; where gunicorn asks it to block, it gets a time-out."""

    _deadline: float | None = None

    def expect(self, seconds: float | None) -> None:
        """What is read from now on must have come in so many seconds; None: whenever it likes."""
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.settimeout(None)

    def settimeout(self, value: float | None) -> None:
        super().settimeout(STALLED if value is None else value)

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        with _hanging_up():
            self._wait_no_longer()
            return super().recv(buflen, flags)

    def _wait_no_longer(self) -> None:
        """Cuts the next wait to what is left of the time."""
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.settimeout(left)

    def sendall(self, data: Any, flags: int = 0) -> None:
        with _hanging_up():
            super().sendall(data, flags)


class PlainSocket(Patient, socket.socket):
    """A connection without TLS."""

    @classmethod
    def of(cls, accepted: socket.socket) -> PlainSocket:
        """Takes over a socket that has just been accepted."""
        return cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())


class TLSSocket(Patient, ssl.SSLSocket):
    """One with TLS."""

    def do_handshake(self, block: bool = False) -> None:
        with _hanging_up():
            self._wait_no_longer()
            super().do_handshake(block)


class Connection(TConn):  # type: ignore[misc]
    """Its first use begins TLS, where there is any; each use is the beginning of a request."""

    sock: Any
    initialized: bool
    hurry = False  # many others are slow

    def __init__(self, config: Any, accepted: socket.socket, client: Any, server: Any) -> None:
        super().__init__(config, accepted if config.is_ssl else PlainSocket.of(accepted), client, server)

    def init(self) -> None:
        if not self.initialized:
            self.initialized = True
            if self.cfg.is_ssl:
                self.sock = ssl_wrap_socket(self.sock, self.cfg)
            self._expect_head()
            if self.cfg.is_ssl:
                self.sock.do_handshake()
            self.parser = get_parser(self.cfg, self.sock, self.client)
        else:
            self._expect_head()

    def _expect_head(self) -> None:
        self.sock.expect(HURRIED if self.hurry else HEAD)


@contextmanager
def reading(connection: Any, seconds: float) -> Iterator[None]:
    """Around the reading of a body; ``connection`` may be of another kind or None, as in tests."""
    if not isinstance(connection, Patient):
        yield
        return
    connection.expect(seconds)
    try:
        yield
    finally:
        connection.expect(None)


@contextmanager
def _hanging_up() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise ConnectionResetError(errno.ECONNRESET, "the client stalled") from None
