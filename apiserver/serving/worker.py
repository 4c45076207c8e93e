"""A worker: one main loop that waits for clients, and threads that serve their requests.

The life of a connection:

    accept           by the main loop, which then waits for its first bytes. No thread yet, and no TLS object.
    head             When bytes come, a thread takes them. A whole head is served at once. For the rest of an incomplete
                     one (or of a TLS handshake) the connection goes back to the main loop, which waits for at most
                     PARTIAL_LIMIT such connections, and for each of them HEAD_TIMEOUT seconds in all.
    body             Likewise, within the application's request timeout. All bodies that are being waited for together
                     hold at most BODIES_LIMIT bytes. Only of one that is too long for the application to take as a
                     whole (it is proxied, or refused) the rest is received by a thread.
    request          The thread calls the application and writes what it returns.
    and then one of
    keep-alive       The thread stays for STAY_MILLISECONDS, because a client often asks again at once and a change of
                     threads is the dearest part of a small request under Python's global lock. After that the
                     connection goes back to the main loop until the next head, for KEEP_ALIVE seconds.
    watch            The application has put a stream into the environ: the connection is lent to the pump
                     (watchpump.py), and its thread goes on to others. After the watch it is kept alive as any other.
    taken over       The application has written on the socket itself (an exec, a tunnel): the thread was its own all
                     the time, and the connection is closed after it.
    close            The sending half is closed; the main loop waits up to LINGER seconds for the client to have read
                     everything.

So neither silent nor slow nor many clients keep others from being served. When there are too many connections, those
are closed that have been silent longest.

Threads and the main loop share nothing but ``_returned``, the queue of connections that come back.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import logging
import os
import select
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

from apiserver.model.exchange import WATCH
from apiserver.serving.connection import HEAD_WAIT, ClientConnection
from apiserver.serving.http import BadMessage, HTTPExchange, refusal
from apiserver.serving.scoreboard import Scoreboard
from apiserver.serving.sockets import is_ready
from apiserver.serving.threads import Threads
from apiserver.serving.tls import ServerTLS
from apiserver.serving.watchpump import EventStream, WatchPump, WatchResponse

log = logging.getLogger(__name__)

# What serves open logs, execs and proxied connections of one worker, and requests beside them: more than the
# application uses at a time (api/shares.py), so that there is always one for the next head and for a health check. And
# all connections, with those of watches, which need no thread.
THREADS = 1500
CONNECTIONS = 4000
# Fewer than CONNECTIONS by this, silent connections are closed for new ones.
HEADROOM = 100
# Connections in the middle of a handshake, head or body. TLS takes 46 KB for each.
PARTIAL_LIMIT = 1000
# Bytes of unfinished bodies that are held at a time. Above that those go that have been silent longest.
BODIES_LIMIT = 64 << 20
# Seconds for a client to notice that its connection is over.
LINGER = 5.0
# Seconds for a handshake and the head of its request (upstream: ReadHeaderTimeout).
HEAD_TIMEOUT = 32.0
# Seconds that an idle connection is kept: longer than clients keep it, so that it is the client who closes.
KEEP_ALIVE = 100.0
# The same when the worker is about to stop.
STOP_KEEP_ALIVE = 0.2
# Long enough for a client that works through a list, short enough not to hold up a stop.
STAY_MILLISECONDS = 200
# Seconds that a worker leaves a new connection to those that have fewer.
YIELD_SECONDS = 0.001
# Seconds after which the main loop looks for connections whose time is over; and, without any, shows that it lives.
SWEEP, STOP_SWEEP, BEAT = 1.0, 0.05, 15.0
_M_ARENA_MAX = -8  # <malloc.h>
# Seconds after which a thread that waits for Python's global lock makes the holder give it up. Threads of requests give
# it up by themselves, at each system call; and a thread that was asked to sleeps until another has it, even before a
# system call. With Python's 5 ms a POST of 16 clients at a time costs 10 % more processor time. Longer than this, those
# who compute would hold up the others too much.
SWITCH_INTERVAL = 0.02


class Application(Protocol):
    """What is served: a WSGI application with a beginning and an end in each worker."""

    request_timeout: float  # seconds for a request's body, and at most for its head

    def __call__(self, environ: dict[str, Any], start_response: Any, /) -> Iterable[bytes]: ...

    def streams_body(self, environ: dict[str, Any], /) -> bool:
        """Return True for a request whose body the application reads as it comes, and does not need as a whole."""

    def start(self, slot: int) -> None:
        """Start threads and connections; called in the worker, of which ``slot`` is the number."""

    def end_streams(self) -> None:
        """End watches and tunnels, which would hold up a stop. Called in a thread of its own."""

    def stop(self) -> None:
        """End threads and connections, when the last request has been served."""


class Next(enum.Enum):
    """What becomes of a connection that a thread is done with."""

    WAIT_FOR_REQUEST = enum.auto()  # the rest of it
    KEEP_ALIVE = enum.auto()
    CLOSED = enum.auto()
    LINGER = enum.auto()  # until the client has read everything
    LENT = enum.auto()  # to the pump, which returns it itself


class BegunRequest(NamedTuple):
    """A request whose head has been read."""

    exchange: HTTPExchange
    environ: dict[str, Any]


class Worker:
    """One for a process, or a test. ``start``, then ``run``, the main loop; ``stop`` ends it."""

    def __init__(
        self,
        application: Application,
        listeners: Sequence[socket.socket],
        tls: ServerTLS | None,
        scoreboard: Scoreboard,
        slot: int = 0,
    ) -> None:
        self._application = application
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._tls = tls
        self._scoreboard = scoreboard
        self._slot = slot
        self._head_timeout = min(HEAD_TIMEOUT, application.request_timeout)
        self._pool = Threads(THREADS)
        self._pump = WatchPump()
        self._poll = select.epoll()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wakeup, select.EPOLLIN)
        self._returned: deque[tuple[ClientConnection, Next]] = deque()
        self._stopping = False
        self._ended = False  # the main loop no longer takes connections back
        self._accepting = False
        self._next_sweep = 0.0
        self._count = 0  # of open connections, wherever they are
        # Those that the main loop waits for; the dicts are sets that keep the order, longest silent first.
        self._by_fd: dict[int, ClientConnection] = {}
        self._new: dict[ClientConnection, None] = {}  # nothing came yet
        self._partial: dict[ClientConnection, None] = {}  # a part of the handshake, head or body
        self._bodies = 0  # bytes of bodies among them
        self._idle: dict[ClientConnection, None] = {}  # between two requests
        self._lingering: dict[ClientConnection, None] = {}  # our half is closed

    def start(self) -> None:
        """Start the application."""
        # Threads come and go, and glibc would keep a heap for each that was there at once.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._application.start(self._slot)
        self._tell_count(0)

    def run(self, grace: float) -> None:
        """Serve until ``stop`` is called, and then for at most ``grace`` seconds those requests that have begun."""
        try:
            while not self._stopping:
                self._accept_from_listeners(self._count < CONNECTIONS)
                self._turn(SWEEP if self._by_fd else BEAT)
            self._finish(grace)
        finally:
            self._pool.shutdown()
            self._application.stop()

    def stop(self) -> None:
        """Begin to stop; for a signal handler, so it takes no lock."""
        if not self._stopping:
            self._stopping = True
            # Not here: the signal may have interrupted someone who holds the very lock that ending streams needs.
            threading.Thread(target=self._application.end_streams, name="end-streams").start()
            os.eventfd_write(self._wakeup, 1)

    def _finish(self, grace: float) -> None:
        self._accept_from_listeners(False)
        for listener in self._listeners.values():
            listener.close()
        for connection in [*self._new, *self._partial]:
            self._drop(connection)
        self._next_sweep = now = time.monotonic()
        for connection in [*self._idle, *self._lingering]:
            connection.deadline = min(connection.deadline, now + STOP_KEEP_ALIVE)
        end = now + grace
        while self._count and (left := end - time.monotonic()) > 0:
            self._turn(min(left, STOP_SWEEP))
        for connection in list(self._by_fd.values()):
            self._drop(connection)
        self._ended = True
        self._close_returned()

    # --- the main loop ----------------------------------------------------------------------------------------------

    def _turn(self, seconds: float) -> None:
        for fd, _ in self._poll.poll(seconds):
            if fd == self._wakeup:
                os.eventfd_read(self._wakeup)
            elif fd in self._listeners:
                self._accept(self._listeners[fd])
            elif connection := self._by_fd.get(fd):  # None if it was dropped in this very turn
                if connection in self._lingering:
                    if connection.discard():
                        self._drop(connection)
                    continue
                self._remove(connection)
                self._pool.submit(partial(self._serve, connection))
        while self._returned:
            self._take_back(*self._returned.popleft())
        now = time.monotonic()
        if now >= self._next_sweep:
            self._next_sweep = now + (STOP_SWEEP if self._stopping else SWEEP)
            for connection in [one for one in self._by_fd.values() if one.deadline <= now]:
                self._drop(connection)
        self._scoreboard.beat(self._slot)

    def _accept_from_listeners(self, wanted: bool) -> None:
        if wanted != self._accepting:
            self._accepting = wanted
            for fd in self._listeners:
                if wanted:
                    self._poll.register(fd, select.EPOLLIN)
                else:
                    self._poll.unregister(fd)

    def _accept(self, listener: socket.socket) -> None:
        if self._count > self._scoreboard.fewest_connections() + 1:
            # All workers are told of it, and the first one there is not always the one with the least to do.
            time.sleep(YIELD_SECONDS)
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        if self._count >= CONNECTIONS - HEADROOM:
            self._make_room()
        self._tell_count(self._count + 1)
        connection = ClientConnection(accepted, client, listener.getsockname(), self._tls, self._head_timeout)
        self._wait_for(connection, self._new)

    def _wait_for(self, connection: ClientConnection, among: dict[ClientConnection, None]) -> None:
        among[connection] = None
        self._by_fd[connection.fd] = connection
        self._poll.register(connection.fd, select.EPOLLIN)

    def _remove(self, connection: ClientConnection) -> None:
        del self._by_fd[connection.fd]
        self._poll.unregister(connection.fd)
        self._bodies -= connection.held
        connection.held = 0
        for waiting in (self._lingering, self._new, self._partial, self._idle):
            waiting.pop(connection, None)

    def _drop(self, connection: ClientConnection) -> None:
        """Close a connection that is waited for."""
        self._remove(connection)
        connection.close()
        self._tell_count(self._count - 1)

    def _make_room(self) -> None:
        """Close the connection that has been silent longest, preferably one that has not finished a request yet."""
        for waiting in (self._lingering, self._new, self._partial, self._idle):
            if waiting:
                self._drop(next(iter(waiting)))
                return

    def _take_back(self, connection: ClientConnection, then: Next) -> None:
        if then is Next.CLOSED or (self._stopping and then is Next.WAIT_FOR_REQUEST):
            connection.close()
            self._tell_count(self._count - 1)
        elif then is Next.LINGER:
            connection.deadline = time.monotonic() + (STOP_KEEP_ALIVE if self._stopping else LINGER)
            self._wait_for(connection, self._lingering)
        elif then is Next.WAIT_FOR_REQUEST:
            connection.held = connection.begun.exchange.collected if connection.begun else 0
            self._bodies += connection.held
            self._wait_for(connection, self._partial)
            while len(self._partial) > PARTIAL_LIMIT or (self._bodies > BODIES_LIMIT and len(self._partial) > 1):
                self._drop(next(iter(self._partial)))
        elif connection.has_received():
            # Bytes that were received already do not wake the poller.
            self._pool.submit(partial(self._serve, connection))
        else:
            connection.deadline = time.monotonic() + (STOP_KEEP_ALIVE if self._stopping else KEEP_ALIVE)
            self._wait_for(connection, self._idle)

    def _tell_count(self, count: int) -> None:
        self._count = count
        self._scoreboard.tell_connections(self._slot, count)

    # --- the threads ------------------------------------------------------------------------------------------------

    def _serve(self, connection: ClientConnection) -> None:
        """Serve the requests of a connection until it pauses, ends or is lent."""
        then = Next.CLOSED
        try:
            then = self._serve_requests(connection)
        except OSError as error:
            log.debug("a connection from %s broke: %s", connection.client, error)
        except Exception:
            log.exception("an unexpected error beside the application")
        if then is not Next.LENT:
            self._return(connection, then)

    def _return(self, connection: ClientConnection, then: Next) -> None:
        self._returned.append((connection, then))
        if self._ended:  # for those that took longer than the grace
            self._close_returned()
        else:
            os.eventfd_write(self._wakeup, 1)

    def _close_returned(self) -> None:
        with suppress(IndexError):  # several threads may do this at a time
            while True:
                self._returned.popleft()[0].close()

    def _serve_requests(self, connection: ClientConnection) -> Next:
        while True:
            begun = connection.begun or self._begin_request(connection)
            if begun is None:
                return Next.WAIT_FOR_REQUEST
            if isinstance(begun, Next):
                then = begun
            elif self._has_body(connection, begun):
                connection.begun = None
                then = self._serve_request(connection, *begun)
            else:
                return Next.WAIT_FOR_REQUEST
            if then is Next.LINGER:
                connection.end_sending()
            if then is not Next.KEEP_ALIVE or self._stopping or not connection.waits_for_more(STAY_MILLISECONDS):
                return then

    def _begin_request(self, connection: ClientConnection) -> BegunRequest | Next | None:
        """Return the request of which the head has come, None if it has not, and what follows a refused one."""
        if not connection.receive_head():
            return None
        try:
            exchange = HTTPExchange(connection, body_timeout=self._application.request_timeout, last=self._stopping)
            return BegunRequest(exchange, exchange.build_environ())
        except BadMessage as error:
            log.debug("a request from %s cannot be read: %s", connection.client, error)
            connection.socket.sendall(refusal(error.code, "BadRequest", str(error)))
            return Next.LINGER

    def _has_body(self, connection: ClientConnection, begun: BegunRequest) -> bool:
        """Return False, and let the main loop wait, if the application has to wait for more of the body."""
        exchange, environ = begun
        if exchange.has_body and connection.begun is None and self._application.streams_body(environ):
            return True
        if exchange.collect_body():
            return True
        if is_ready(connection.socket, select.POLLIN, HEAD_WAIT) and exchange.collect_body():
            return True
        if connection.begun is None:
            connection.begun = begun
            connection.deadline = time.monotonic() + self._application.request_timeout
        elif time.monotonic() > connection.deadline:
            raise ConnectionResetError(errno.ECONNRESET, "the client stalled")
        return False

    def _serve_request(self, connection: ClientConnection, exchange: HTTPExchange, environ: dict[str, Any]) -> Next:
        body: Any = ()
        try:
            body = self._application(environ, exchange.start_response)
            if exchange.taken_over:
                return Next.LINGER
            if WATCH in environ and exchange.method == "GET":
                exchange.send_head()
                self._lend(connection, exchange, environ[WATCH], body)
                body = ()
                return Next.LENT
            for part in body:
                exchange.write(part)
            exchange.finish()
        except OSError:
            raise  # the client is gone
        except Exception:
            log.exception("an unexpected error beside the application, or while the response was sent")
            # Once a part of the response has been sent, an error page would be taken for more of it.
            if not exchange.head_sent:
                connection.socket.sendall(refusal(500, "InternalError", "Internal error occurred"))
            return Next.LINGER
        finally:
            _close(body)
        return Next.KEEP_ALIVE if exchange.can_be_followed() else Next.LINGER

    def _lend(self, connection: ClientConnection, exchange: HTTPExchange, stream: EventStream, body: Any) -> None:
        """Give the connection of a watch to the pump until the watch has ended."""
        reusable = exchange.can_be_followed()

        def done(complete: bool) -> None:
            """Run in the pump's thread; ``complete`` says that the response was written to its end."""
            exchange.bytes_sent = watch.sent
            try:
                _close(body)
            finally:
                self._return(connection, Next.KEEP_ALIVE if complete and reusable else Next.CLOSED)

        watch = WatchResponse(stream, connection.socket, chunked=exchange.chunked, done=done)
        self._pump.serve(watch)


def _close(body: Any) -> None:
    """Close what a WSGI application has returned."""
    if hasattr(body, "close"):
        body.close()
