"""Port-forward: many TCP connections into one pod, over one connection to the client, in one thread.

What carries them is a ``Multiplexer``, of which there are three (upstream: kubelet's portforward and kubectl's tunnel):

* SPDY: a connection is a pair of streams, data and error, bound by the header requestID (kubectl before 1.31);
* the same SPDY inside the binary messages of a WebSocket, SPDY/3.1+portforward.k8s.io (kubectl since 1.31);
* WebSocket v4.channel.k8s.io: channels 2i and 2i+1 are data and error of the i-th port of the query, each begins with
  the port number as two bytes, little-endian.

The multiplexers are pure; ``Forwarding`` waits for all sockets together and bounds what is buffered for each.
"""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from kubelet.server.connection import Connection, client_left
from kubelet.server.streams import spdy
from kubelet.server.streams.channels import ChannelSocket
from kubelet.server.streams.podnetwork import Dialed
from kubelet.server.streams.spdy import Data, Reset
from machinery.digits import is_number
from machinery.sockets import untaken
from machinery.websocket import WebSocket

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
WEBSOCKET_PROTOCOLS = (TUNNEL_PROTOCOL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io")
_CHUNK = 65536
_PENDING_LIMIT = 1 << 20  # bytes for one port; then the client is not read until the pod has taken some
_ALL_PENDING_LIMIT = 8 << 20  # the same for all ports together
_MAX_PAIRS = 4096
MOST_PORTS = 127  # of one WebSocket: the numbers of two channels each are bytes, and 255 has a meaning of its own
_MAX_DIALING = 32  # connections that are being made at a time: each needs a thread, and a pod may not answer
# How long nothing may move on a connection of which one side is gone.
_STALLED_SECONDS = 10.0
# No event tells that the pod has taken what was written, so it is asked for.
_DRAIN_POLL_MILLISECONDS = 20


class ConnectRequest(NamedTuple):
    """The client wants a connection to a port; ``stream`` names it from now on."""

    stream: int
    port: int


# Data is for the pod; Reset tells that the client gave the connection up.
ClientEvent = ConnectRequest | Data | Reset


class Multiplexer(Protocol):
    """The connections as the client's protocol carries them."""

    @property
    def closed(self) -> bool:
        """Return True if no more connections will come."""

    @property
    def left(self) -> bool:
        """Return True if the client sends no more."""

    def receive(self, data: bytes) -> list[ClientEvent]: ...

    def send(self, pair: int, data: bytes) -> None: ...

    def finish(self, pair: int, error: str = "") -> None:
        """Tell the client that the pod sends no more, or why there is no connection. Its own data may go on."""

    def leave(self) -> None:
        """End the whole session."""


@dataclass
class _Pair:
    request: str
    port: int
    data: int = 0  # the number of the stream; 0 while it is not open
    error: int = 0
    finished: bool = False  # we have ended both streams; the client may go on sending
    ended: bool = False  # the client has ended the data stream


class SpdyMultiplexer:
    """Pairs of SPDY streams. A pair is known by its data stream's number."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._session = spdy.SpdySession(write)
        self._waiting: dict[str, _Pair] = {}  # by requestID: pairs of which only one stream is open
        self._pairs: dict[int, _Pair] = {}
        self._left = False

    @property
    def left(self) -> bool:
        return self._left

    @property
    def closed(self) -> bool:
        return self.left

    def receive(self, data: bytes) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        for event in self._session.receive(data):
            if isinstance(event, spdy.Opened):
                events += self._open(event.stream, event.headers)
            elif isinstance(event, Data) and event.stream in self._pairs:
                events.append(event)
                if event.end:
                    self._pairs[event.stream].ended = True
                    self._forget(event.stream)
            elif isinstance(event, Reset) and event.stream in self._pairs:
                del self._pairs[event.stream]
                events.append(event)
            elif isinstance(event, spdy.Left):
                self._left = True
        return events

    def _open(self, stream: int, headers: Mapping[str, str]) -> Sequence[ClientEvent]:
        kind, port = headers.get("streamtype", ""), headers.get("port", "")
        if kind not in ("data", "error") or not is_number(port) or not 0 < int(port) < 65536 or self._crowded:
            self._session.reset(stream, spdy.REFUSED_STREAM)
            return ()
        # Clients that are too old for requestID open the error stream right before the data stream.
        request = headers.get("requestid") or f"stream {stream if kind == 'error' else stream - 2}"
        pair = self._waiting.setdefault(request, _Pair(request, int(port)))
        if getattr(pair, kind):
            self._session.reset(stream, spdy.PROTOCOL_ERROR)
            return ()
        setattr(pair, kind, stream)
        self._session.accept(stream)
        if not (pair.data and pair.error):
            return ()
        del self._waiting[request]
        self._pairs[pair.data] = pair
        return (ConnectRequest(pair.data, pair.port),)

    @property
    def _crowded(self) -> bool:
        return len(self._waiting) + len(self._pairs) >= _MAX_PAIRS

    def send(self, pair: int, data: bytes) -> None:
        if pair in self._pairs:
            self._session.send(pair, data)

    def finish(self, pair: int, error: str = "") -> None:
        found = self._pairs.get(pair)
        if found and not found.finished:
            found.finished = True
            self._session.send(found.data, b"", end=True)
            self._session.send(found.error, error.encode(), end=True)
            self._forget(pair)

    def _forget(self, pair: int) -> None:
        if self._pairs[pair].finished and self._pairs[pair].ended:
            del self._pairs[pair]

    def leave(self) -> None:
        self._session.leave()


class TunnelMultiplexer(SpdyMultiplexer):
    """SPDY within a WebSocket's binary messages."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._socket = WebSocket(write)
        super().__init__(self._socket.send)

    @property
    def left(self) -> bool:
        return self._socket.closed or super().left

    def receive(self, data: bytes) -> list[ClientEvent]:
        events = []
        for piece in self._socket.receive(data):
            events += super().receive(piece.data)
        return events

    def leave(self) -> None:
        super().leave()
        self._socket.close()


class ChannelMultiplexer:
    """Two WebSocket channels a port, all opened at once; the session ends with the last of them."""

    def __init__(self, write: Callable[[bytes], None], protocol: str, ports: Sequence[int]) -> None:
        self._socket = ChannelSocket(write, protocol)
        self._count = len(ports)
        self._open = set(range(self._count))
        self._early: list[ClientEvent] = [ConnectRequest(index, port) for index, port in enumerate(ports)]
        for index, port in enumerate(ports):
            for channel in (2 * index, 2 * index + 1):
                self._socket.send(channel, port.to_bytes(2, "little"))

    @property
    def closed(self) -> bool:
        return self._socket.closed or not self._open

    @property
    def left(self) -> bool:
        return self._socket.closed

    def receive(self, data: bytes) -> list[ClientEvent]:
        events, self._early = self._early, []
        for part in self._socket.receive(data):
            if part.channel % 2 == 0 and part.channel // 2 < self._count and part.data:
                events.append(Data(part.channel // 2, part.data, end=False))
        return events

    def send(self, pair: int, data: bytes) -> None:
        self._socket.send(2 * pair, data)

    def finish(self, pair: int, error: str = "") -> None:
        if pair in self._open:
            self._open.discard(pair)
            if error:
                self._socket.send(2 * pair + 1, error.encode())

    def leave(self) -> None:
        self._socket.close()


@dataclass
class _Link:
    """One connection into the pod.

    It is closed when both sides have ended their streams, or when one side is gone and the other takes nothing more.
    """

    port: int
    remote: socket.socket | None = None  # None while it is being made
    pending: bytearray = field(default_factory=bytearray)
    client_eof: bool = False  # the client sends no more
    eof_sent: bool = False  # the pod has been told so
    pod_eof: bool = False  # the pod sends no more
    client_gone: bool = False  # the client takes no more: what the pod sends is discarded
    progress: float = field(default_factory=time.monotonic)  # when bytes for the pod moved last
    untaken: int = 0  # how many bytes the pod's kernel had not acknowledged at the last look

    @property
    def closing(self) -> bool:
        """Return True if one side is gone, so that the other must not keep the connection for ever."""
        return self.pod_eof or self.client_gone

    @property
    def events(self) -> int:
        return (0 if self.pod_eof else select.POLLIN) | (select.POLLOUT if self.pending else 0)

    def is_done(self, stalled_seconds: float) -> bool:
        """Return True if nothing is lost by closing the connection, or nobody has taken anything for so long.

        The kernel discards what it has not delivered when a socket is closed with unread bytes in it.
        """
        left = len(self.pending) + (untaken(self.remote) if self.remote else 0)
        if left < self.untaken:
            self.progress = time.monotonic()
        self.untaken = left
        if self.eof_sent and (self.pod_eof or (self.client_gone and not left)):
            return True
        return self.closing and time.monotonic() - self.progress > stalled_seconds


Dial = Callable[[int, Dialed], None]  # (port, done)


class Forwarding:
    """One port-forward session. ``subject`` names the pod in errors.

    What the client sent before it left still goes to the pod: its connections are closed when that has been taken.
    """

    def __init__(
        self,
        conn: Connection,
        multiplexer: Multiplexer,
        dial: Dial,
        subject: str,
        *,
        stalled_seconds: float = _STALLED_SECONDS,
    ) -> None:
        self._conn = conn
        self._multiplexer = multiplexer
        self._dial = dial
        self._subject = subject
        self._stalled_seconds = stalled_seconds
        self._links: dict[int, _Link] = {}
        self._to_dial: deque[ConnectRequest] = deque()
        self._dialing = 0
        self._dialed: queue.SimpleQueue[tuple[int, socket.socket | OSError]] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()  # a thread that dials may outlive the session
        self._over = False
        self._hung_up = False  # the client's connection has ended, but not all has been read from it
        self._left = False  # all has been read from it
        self._taken_leave = False

    def run(self) -> None:
        """Return when the client has left, or every channel has ended, and the pod has what was sent to it."""
        try:
            self._take(self._multiplexer.receive(b""))
            self._from_client()
            while not self._left and not (self._multiplexer.closed and not self._links):
                if self._multiplexer.closed:
                    self._leave()  # What the client sent before it hears of that is still read.
                self._wait()
                self._from_client()
            self._leave()
            for link in self._links.values():
                link.client_eof = link.client_gone = True
                link.progress = time.monotonic()
                self._to_pod(link)
            self._settle()
            while self._links:
                self._wait()
        finally:
            with self._lock:
                self._over = True
                os.close(self._wake)
            self._collect()  # A connection that was made too late is closed.
            for link in self._links.values():
                if link.remote:
                    link.remote.close()

    def _leave(self) -> None:
        if not self._taken_leave:
            self._taken_leave = True
            self._multiplexer.leave()

    # --- client to pod -------------------------------------------------------------------------------------------

    @property
    def _reading(self) -> bool:
        if self._left:
            return False
        pending = [len(link.pending) for link in self._links.values()]
        return not pending or (max(pending) < _PENDING_LIMIT and sum(pending) < _ALL_PENDING_LIMIT)

    def _from_client(self) -> None:
        while self._reading:
            if self._multiplexer.left:
                self._left = True
                return
            data = self._conn.receive()
            if data is None:
                return
            if data:
                self._take(self._multiplexer.receive(data))
            else:
                self._left = True

    def _take(self, events: Sequence[ClientEvent]) -> None:
        for event in events:
            if isinstance(event, ConnectRequest):
                self._links[event.stream] = _Link(event.port)
                self._to_dial.append(event)
                self._dial_next()
                continue
            link = self._links.get(event.stream)
            if link is None:
                continue
            if isinstance(event, Data):
                link.pending += event.data
                link.client_eof = link.client_eof or event.end
            else:
                link.client_eof = link.client_gone = True
            self._to_pod(link)

    def _dial_next(self) -> None:
        while self._to_dial and self._dialing < _MAX_DIALING:
            request = self._to_dial.popleft()
            if request.stream in self._links:  # the client has not given it up meanwhile
                self._dialing += 1
                self._dial(request.port, self._done(request.stream))

    def _done(self, pair: int) -> Dialed:
        def done(result: socket.socket | OSError) -> None:
            with self._lock:
                if not self._over:
                    self._dialed.put((pair, result))
                    os.eventfd_write(self._wake, 1)
                elif isinstance(result, socket.socket):
                    result.close()

        return done

    def _to_pod(self, link: _Link) -> None:
        if link.remote is None:
            return
        try:
            while link.pending:
                del link.pending[: link.remote.send(link.pending)]
                link.progress = time.monotonic()
            if link.client_eof and not link.eof_sent:
                link.eof_sent = True
                link.remote.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:  # The next read finds the connection ended.
            link.pending.clear()
            link.eof_sent = True

    # --- pod to client -------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._reading or not (self._left or self._hung_up):
            poll.register(self._conn, (select.POLLIN if self._reading else 0) | select.POLLRDHUP)
        by_fd: dict[int, int] = {}
        for pair, link in self._links.items():
            if link.remote:
                poll.register(link.remote, link.events)
                by_fd[link.remote.fileno()] = pair
        for fd, events in poll.poll(self._milliseconds()):
            if fd == self._wake:
                os.eventfd_read(self._wake)
                self._collect()
            elif fd == self._conn.fileno():
                self._hang_up(events)
            elif (pair := by_fd[fd]) in self._links:
                self._serve(pair, self._links[pair], events)
        self._settle()

    def _milliseconds(self) -> int | None:
        if self._reading and self._conn.pending():
            return 0
        return _DRAIN_POLL_MILLISECONDS if any(link.closing for link in self._links.values()) else None

    def _hang_up(self, events: int) -> None:
        """Note that the client is gone: while a pod takes nothing, its end cannot be read, and only ``poll`` tells
        of it.
        """
        if client_left(events) and not self._hung_up:
            self._hung_up = True
            for link in self._links.values():
                link.client_gone = True
                link.progress = time.monotonic()

    def _collect(self) -> None:
        """Take the connections that have been made, or not."""
        while not self._dialed.empty():
            pair, result = self._dialed.get()
            self._dialing -= 1
            link = self._links.get(pair)
            if isinstance(result, OSError):
                if link:
                    del self._links[pair]
                    self._multiplexer.finish(pair, f"error forwarding port {link.port} to {self._subject}: {result}")
            elif link is None or self._over:
                result.close()
            else:
                link.remote = result
                self._to_pod(link)
        if not self._over:
            self._dial_next()

    def _serve(self, pair: int, link: _Link, events: int) -> None:
        assert link.remote is not None
        self._to_pod(link)
        try:
            data = b"" if link.pod_eof else link.remote.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and not link.client_gone:
            self._multiplexer.send(pair, data)
        elif not data and not link.pod_eof:
            link.pod_eof = True
            link.progress = time.monotonic()
            self._multiplexer.finish(pair)
        if events & (select.POLLERR | select.POLLHUP) and link.pod_eof:  # The pod reads no more, either.
            link.pending.clear()
            link.eof_sent = True

    def _settle(self) -> None:
        """Close the connections that are done with."""
        for pair, link in list(self._links.items()):
            if link.is_done(self._stalled_seconds):
                del self._links[pair]
                if link.remote:
                    link.remote.close()
