"""What the ``__main__`` of every component needs: logging, signals, /healthz and /metrics."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from machinery.httpstatus import RESPONSES
from machinery.metrics import CONTENT_TYPE, METRICS
from machinery.processmetrics import add_process_metrics

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

log = logging.getLogger(__name__)

# Connections to the health port of a process, each of which has a thread.
MOST_HEALTH_CLIENTS = 50
# Returns in words why the component is not healthy; an empty text or None if it is.
HealthCheck = Callable[[], str | None]


def setup_logging(verbose: bool = False) -> None:
    """Log to stderr, one line for each message: UTC time, level, logger, thread, text."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s [%(threadName)s] %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for chatty in ("urllib3", "docker", "asyncio", "pyroute2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # It warns when more connections are open than are kept idle, which is so whenever there are many watches.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM or SIGINT sets; a second signal ends the process. Only for the main thread."""
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def fatal(message: str) -> NoReturn:
    """Log why the process cannot go on, and end it with exit code 1."""
    log.critical(message)
    raise SystemExit(1)


def serve_health(address: str, check: HealthCheck) -> ThreadingHTTPServer | None:
    """Serve in the background on ``ip:port``: /metrics; /healthz, /livez, /readyz with 200 ``ok``, or 503 and why."""
    if not address:
        return None
    add_process_metrics(METRICS)
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class HealthHandler(BaseHTTPRequestHandler):
        timeout = 10  # seconds that a client may be silent
        responses = RESPONSES

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, METRICS.exposition(), CONTENT_TYPE)
            elif path in ("/healthz", "/livez", "/readyz"):
                problem = check()
                self._answer(503 if problem else 200, (problem or "ok").encode())
            else:
                self._answer(404, b"404 page not found\n")

        def _answer(self, code: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: health checks come every few seconds."""

    class HealthServer(ThreadingHTTPServer):
        daemon_threads = True
        clients: dict[object, None] = {}  # the oldest first

        def process_request(self, request: Any, client_address: Any) -> None:
            if len(self.clients) >= MOST_HEALTH_CLIENTS:
                # Whoever is slow or silent for longest makes room. Its own thread closes the socket then.
                with suppress(OSError, StopIteration):
                    oldest: Any = next(iter(self.clients))
                    self.clients.pop(oldest, None)
                    oldest.shutdown(socket.SHUT_RDWR)
            self.clients[request] = None
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            self.clients.pop(request, None)
            super().shutdown_request(request)

    host, _, port = address.rpartition(":")
    try:
        server = HealthServer((host or "127.0.0.1", int(port)), HealthHandler)
    except OSError as error:
        fatal(f"cannot serve health on {address}: {error.strerror}. Choose another --healthz-bind-address.")
    # The poll only serves shutdown(), which nobody calls: the thread ends with the process.
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 3600}, name="healthz", daemon=True).start()
    return server
