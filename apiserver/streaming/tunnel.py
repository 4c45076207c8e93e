"""Carries bytes both ways between a client's taken-over socket and a backend's, in the request's one thread.

Both may be TLS. A direction reads only while its small buffer has room, so whoever is slow slows the other end down and
memory stays bounded. The end of one direction is passed on as a half-close; the other one goes on until it ends too, or
until nothing has moved for a while.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ROOM = 256 * 1024
_CHUNK = 65536
# How long nothing may move after one end has sent its last.
_LAST_WORDS_SECONDS = 10.0

Sock = socket.socket


class Direction:
    """One way: from a socket, through a buffer, into another."""

    def __init__(self, source: Sock, target: Sock, ahead: bytes = b"") -> None:
        self.source, self.target = source, target
        self._buffer = bytearray(ahead)
        self.ended = False  # the source sends no more
        self.done = False  # and the target has been told
        self.wants: dict[Sock, int] = {}  # what must happen before the next move

    @property
    def full(self) -> bool:
        """The source is not read before the target has taken something."""
        return not self.ended and len(self._buffer) >= _ROOM

    def move(self) -> bool:
        """Moves what can be moved without waiting; tells whether anything did."""
        self.wants = {}
        moved = False
        if not self.ended and not self.full:
            moved = self._read()
        if self._buffer:
            moved = self._write() or moved
        if self.ended and not self._buffer and not self.done:
            self.done = moved = True
            end_sending(self.target)
        return moved

    def _read(self) -> bool:
        try:
            data = self.source.recv(_CHUNK)
        except (ssl.SSLWantReadError, BlockingIOError):
            self._want(self.source, select.POLLIN)
            return False
        except ssl.SSLWantWriteError:
            self._want(self.source, select.POLLOUT)
            return False
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        self.ended = not data
        self._buffer += data
        return True

    def _write(self) -> bool:
        try:
            sent = self.target.send(self._buffer)
        except (ssl.SSLWantWriteError, BlockingIOError):
            self._want(self.target, select.POLLOUT)
            return False
        except ssl.SSLWantReadError:
            self._want(self.target, select.POLLIN)
            return False
        del self._buffer[:sent]
        return True

    def _want(self, sock: Sock, events: int) -> None:
        self.wants[sock] = self.wants.get(sock, 0) | events


class Tunnels:
    """The open tunnels of this process, so that a stopping server can end them."""

    def __init__(self, last_words_seconds: float = _LAST_WORDS_SECONDS) -> None:
        self._last_words = last_words_seconds
        self._lock = threading.Lock()
        self._open: set[Sock] = set()
        self._stopped = False

    def relay(self, client: Sock, backend: Sock, from_client: bytes = b"", from_backend: bytes = b"") -> None:
        """Returns when both directions have ended. ``from_…`` has been read from there already.

        The client's socket is shut down but left open: its server closes it.
        """
        with self.registered(client, backend), suppress(OSError):  # one end is gone, which is how most tunnels end
            client.setblocking(False)
            backend.setblocking(False)
            _pump(Direction(client, backend, from_client), Direction(backend, client, from_backend), self._last_words)

    @contextmanager
    def registered(self, client: Sock, backend: Sock) -> Iterator[None]:
        """Sockets that a stopping server may cut; afterwards the client's is shut down and the backend's closed."""
        with self._lock:
            self._open |= {client, backend}
            if self._stopped:
                _cut(client)
        try:
            yield
        finally:
            with self._lock:
                self._open -= {client, backend}
            _cut(client)
            backend.close()

    def stop(self) -> None:
        """Ends all tunnels, and refuses new ones."""
        with self._lock:
            self._stopped = True
            for sock in self._open:
                _cut(sock)


def _cut(sock: Sock) -> None:
    with suppress(OSError):  # it may be cut already
        # Not SSLSocket.shutdown: another thread may be reading from it.
        Sock.shutdown(sock, socket.SHUT_RDWR)


def _pump(outward: Direction, inward: Direction, last_words: float) -> None:
    """``outward`` is the client's direction: a client may be taken to be gone before all that it sent was delivered."""
    while not (outward.done and inward.done):
        # Both are tried before waiting: TLS may hold bytes that poll does not see.
        if outward.move() | inward.move():
            continue
        if not _wait(outward, inward, last_words if outward.ended or inward.ended else None):
            return


def _wait(outward: Direction, inward: Direction, seconds: float | None) -> bool:
    """Waits until a move may succeed; False when the time is over, or an end that we do not read from is gone."""
    wanted: dict[Sock, int] = {outward.source: 0, inward.source: 0}
    for direction in (outward, inward):
        for sock, events in direction.wants.items():
            wanted[sock] |= events
    if outward.full:
        wanted[outward.source] |= select.POLLRDHUP
    poll = select.poll()
    for sock, events in wanted.items():
        poll.register(sock, events)
    ready = dict(poll.poll(None if seconds is None else seconds * 1000))
    for sock, events in wanted.items():
        seen = ready.get(sock.fileno(), 0)
        if seen & select.POLLRDHUP or (seen and not events):
            return False
    return bool(ready)


def end_sending(sock: Sock) -> None:
    """Half-closes: TLS's close_notify and then TCP's FIN; reading goes on."""
    with suppress(OSError, ValueError):
        if isinstance(sock, ssl.SSLSocket):
            with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                sock.unwrap()
        # Not SSLSocket.shutdown, which would forget the TLS state that reading still needs.
        Sock.shutdown(sock, socket.SHUT_WR)


TUNNELS = Tunnels()
