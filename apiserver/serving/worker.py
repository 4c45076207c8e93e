"""gunicorn's threaded worker, with habits that suit its clients, good and bad.

A thread stays with its connection for a moment after an answer instead of handing it back to the worker's main thread:
the next request then costs no change of threads, which under Python's global lock is the dearest part of a small
request. And head and body of an answer leave in one TLS record. Together they save a fifth of the processor time of a
GET (345 instead of 430 µs, everything included).

A connection has a thread only from when the head of a request is there until that is answered; the head and the body
must come in a time. When there are too many connections, those go that have been silent longest. So neither silent nor
slow nor many clients keep others from being served.

The connection of a watch is lent to the pump (watchpump.py) until the watch has ended; its thread goes on to others.
"""

from __future__ import annotations

import errno
import mmap
import select
import selectors
import threading
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker

from apiserver.api.watchstream import WATCH
from apiserver.serving.connections import HEAD, Connection, is_ready
from apiserver.serving.gunicorntuning import tune
from apiserver.serving.threads import Threads
from apiserver.serving.watchpump import Stream, Watch, WatchPump
from machinery.errors import ApiError

# Seconds that a worker leaves a new connection to those that have fewer.
YIELD = 0.001
# Seconds for a client to notice that its connection is over.
LINGER = 1.0
# Connections below the most at which silent ones are closed, and how many may be in the middle of a handshake or head:
# TLS takes 46 KB for each.
ROOM, HALVES = 100, 1000
# Long enough for a client that works through a list, short enough not to hold up a stop.
STAY_MILLISECONDS = 200
_CODES: dict[type[BaseException], int] = {
    LimitRequestLine: 414,
    LimitRequestHeaders: 431,
    ExpectationFailed: 417,
    UnsupportedTransferCoding: 501,
}
# Above this, joining head and body costs more than sending them one by one.
_JOIN_LIMIT = 64 * 1024


class Crowd:
    """How many connections each worker has, in memory that they share; made before the fork."""

    def __init__(self, blocks: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, blocks * 8)).cast("q")
        for block in range(blocks):
            self.forget(block)

    def tell(self, block: int, count: int) -> None:
        self._counts[block] = count

    def least(self) -> int:
        """What the worker has that has fewest."""
        return min((count for count in self._counts if count >= 0), default=0)

    def forget(self, block: int) -> None:
        """There is no such worker, or it has ended."""
        self._counts[block] = -1


# What ``handle`` returns for a connection that is no longer its thread's, and for one whose head is still to come.
LENT, WAITING = object(), object()


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module's words."""

    # Which of the workers it is, and how all of them are: told by server.py before the fork.
    block = 0
    crowd: Crowd

    def __init__(self, *arguments: Any) -> None:
        self._connections = 0
        super().__init__(*arguments)
        self._halves: dict[Connection, None] = {}  # those who have said half of what they have to say, oldest first
        self._lenders: set[int] = set()  # threads that have just lent their connection

    def init_process(self) -> None:
        tune(self.cfg)
        self.crowd.tell(self.block, 0)
        self.pump = WatchPump()
        super().init_process()

    def get_thread_pool(self) -> Threads:
        return Threads(self.cfg.threads)

    @property
    def nr_conns(self) -> int:
        """gunicorn's count of open connections; here the other workers know it too."""
        return self._connections

    @nr_conns.setter
    def nr_conns(self, count: int) -> None:
        self._connections = count
        if self.booted:
            self.crowd.tell(self.block, count)

    def accept(self, listener: Any) -> None:
        """A new connection waits for what its client has to say."""
        if self.nr_conns > self.crowd.least() + 1:
            time.sleep(YIELD)  # all workers hear of it, and the first to be there is not always who has least to do
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        if self.nr_conns >= self.worker_connections - ROOM:
            self._make_room()
        self.nr_conns += 1
        patience = min(HEAD, self.app.request_timeout)
        self._await_head(Connection(self.cfg, accepted, client, listener.getsockname(), patience))

    def _await_head(self, conn: Connection) -> None:
        """Whoever comes later has at most as long as all before it: looking at the first is enough to miss none."""
        if conn.initialized:
            if len(self._halves) >= HALVES:
                self._drop(next(iter(self._halves)), self.pending_conns)
            self._halves[conn] = None
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:
        self._halves.pop(conn, None)
        super().on_pending_socket_readable(conn, client)

    def murder_pending(self) -> None:
        """Closes those whose time is over."""
        while self.pending_conns and self.pending_conns[0].timeout <= time.monotonic():
            self._drop(self.pending_conns[0], self.pending_conns)

    def _make_room(self) -> None:
        """Closes the connection that has been silent longest, one that never spoke if there is any."""
        silent = self.pending_conns or self.keepalived_conns
        if silent:
            self._drop(silent[0], silent)

    def _drop(self, conn: Any, silent: deque[Any]) -> None:
        silent.remove(conn)
        self._halves.pop(conn, None)
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker stops: who has not spoken yet is no reason to wait."""
        super()._cap_keepalive(deadline)
        while self.pending_conns:
            self._drop(self.pending_conns[0], self.pending_conns)

    def handle(self, conn: Any) -> Any:
        """Serves the requests of a connection until it pauses or ends; what is returned decides about its future."""
        while True:
            conn.waiting = False
            keep = super().handle(conn)
            if conn.waiting:
                return WAITING
            if threading.get_ident() in self._lenders:
                self._lenders.discard(threading.get_ident())
                return LENT
            if keep is False:
                # Here and not in the main thread, which accepts connections: it waits for clients that do not go.
                util.close_graceful(conn.sock, LINGER)
            if keep is not True or conn.is_http2 or not self.alive or not _has_more(conn):
                return keep

    def finish_request(self, conn: Any, future: Any) -> None:
        """Runs in the main thread with what ``handle`` returned."""
        result = future.result() if future.exception() is None else False
        if result is False or (result is WAITING and not self.alive):
            self.nr_conns -= 1
            conn.close()
        elif result is WAITING:
            self._await_head(conn)
        elif result is not LENT:
            super().finish_request(conn, future)

    def handle_request(self, request: Any, conn: Any) -> bool:
        """Runs the application for one request and tells whether the connection may serve another."""
        response, environ = wsgi.create(request, conn.sock, conn.client, conn.server, self.cfg, response_class=Response)
        environ["wsgi.multithread"] = True
        environ["gunicorn.response"] = response  # which knows how much of the body it has sent
        if not self.alive:
            response.force_close()
        body: Any = ()
        try:
            body = self.wsgi(environ, response.start_response)
            if WATCH in environ and request.method == "GET":
                response.write(b"")  # the head
                self._lend(conn, environ[WATCH], response, body)
                body = ()
                return False
            for part in body:
                response.write(part)
            response.close()
        except Exception as error:
            if isinstance(error, OSError) or not response.headers_sent:
                raise
            # An error page would be taken for a part of the answer that has begun.
            self.log.exception("an answer broke off in the middle")
            raise StopIteration from error
        finally:
            if hasattr(body, "close"):
                body.close()
        return not response.should_close()

    def _lend(self, conn: Any, stream: Stream, response: Any, body: Any) -> None:
        """Gives the connection of a watch to the pump, until the watch has ended."""

        def done(reusable: bool) -> None:
            response.sent = watch.sent
            body.close()
            keep = reusable and not response.should_close()
            self.method_queue.defer(self._take_back, conn, keep)

        # Of the thread and not of the connection, which may be back before its thread looks.
        self._lenders.add(threading.get_ident())
        watch = Watch(stream, conn.sock, chunked=response.chunked, done=done)
        self.pump.serve(watch)

    def _take_back(self, conn: Any, keep: bool) -> None:
        """Runs in the main thread: the connection waits for its next request, or ends."""
        finished: Future[bool] = Future()
        finished.set_result(keep)
        self.finish_request(conn, finished)

    def handle_error(self, request: Any, client: Any, addr: Any, error: BaseException) -> None:
        """What never becomes a request is answered with a Status too."""
        code, reason, text = 500, "InternalError", "Internal error occurred"
        if isinstance(error, ParseException | OSError):
            code = next((code for cls, code in _CODES.items() if isinstance(error, cls)), 400)
            reason, text = "BadRequest", f"the request cannot be read: {error}"
            self.log.debug("a request that cannot be read, from %s: %s", addr, error)
        else:
            self.log.exception("an unexpected error beside the application")
        body = orjson.dumps(ApiError(text, code=code, reason=reason).status())
        head = (
            f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode("latin-1") + body)
        except OSError as gone:
            self.log.debug("nobody is there to hear of it: %s", gone)


class Response(wsgi.Response):  # type: ignore[misc]
    """Keeps the head until there is something of the body, or until it is clear that there is none for now."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._head = b""
        self.headers_sent: bool = False

    def send_headers(self) -> None:
        if self.headers_sent:
            return
        lines = self.default_headers() + [f"{name}: {value}\r\n" for name, value in self.headers]
        if not any(name == "Cache-Control" for name, _ in self.headers):  # as upstream's filter of that name
            lines.append("Cache-Control: no-cache, private\r\n")
        self._head = "".join([*lines, "\r\n"]).encode("latin-1")
        self.headers_sent = True

    def write(self, part: bytes) -> None:
        """An empty part sends the head at once: a watch has begun, though nothing has happened yet."""
        super().write(part)
        if not part:
            self._flush()

    def close(self) -> None:
        self.send_headers()
        self._flush()
        super().close()

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        if self._head and len(data) <= _JOIN_LIMIT:
            data, self._head = self._head + data, b""
        self._flush()
        util.write(self.sock, data)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            util.write(self.sock, head)


def _has_more(conn: Any) -> bool:
    """Waits a moment for the client's next request, which may be here already."""
    if conn.parser.unreader.buf.tell() or getattr(conn.sock, "pending", int)():
        return True
    return is_ready(conn.sock, select.POLLIN, STAY_MILLISECONDS)
