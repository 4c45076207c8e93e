"""What the ``__main__`` of every component needs: logging, signals, health and metrics."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from machinery.metrics import CONTENT_TYPE, METRICS
from machinery.processmetrics import add_process_metrics

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

log = logging.getLogger(__name__)

# Tells why the component is not healthy; an empty text or None if it is.
HealthCheck = Callable[[], str | None]


def setup_logging(verbose: bool = False) -> None:
    """One line a message on stderr: UTC time, level, thread, logger, text."""
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
    # It warns when more connections are open than are kept idle, which is how watches are meant to be.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM or SIGINT sets; a second one ends the process at once. For the main thread."""
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def fatal(message: str) -> NoReturn:
    """Ends the process with a clear line."""
    log.critical(message)
    raise SystemExit(1)


def serve_health(address: str, check: HealthCheck) -> ThreadingHTTPServer | None:
    """Answers on ``ip:port``, in the background: /healthz, /livez, /readyz with 200 ``ok`` or 503 and why; /metrics."""
    if not address:
        return None
    add_process_metrics(METRICS)
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

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
            """Health checks are not news."""

    host, _, port = address.rpartition(":")
    try:
        server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), Handler)
    except OSError as error:
        fatal(f"cannot serve health on {address}: {error.strerror}. Choose another --healthz-bind-address.")
    server.daemon_threads = True
    # Nobody calls shutdown(), so there is nothing to poll for.
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 3600}, name="healthz", daemon=True).start()
    return server
