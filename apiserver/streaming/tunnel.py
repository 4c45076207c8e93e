"""Tunnels: bytes carried both ways between a client's socket, which was taken over, and a backend's, by one thread.

Both may be TLS. A direction reads only while its buffer of 256 KB has room, so that a slow receiver slows the sender
down and memory stays bounded. The end of one direction is passed on as a half-close. The other direction then goes on
until it ends too, or until nothing has moved for ten seconds.

What one end sent before it left still reaches the other. When an end takes nothing more, the bytes meant for it are
read and discarded, because the kernel drops what it has not delivered if a socket is closed with unread bytes in it.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from machinery.sockets import close_notify, untaken

_ROOM = 256 * 1024
_CHUNK = 65536
# Seconds without a byte after which a tunnel ends of which one direction has ended.
_HALF_CLOSED_TIMEOUT = 10.0
# Seconds between looks whether a backend has taken what was written, of which no event tells.
_DRAIN_INTERVAL = 0.02

Sock = socket.socket
# Held while a descriptor may stand for another socket (see ``close_notify``), and by those who would mistake it.
_DESCRIPTORS = threading.Lock()


class Direction:
    """One direction of a tunnel: from a socket, through a buffer, into another."""

    def __init__(self, source: Sock, target: Sock, ahead: bytes = b"") -> None:
        self.source, self.target = source, target
        self._buffer = bytearray(ahead)
        self._farewell: bytes | None = None  # what is still to be sent at the end; None: it has not come to that
        self.ended = False  # the source sends nothing more
        self.done = False  # the target has got everything, and the end
        self.broken = False  # the target takes nothing more
        self.wants: dict[Sock, int] = {}  # the events of poll for one of which the next move must wait

    @property
    def full(self) -> bool:
        """True if the source is not read until the target has taken something."""
        return not self.ended and len(self._buffer) >= _ROOM

    def move(self) -> bool:
        """Move what can be moved without waiting, and tell whether anything was."""
        self.wants = {}
        moved = False
        if not self.ended and not self.full:
            moved = self._read()
        if self._buffer:
            moved = self._write() or moved
        if self.ended and not self._buffer and not self.done:
            moved = self._end_target() or moved
        return moved

    def _end_target(self) -> bool:
        """Close the target's sending half: TLS's close_notify, then TCP's FIN. Receiving goes on."""
        if self._farewell is None:
            with _DESCRIPTORS:
                self._farewell = close_notify(self.target) if isinstance(self.target, ssl.SSLSocket) else b""
        try:
            while self._farewell:
                self._farewell = self._farewell[Sock.send(self.target, self._farewell) :]
        except BlockingIOError:
            self._want(self.target, select.POLLOUT)
            return False
        except OSError:
            self.broken = True
        with suppress(OSError):
            # SSLSocket.shutdown would drop the TLS state, which receiving still needs.
            Sock.shutdown(self.target, socket.SHUT_WR)
        self.done = True
        return True

    def _read(self) -> bool:
        try:
            data = self.source.recv(_CHUNK)
        except (ssl.SSLWantReadError, BlockingIOError):
            self._want(self.source, select.POLLIN)
            return False
        except ssl.SSLWantWriteError:
            self._want(self.source, select.POLLOUT)
            return False
        except OSError:  # the source has ended or is gone; what it sent before has been read
            data = b""
        self.ended = not data
        if not self.broken:
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
        except OSError:
            self.give_up()
            return True
        del self._buffer[:sent]
        return True

    def give_up(self) -> None:
        """Discard what the target does not take, from now on too."""
        self.broken = True
        self._buffer.clear()

    def _want(self, sock: Sock, events: int) -> None:
        self.wants[sock] = self.wants.get(sock, 0) | events


class Tunnels:
    """The open tunnels of this process, so that a stopping server can end them."""

    def __init__(self, half_closed_timeout: float = _HALF_CLOSED_TIMEOUT) -> None:
        self._half_closed_timeout = half_closed_timeout
        self._lock = threading.Lock()
        self._open: set[Sock] = set()
        self._stopped = False

    def carry(self, client: Sock, backend: Sock, from_client: bytes = b"", from_backend: bytes = b"") -> None:
        """Carry bytes until both directions have ended; ``from_…`` are bytes that were read there already.

        The client's socket is then shut down but not closed, which the web server does.
        """
        with self.registered(client, backend), suppress(OSError):  # one end is gone, which is how most tunnels end
            client.setblocking(False)
            backend.setblocking(False)
            _carry(
                Direction(client, backend, from_client),
                Direction(backend, client, from_backend),
                self._half_closed_timeout,
            )

    @contextmanager
    def registered(self, client: Sock, backend: Sock) -> Iterator[None]:
        """Let a stopping server cut both sockets within this context.

        After it, the client's is shut down and the backend's closed.
        """
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
        """End all tunnels, and each new one at once."""
        with self._lock:
            self._stopped = True
            for sock in self._open:
                _cut(sock)


def _cut(sock: Sock) -> None:
    with _DESCRIPTORS, suppress(OSError):  # it may be cut already
        # SSLSocket.shutdown would drop the TLS state, from which another thread may be reading.
        Sock.shutdown(sock, socket.SHUT_RDWR)


def _carry(outward: Direction, inward: Direction, half_closed_timeout: float) -> None:
    """Carry bytes both ways until nobody would take more; ``outward`` is the direction from the client."""
    gone: set[Sock] = set()  # ends that have hung up before everything was read from them
    last_move = time.monotonic()
    while not (outward.done and inward.done) or untaken(outward.target):
        # Both are tried before waiting, since TLS may hold bytes that poll does not see.
        moved = outward.move() | inward.move()
        if (outward.broken and inward.done) or (inward.broken and outward.done and not untaken(outward.target)):
            return
        if moved:
            last_move = time.monotonic()
            continue
        seconds = half_closed_timeout if outward.ended or inward.ended or gone else None
        if outward.done and (inward.broken or inward.done):
            seconds = min(half_closed_timeout, _DRAIN_INTERVAL)
        if not _wait(outward, inward, seconds, gone) and time.monotonic() - last_move >= half_closed_timeout:
            return


def _wait(outward: Direction, inward: Direction, seconds: float | None, gone: set[Sock]) -> bool:
    """Wait until a move may succeed or an end hangs up; return False if the time is over."""
    wanted: dict[Sock, int] = {sock: 0 for sock in (outward.source, inward.source) if sock not in gone}
    if outward.full and outward.source in wanted:
        wanted[outward.source] |= select.POLLRDHUP
    for direction in (outward, inward):
        for sock, events in direction.wants.items():
            wanted[sock] = wanted.get(sock, 0) | events
    poll = select.poll()
    for sock, events in wanted.items():
        poll.register(sock, events)
    ready = dict(poll.poll(None if seconds is None else seconds * 1000))
    for direction, sock in ((inward, outward.source), (outward, inward.source)):
        seen = ready.get(sock.fileno(), 0)
        if seen & (select.POLLRDHUP | select.POLLHUP | select.POLLERR):
            gone.add(sock)
        if seen & (select.POLLHUP | select.POLLERR):
            direction.give_up()
    return bool(ready)


TUNNELS = Tunnels()
