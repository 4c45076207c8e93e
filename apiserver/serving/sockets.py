"""Sockets that wait for their client, but not for ever."""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

# Seconds that a single wait for the client may last, and after which the kernel gives up on a client that takes nothing
# of what was written (TCP_USER_TIMEOUT): one that does not read its watch, say.
STALL_TIMEOUT = 30.0

P = ParamSpec("P")
T = TypeVar("T")

if TYPE_CHECKING:
    _Base = socket.socket
else:
    _Base = object


class DeadlineSocket(_Base):
    """A mix-in for sockets that gives up on a client which stalls.

    Each single wait ends after STALL_TIMEOUT seconds or the socket's timeout. Within ``deadline``, all reads together
    must be done in time, so that a client cannot hold a thread by sending a byte now and then. Both raise
    ConnectionResetError, which is handled like a client that has hung up.

    For the kernel the socket never blocks; waiting is done here, by ``poll``. Python's own timeouts would cost a system
    call at each change and a ``poll`` before each write.
    """

    _timeout = STALL_TIMEOUT  # seconds; 0: do not wait but raise BlockingIOError or ssl.SSLWant…Error
    _deadline: float | None = None  # by time.monotonic

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Within this context, reads must be done in so many seconds."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None

    def settimeout(self, value: float | None) -> None:
        if super().gettimeout() != 0.0:
            super().settimeout(0.0)
        self._timeout = STALL_TIMEOUT if value is None else value

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    def gettimeout(self) -> float | None:
        return self._timeout

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        return self._when_possible(select.POLLIN, super().recv, buflen, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        return self._when_possible(select.POLLOUT, super().send, data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest, flags) :]

    def _when_possible(self, event: int, call: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """Repeat the call until it does not have to wait.

        ``event`` is what it waits for without TLS. With TLS the error says it, since a read may have to write first.
        """
        while True:
            try:
                return call(*arguments, **keywords)
            except BlockingIOError as error:
                self._wait(event, error)
            except ssl.SSLWantReadError as error:
                self._wait(select.POLLIN, error)
            except ssl.SSLWantWriteError as error:
                self._wait(select.POLLOUT, error)

    def _wait(self, event: int, error: OSError) -> None:
        if not self._timeout:
            raise error
        seconds = self._timeout
        if self._deadline is not None and event == select.POLLIN:
            seconds = min(seconds, self._deadline - time.monotonic())
        if seconds <= 0 or not is_ready(self, event, seconds * 1000):
            raise ConnectionResetError(errno.ECONNRESET, "the client stalled")


class PlainSocket(DeadlineSocket, socket.socket):
    """A connection without TLS."""

    @classmethod
    def of(cls, accepted: socket.socket) -> PlainSocket:
        """Make one of a socket that has just been accepted, whose descriptor it takes over."""
        made = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        made.setblocking(True)
        return made


class TLSSocket(DeadlineSocket, ssl.SSLSocket):
    """A connection with TLS."""

    def do_handshake(self, block: bool = False) -> None:
        self._when_possible(select.POLLIN, super().do_handshake, block)


def is_ready(sock: socket.socket, event: int, milliseconds: float) -> bool:
    """Wait for an event of ``select.poll`` on the socket, and tell whether it (or an error) came in time."""
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(milliseconds))
