"""One thread that serves all watches of a worker: it takes what has happened from each watch's stream to its client.

Who writes. A request's thread answers the watch's head, prepares its first bytes (the initial list may be large), and
hands the connection over with ``WatchPump.serve``. From then on only the pump's thread reads, writes or closes it,
until it calls ``WatchResponse.done``. So an open watch costs its connection and 30 KB, but no thread, and a hundred
watchers of one object are told in a hundred writes without a change of threads between them.

What wakes the pump. A stream calls its listener when something has happened, from whatever thread that is, perhaps with
the watch cache's locks held. The listener only appends the watch to a queue and, unless that was done already, rings an
eventfd. The pump's ``epoll`` waits for this bell, for clients that send something, for sockets that take data again,
and for the time at which the next stream is due (a bookmark, or the watch's timeout).

What is bounded. For each watch at most one piece of output is held, the one that is being sent. Nothing is queued
behind it: what the client has not been told stays in the watch cache's log, which all watches share, and
``step`` takes it from there when the piece is sent. After TURN bytes for one client the others have their turn.

A slow client. When its socket takes no more, its watch is passed over until it does. If the cache's log has moved on
meanwhile, the stream says 410 Gone and ends, as upstream does; the client lists again.

A vanished client. When it closes or resets the connection, or sends anything (a watcher has nothing to say), the watch
ends at once. One that vanishes without a word (a pulled cable) is found by TCP keepalive, or at the watch's timeout.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

log = logging.getLogger(__name__)

# Bytes that one client is sent before the others have their turn.
TURN = 256 * 1024
_READABLE = select.EPOLLIN | select.EPOLLRDHUP
_LONGEST_WAIT = 3600.0
# The states of a watch: not seen by the pump yet, being told, waiting until its socket takes more data, over.
_NEW, _OPEN, _BLOCKED, _ENDED = range(4)


class EventStream(Protocol):
    """Where the events of a watch come from."""

    over: bool  # nothing more will come
    due: float  # by time.monotonic: then ``step`` may have something to say though no event has happened

    def step(self) -> bytes:
        """Return the events since the last step, encoded; b"" if there are none."""

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when something has happened since the last step, by any thread, with any locks."""


class Socket(Protocol):
    """A client's connection."""

    def fileno(self) -> int: ...

    def setblocking(self, flag: bool, /) -> None: ...

    def send(self, data: bytes | memoryview, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...


class WatchResponse:
    """One client's watch: its stream, its socket, and the piece of output between them."""

    def __init__(self, stream: EventStream, sock: Socket, *, chunked: bool, done: Callable[[bool], None]) -> None:
        """``done`` is called in the pump's thread at the end: with True if the response was sent completely.

        ``chunked`` says whether the response's head has announced chunks; without, it ends with the connection.
        """
        self.stream, self.sock, self.done = stream, sock, done
        self.fd = sock.fileno()
        self.sent = 0  # bytes of the events
        self.timer: list[Any] = [0.0, 0, None]  # its entry in the pump's heap
        self.state = _NEW
        self._chunked = chunked
        self._pending = memoryview(b"")
        self._last = False  # what is pending is the end of the body

    def prepare(self) -> None:
        """Take the next piece of output from the stream; call it only when the last one has been sent."""
        data = b"" if self.stream.over else self.stream.step()
        if data:
            self.sent += len(data)
            self._pending = memoryview(b"%X\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        elif self.stream.over:
            self._last = True
            self._pending = memoryview(b"0\r\n\r\n" if self._chunked else b"")

    def advance(self) -> bool | None:
        """Send until there is nothing more to say.

        Returns False then, True when the whole response has been sent, and None when TURN bytes have been sent and
        there is more. Raises BlockingIOError or ssl.SSLWantWriteError if the socket takes no more.
        """
        budget = TURN
        while True:
            while self._pending:
                if budget <= 0:
                    return None
                count = self.sock.send(self._pending)
                self._pending = self._pending[count:]
                budget -= count
            if self._last:
                return True
            self.prepare()
            if not self._pending and not self._last:
                return False

    def has_left(self) -> bool:
        """Tell whether the client has ended the watch, which it does by closing or by sending anything.

        A TLS record without data (a session ticket, say) also makes the socket readable, but means nothing.
        """
        try:
            self.sock.recv(4096)
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True
        return True


class WatchPump:
    """The thread (started with the first watch) and what it waits for; see the top of this file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._news: deque[WatchResponse] = deque()  # watches that are new, or for which something has happened
        self._awake = False  # the bell has been rung, and the pump has not looked at the news since
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._bell, select.EPOLLIN)
        self._open: dict[int, WatchResponse] = {}
        self._timers: list[list[Any]] = []  # a heap of [due, number, watch]; None instead of a watch: cancelled
        self._numbers = itertools.count()

    def serve(self, watch: WatchResponse) -> None:
        """Take a watch over: its connection belongs to the pump until ``done`` is called."""
        watch.prepare()  # Here, in the request's thread, since the first piece may be a list of many objects.
        watch.sock.setblocking(False)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
                self._thread.start()
        watch.stream.listen(lambda: self._ring(watch))
        self._ring(watch)

    def _ring(self, watch: WatchResponse) -> None:
        self._news.append(watch)
        if not self._awake:
            self._awake = True
            os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        while True:
            more: set[WatchResponse] = set()
            for fd, events in self._poll.poll(self._seconds_to_next_timer()):
                if fd == self._bell:
                    os.eventfd_read(self._bell)
                else:
                    self._on_socket_event(self._open[fd], events, more)
            self._awake = False  # Before the news are read, so that whoever brings more from now on rings again.
            while self._news:
                watch = self._news.popleft()
                if watch.state == _NEW:
                    self._begin(watch)
                more.add(watch)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                due = heapq.heappop(self._timers)[2]
                if due is not None:
                    more.add(due)
            for watch in more:
                if watch.state == _OPEN:
                    self._advance(watch)

    def _seconds_to_next_timer(self) -> float:
        if not self._timers:
            return _LONGEST_WAIT
        due: float = self._timers[0][0]
        return min(max(0.0, due - time.monotonic()), _LONGEST_WAIT)

    def _begin(self, watch: WatchResponse) -> None:
        watch.state = _OPEN
        self._open[watch.fd] = watch
        self._poll.register(watch.fd, _READABLE)

    def _on_socket_event(self, watch: WatchResponse, events: int, more: set[WatchResponse]) -> None:
        if events & ~select.EPOLLOUT and watch.has_left():
            self._end(watch, reusable=False)
            return
        if watch.state == _BLOCKED and events & select.EPOLLOUT:
            watch.state = _OPEN
            self._poll.modify(watch.fd, _READABLE)
        more.add(watch)

    def _advance(self, watch: WatchResponse) -> None:
        try:
            ended = watch.advance()
        except (ssl.SSLWantWriteError, BlockingIOError):
            watch.state = _BLOCKED
            self._poll.modify(watch.fd, _READABLE | select.EPOLLOUT)
        except ssl.SSLWantReadError:
            return  # TLS must receive something before it can send; that makes the socket readable and wakes the pump.
        except OSError:
            self._end(watch, reusable=False)  # the client is gone
        except Exception:
            log.exception("a watch failed")
            self._end(watch, reusable=False)
        else:
            if ended:
                self._end(watch, reusable=True)
            elif ended is None:
                self._ring(watch)
            else:
                self._set_timer(watch)

    def _set_timer(self, watch: WatchResponse) -> None:
        due = watch.stream.due
        if watch.timer[2] is None or watch.timer[0] != due:
            watch.timer[2] = None
            watch.timer = [due, next(self._numbers), watch]
            heapq.heappush(self._timers, watch.timer)

    def _end(self, watch: WatchResponse, *, reusable: bool) -> None:
        watch.state = _ENDED
        watch.timer[2] = None
        del self._open[watch.fd]
        self._poll.unregister(watch.fd)
        try:
            watch.done(reusable)
        except Exception:
            log.exception("the end of a watch failed")  # which must not end the pump, and with it all other watches
