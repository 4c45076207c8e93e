"""One client's TCP connection: non-blocking TLS with a blocking face, read by one thread.

Everything that the server does on a connection happens in that connection's own thread: the handshake (a mute
client keeps nobody waiting), the requests, and a taken-over stream's loop. So OpenSSL's objects, which two threads may
not use at once, need no lock, and a loop may wait for this socket and another one together:

* ``receive`` never waits: bytes, ``b""`` for the end, None for nothing yet. TLS may hold bytes that ``poll`` does not
  see: ask ``pending`` before waiting.
* ``send`` waits until everything is written, which is the backpressure of all streams.
* ``abort`` may be called from another thread: it wakes the one that waits.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress

CHUNK = 65536
_BROKEN = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Connection:
    """Wraps an accepted socket; ``handshake`` comes first when there is a TLS context."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._tcp = sock
        self._context = context
        self._sock: socket.socket | ssl.SSLSocket = sock
        self._ahead = bytearray()  # read for a line, not consumed yet
        self._takes = True  # no delivery has failed
        self.deadline: float | None = None  # monotonic time at which reading gives up
        self.last_moved = time.monotonic()  # when bytes were last received or sent
        self.in_request = False  # a request is being answered, or a stream carried

    # --- opening and closing -------------------------------------------------------------------------------------

    def handshake(self, seconds: float) -> None:
        """Perform the TLS handshake; raises OSError (ssl.SSLError, TimeoutError) when it fails."""
        if self._context is None:
            return None
        deadline = time.monotonic() + seconds
        tls = self._context.wrap_socket(self._tcp, server_side=True, do_handshake_on_connect=False)
        self._tcp, self._sock = tls, tls
        while True:
            try:
                return tls.do_handshake()
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, deadline)

    def peer_certificate(self) -> dict[str, object]:
        """Return the verified client certificate as ``ssl`` describes it, empty without TLS."""
        if isinstance(self._sock, ssl.SSLSocket):
            found: dict[str, object] = dict(self._sock.getpeercert() or {})
            return found
        return {}

    def close(self, linger: float = 0.0) -> None:
        """End our side, reads what the client still sends for ``linger`` seconds, then lets go.

        Closing a socket with unread bytes resets the connection, and a reset throws away what the client has not read
        yet: the end of an output, say.
        """
        try:
            self._end_sending()
            deadline = time.monotonic() + linger
            while linger and self._discard():
                self._wait(select.POLLIN, deadline)
        except (OSError, ValueError):
            return  # the client is gone, or does not close its side in time
        finally:
            self._tcp.close()

    def _discard(self) -> bool:
        """Throw away what the client has sent, beneath TLS; return False at its end."""
        try:
            while data := socket.socket.recv(self._tcp, CHUNK):
                continue
        except BlockingIOError:
            return True
        return bool(data)

    def _end_sending(self) -> None:
        if isinstance(self._sock, ssl.SSLSocket):
            # Our close_notify is sent first. Then this would read the client's, and fails if there is none, or if the
            # client is still sending, of which nothing is wanted any more.
            with suppress(ssl.SSLError):
                self._sock.unwrap()
        # Not SSLSocket.shutdown, which would forget the TLS state that reading still needs.
        socket.socket.shutdown(self._tcp, socket.SHUT_WR)

    def abort(self) -> None:
        """Cut the connection, from any thread: whoever waits on it sees its end."""
        try:
            socket.socket.shutdown(self._tcp, socket.SHUT_RDWR)
        except OSError:
            return  # already gone

    # --- bytes ---------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._tcp.fileno()

    def pending(self) -> bool:
        """Return True if there are bytes that a ``poll`` does not tell of."""
        return bool(self._ahead) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0)

    def receive(self, size: int = CHUNK) -> bytes | None:
        """Return what has arrived, ``b""`` at the end of the stream, None if there is nothing yet."""
        if self._ahead:
            data = bytes(self._ahead[:size])
            del self._ahead[:size]
            return data
        try:
            data = self._sock.recv(size)
            self.last_moved = time.monotonic()
            return data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return None
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def read(self, size: int = CHUNK) -> bytes:
        """Return what has arrived, waiting for it until the deadline. Raises TimeoutError."""
        while (data := self.receive(size)) is None:
            self._wait(select.POLLIN, self.deadline)
        return data

    def readline(self, limit: int = CHUNK) -> bytes:
        """Return one line with its end, cut at ``limit`` bytes. The name and the rules are those of http.server's
        files.
        """
        line = bytearray()
        while len(line) < limit:
            data = self.read()
            if not data:
                break
            end = data.find(b"\n") + 1
            taken = min(end or len(data), limit - len(line))
            line += data[:taken]
            self._ahead[:0] = data[taken:]
            if line.endswith(b"\n"):
                break
        return bytes(line)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything, waiting as long as the client needs; raises OSError when it is gone."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
                self.last_moved = time.monotonic()
            except (ssl.SSLWantWriteError, BlockingIOError):
                self._wait(select.POLLOUT, None)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, None)

    def deliver(self, data: bytes) -> None:
        """Write everything as ``send`` does, but drop it if the client is gone.

        For streams: what the client sent before it left is still to be read, up to the end that ``receive`` tells.
        """
        if self._takes:
            try:
                self.send(data)
            except OSError:
                self._takes = False

    def write(self, data: bytes) -> int:
        """Write everything: ``send`` under the name that http.server uses."""
        self.send(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing, because nothing is buffered; http.server calls this."""

    def _wait(self, events: int, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(self.fileno(), events)
        left = None if deadline is None else deadline - time.monotonic()
        if (left is not None and left <= 0) or not poll.poll(None if left is None else left * 1000):
            raise TimeoutError("timed out waiting for the client")


def client_left(events: int) -> bool:
    """Return True if these events of a client's socket, registered with POLLRDHUP, mean that the client is gone."""
    return bool(events & (select.POLLRDHUP | _BROKEN))
