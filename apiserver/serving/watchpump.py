"""Serves all watches of a worker in one thread: what has happened goes from the cache to every client in turn.

A watch costs its connection and 30 KB, but no thread; and a hundred watchers of one object are told in a hundred writes
without a change of threads between them. A client who reads slowly is passed over until its socket takes more; what it
has not been told meanwhile stays in the cache's log, so nothing is queued for it, and when the log has moved on it gets
410 Gone. One who sends anything, or leaves, ends its watch.
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
# Of a watch: not seen by the pump yet, being told, waiting until its socket takes more, over.
_NEW, _OPEN, _BLOCKED, _ENDED = range(4)


class Stream(Protocol):
    """What a watch has to say."""

    over: bool  # nothing more will be said
    due: float  # when there may be something to say though nothing has happened, by time.monotonic

    def step(self) -> bytes:
        """What there is to say now, perhaps nothing."""

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` when something has happened since the last step; any thread may, with locks held."""


class Socket(Protocol):
    """A client's connection."""

    def fileno(self) -> int: ...

    def setblocking(self, flag: bool, /) -> None: ...

    def send(self, data: bytes | memoryview, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...


class Watch:
    """One client's watch. ``done`` is called at its end: True if the connection can be used for another request."""

    def __init__(self, stream: Stream, sock: Socket, *, chunked: bool, done: Callable[[bool], None]) -> None:
        self.stream, self.sock, self.done = stream, sock, done
        self.fd = sock.fileno()
        self.sent = 0  # bytes of the events
        self.timer: list[Any] = [0.0, 0, None]  # its entry in the pump's heap
        self.state = _NEW
        self._chunked = chunked
        self._pending = memoryview(b"")
        self._last = False  # the end of the body is on its way

    def prepare(self) -> None:
        """Has the next that there is to say ready."""
        data = b"" if self.stream.over else self.stream.step()
        if data:
            self.sent += len(data)
            self._pending = memoryview(b"%X\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        elif self.stream.over:
            self._last = True
            self._pending = memoryview(b"0\r\n\r\n" if self._chunked else b"")

    def advance(self) -> bool | None:
        """Sends what there is and the socket takes. True at the end, None if there is more for another turn."""
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
        """Reads what the client sent. A TLS record without data is no farewell; anything else ends the watch."""
        try:
            self.sock.recv(4096)
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True
        return True


class WatchPump:
    """See the module's words."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._news: deque[Watch] = deque()  # those for whom something has happened, or that are new
        self._awake = False  # the pump has been told that there are news
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._bell, select.EPOLLIN)
        self._open: dict[int, Watch] = {}
        self._timers: list[list[Any]] = []  # a heap of [due, number, watch]; no watch: void
        self._numbers = itertools.count()

    def serve(self, watch: Watch) -> None:
        """Takes a watch over; its connection belongs to the pump until ``done`` is called."""
        watch.prepare()  # which is much for a watch of many objects, and better done by the request's thread
        watch.sock.setblocking(False)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
                self._thread.start()
        watch.stream.listen(lambda: self._ring(watch))
        self._ring(watch)

    def _ring(self, watch: Watch) -> None:
        self._news.append(watch)
        if not self._awake:
            self._awake = True
            os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        while True:
            more: set[Watch] = set()
            for fd, events in self._poll.poll(self._patience()):
                if fd == self._bell:
                    os.eventfd_read(self._bell)
                else:
                    self._hear(self._open[fd], events, more)
            self._awake = False  # before the news are read: whoever brings more rings again
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

    def _patience(self) -> float:
        if not self._timers:
            return _LONGEST_WAIT
        due: float = self._timers[0][0]
        return min(max(0.0, due - time.monotonic()), _LONGEST_WAIT)

    def _begin(self, watch: Watch) -> None:
        watch.state = _OPEN
        self._open[watch.fd] = watch
        self._poll.register(watch.fd, _READABLE)

    def _hear(self, watch: Watch, events: int, more: set[Watch]) -> None:
        if events & ~select.EPOLLOUT and watch.has_left():
            self._end(watch, reusable=False)
            return
        if watch.state == _BLOCKED and events & select.EPOLLOUT:
            watch.state = _OPEN
            self._poll.modify(watch.fd, _READABLE)
        more.add(watch)

    def _advance(self, watch: Watch) -> None:
        try:
            ended = watch.advance()
        except (ssl.SSLWantWriteError, BlockingIOError):
            watch.state = _BLOCKED
            self._poll.modify(watch.fd, _READABLE | select.EPOLLOUT)
        except ssl.SSLWantReadError:
            return  # TLS has to hear something first, which wakes the pump
        except OSError:
            self._end(watch, reusable=False)  # the client is gone
        except Exception:
            log.exception("a watch broke off")
            self._end(watch, reusable=False)
        else:
            if ended:
                self._end(watch, reusable=True)
            elif ended is None:
                self._ring(watch)
            else:
                self._set_timer(watch)

    def _set_timer(self, watch: Watch) -> None:
        due = watch.stream.due
        if watch.timer[2] is None or watch.timer[0] != due:
            watch.timer[2] = None
            watch.timer = [due, next(self._numbers), watch]
            heapq.heappush(self._timers, watch.timer)

    def _end(self, watch: Watch, *, reusable: bool) -> None:
        watch.state = _ENDED
        watch.timer[2] = None
        del self._open[watch.fd]
        self._poll.unregister(watch.fd)
        watch.done(reusable)
