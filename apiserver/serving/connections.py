"""Connections that wait for their client, but not for ever.

Each single wait ends after a while. And what a client has to say, the handshake and head of a request or its body, must
be said in a time, however often a byte of it comes. None of it is news: to gunicorn it looks like a client that has
hung up.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from gunicorn.http import get_parser
from gunicorn.sock import ssl_wrap_socket
from gunicorn.workers.gthread import TConn

# Seconds for one wait, and for a handshake with the head of its request (upstream: ReadHeaderTimeout).
STALLED = 60.0
HEAD = 32.0
# A thread waits for so many milliseconds for the rest of a head: most come at once, and a change of threads is dear.
MOMENT = 10
HEAD_ENDS = (b"\n\r\n", b"\n\n")
# What is longer is no head that the parser takes: this is more than its limits on lines and fields together.
HEAD_LIMIT = 1024 * 1024

P = ParamSpec("P")
T = TypeVar("T")

if TYPE_CHECKING:
    _Base = socket.socket
else:
    _Base = object


class Patient(_Base):
    """What both kinds of socket have in common: they wait by themselves, on a socket that for the kernel never blocks.

    A time-out of Python's own would cost a call of the kernel at each change, and a ``poll`` before each write.
    """

    _seconds = STALLED  # that one wait may last; 0: it does not wait but says what it wants
    _deadline: float | None = None

    def expect(self, seconds: float | None) -> None:
        """What is read from now on must have come in so many seconds; None: whenever it likes."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def settimeout(self, value: float | None) -> None:
        if super().gettimeout() != 0.0:
            super().settimeout(0.0)
        self._seconds = STALLED if value is None else value

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    def gettimeout(self) -> float | None:
        return self._seconds

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        return self._when_possible(select.POLLIN, super().recv, buflen, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        return self._when_possible(select.POLLOUT, super().send, data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest, flags) :]

    def _when_possible(self, event: int, call: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """``event`` is what the call waits for without TLS, which itself says what it waits for."""
        while True:
            try:
                return call(*arguments, **keywords)
            except BlockingIOError as want:
                self._wait(event, want)
            except ssl.SSLWantReadError as want:
                self._wait(select.POLLIN, want)
            except ssl.SSLWantWriteError as want:
                self._wait(select.POLLOUT, want)

    def _wait(self, event: int, want: OSError) -> None:
        """Until the socket is as wanted; raises what was wanted where nobody is to wait."""
        if not self._seconds:
            raise want
        seconds = self._seconds
        if self._deadline is not None and event == select.POLLIN:
            seconds = min(seconds, self._deadline - time.monotonic())
        if seconds <= 0 or not is_ready(self, event, seconds * 1000):
            raise ConnectionResetError(errno.ECONNRESET, "the client stalled")


class PlainSocket(Patient, socket.socket):
    """A connection without TLS."""

    @classmethod
    def of(cls, accepted: socket.socket) -> PlainSocket:
        """Takes over a socket that has just been accepted."""
        made = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        made.setblocking(True)
        return made


class TLSSocket(Patient, ssl.SSLSocket):
    """One with TLS."""

    def do_handshake(self, block: bool = False) -> None:
        self._when_possible(select.POLLIN, super().do_handshake, block)


class Connection(TConn):  # type: ignore[misc]
    """A client's connection, which needs a thread only when the head of a request is there.

    Until then handshake and head are taken as they come, and the worker waits for more of them with its poller.
    """

    sock: Any
    initialized: bool

    def __init__(self, config: Any, accepted: socket.socket, client: Any, server: Any, patience: float) -> None:
        super().__init__(config, accepted if config.is_ssl else PlainSocket.of(accepted), client, server)
        self.waiting = False  # the head is still to come
        self.timeout = time.monotonic() + patience
        self._patience = patience
        self._shaken = not config.is_ssl
        self._head = bytearray()
        self._begun = True  # a time for the head has been set

    def init(self) -> None:
        """gunicorn's first step with each request; the last one too, while its head is not there."""
        if not self.initialized:
            self.initialized = True
            if self.cfg.is_ssl:
                self.sock = ssl_wrap_socket(self.sock, self.cfg)
            self.parser = get_parser(self.cfg, self.sock, self.client)
        self.sock.setblocking(False)
        while not self._take():
            if not is_ready(self.sock, select.POLLIN, MOMENT):
                self.waiting = True
                raise StopIteration("a head is not there yet")
        self._begun = False
        self.sock.setblocking(True)
        self.parser.unreader.unread(bytes(self._head))
        self._head.clear()

    def _take(self) -> bool:
        """Takes what has come. True when a head is there, whole, broken off or too long: the parser will say which."""
        if not self._begun:
            self._begun = True
            self.timeout = time.monotonic() + self._patience
            self._head += self.parser.unreader.take_buffered()
        if time.monotonic() > self.timeout:
            raise ConnectionResetError(errno.ECONNRESET, "the client stalled")
        try:
            if not self._shaken:
                self.sock.do_handshake()
                self._shaken = True
            while not any(end in self._head for end in HEAD_ENDS) and len(self._head) < HEAD_LIMIT:
                data = self.sock.recv(8192)
                if not data:
                    break
                self._head += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return False
        return True


def is_ready(connection: socket.socket, event: int, milliseconds: float) -> bool:
    """Waits for the event that long."""
    poll = select.poll()
    poll.register(connection, event)
    return bool(poll.poll(milliseconds))


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
