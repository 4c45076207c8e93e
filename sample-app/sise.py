"""sise, the "simple service" of the walk-through: a small HTTP server that says who was asked and that all is well.

    GET /endpoint0  {"host": "<Host header>", "version": "0.4.0", "result": "all is well"}
    GET /info       {"host": "<Host header>", "version": "0.4.0", "from": "<the caller's address>"}
    GET /health     {"healthy": true}, after a random delay between HEALTH_MIN and HEALTH_MAX milliseconds

PORT0, VERSION, HEALTH_MIN and HEALTH_MAX come from the environment. Only the standard library is used, and of that
only light modules: ``http.server`` alone would double the time to start. The main thread waits in accept(), so an
idle sise uses no processor time. The same file runs by itself, under ``docker run`` and as process 1 of a pod.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import threading
import time
from typing import NamedTuple

MAX_REQUEST = 16 * 1024  # bytes of request line and headers; curl sends about a hundred
LINGER_SECONDS = 1.0  # what a client whose connection is to be closed gets to read its answer
IDLE_SECONDS = 60.0  # how long a connection may say nothing
DRAIN_SECONDS = 1.0  # how long requests under way may take to finish after SIGTERM

REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
}


class Settings(NamedTuple):
    port: int = 9876
    version: str = "0.4.0"
    health_min: int = 0
    health_max: int = 0


class Request(NamedTuple):
    method: str
    path: str
    target: str  # the path with its query, as it was asked
    host: str
    client: str
    keep_alive: bool


class Refused(Exception):
    """A request that cannot be served: HTTP code and what was wrong."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_settings(environ: dict[str, str]) -> Settings:
    """The settings in the environment; ValueError says in one line which variable is wrong and what it may be."""

    def number(name: str, default: int, low: int, high: int) -> int:
        text = environ.get(name, "") or str(default)
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    health_min = number("HEALTH_MIN", 0, 0, 3_600_000)
    health_max = number("HEALTH_MAX", health_min, 0, 3_600_000)
    if health_min > health_max:
        raise ValueError(f"HEALTH_MIN ({health_min}) must not be above HEALTH_MAX ({health_max})")
    return Settings(number("PORT0", 9876, 1, 65535), environ.get("VERSION") or "0.4.0", health_min, health_max)


def parse_request(head: bytes, client: str) -> Request:
    """Request line and headers as a Request. A body is not expected: these are GETs."""
    lines = head.decode("latin-1").replace("\t", " ").split("\r\n")
    if not all(line.isprintable() for line in lines):
        raise Refused(400, "the request has control characters")  # which would also forge lines in the log
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(400, "the request line is not HTTP/1.x")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise Refused(400, "a header has no colon")
        headers[name.lower()] = value.strip()
    connection = headers.get("connection", "").lower()
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    keep_alive = not has_body and (connection == "keep-alive" if words[2] == "HTTP/1.0" else connection != "close")
    return Request(words[0], words[1].partition("?")[0], words[1], headers.get("host", ""), client, keep_alive)


def answer(request: Request, settings: Settings) -> dict[str, object]:
    """The JSON document for a request."""
    if request.method not in ("GET", "HEAD"):
        raise Refused(405, f"{request.method} is not supported: use GET")
    if request.path == "/endpoint0":
        return {"host": request.host, "version": settings.version, "result": "all is well"}
    if request.path == "/info":
        return {"host": request.host, "version": settings.version, "from": request.client}
    if request.path == "/health":
        time.sleep(random.uniform(settings.health_min, settings.health_max) / 1000)
        return {"healthy": True}
    raise Refused(404, f"there is nothing at {request.path}: try /endpoint0, /info or /health")


def response(code: int, document: dict[str, object], *, head_only: bool, keep_alive: bool) -> bytes:
    body = json.dumps(document).encode()
    lines = [
        f"HTTP/1.1 {code} {REASONS[code]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head_only else body)


def log(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())} INFO {text}", flush=True)


class Server:
    """One listening socket, one thread a connection."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # IPv6's wildcard also takes IPv4 connections; a machine without IPv6 gets plain IPv4.
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        self.listener = socket.create_server(("", settings.port), family=family, backlog=1024, dualstack_ipv6=dual)
        self.under_way = 0
        self.changed = threading.Condition()

    def serve(self) -> None:
        while True:
            connection, address = self.listener.accept()
            client = str(address[0]).removeprefix("::ffff:")
            threading.Thread(target=self.converse, args=(connection, client), daemon=True).start()

    def drain(self) -> None:
        """No new connection; the requests under way get a moment to finish."""
        self.listener.close()
        with self.changed:
            self.changed.wait_for(lambda: self.under_way == 0, DRAIN_SECONDS)

    def converse(self, connection: socket.socket, client: str) -> None:
        """All requests of one connection."""
        buffer = b""
        with connection:
            connection.settimeout(IDLE_SECONDS)
            try:
                while True:
                    while b"\r\n\r\n" not in buffer and len(buffer) <= MAX_REQUEST:
                        data = connection.recv(MAX_REQUEST)
                        if not data:
                            return
                        buffer += data
                    head, _, buffer = buffer.partition(b"\r\n\r\n")
                    if not self.reply(connection, head, client):
                        # Unread bytes would turn the close into a reset, which may overtake the answer.
                        connection.shutdown(socket.SHUT_WR)
                        connection.settimeout(LINGER_SECONDS)
                        while connection.recv(MAX_REQUEST):
                            continue
                        return
            except OSError:
                return  # the client went away or said nothing for too long: there is no one to answer

    def reply(self, connection: socket.socket, head: bytes, client: str) -> bool:
        """Answers one request and logs it; returns whether the connection stays open."""
        started = time.monotonic()
        with self.changed:
            self.under_way += 1
        try:
            request, code = Request("-", "-", "-", "", client, False), 200
            try:
                if len(head) > MAX_REQUEST:
                    raise Refused(431, f"request line and headers are limited to {MAX_REQUEST} bytes")
                request = parse_request(head, client)
                document = answer(request, self.settings)
            except Refused as refused:
                code, document = refused.code, {"error": str(refused)}
            data = response(code, document, head_only=request.method == "HEAD", keep_alive=request.keep_alive)
            connection.sendall(data)
            milliseconds = (time.monotonic() - started) * 1000
            log(f"{code} {request.method} {request.target} ({client}) {milliseconds:.2f}ms host={request.host}")
        finally:
            with self.changed:
                self.under_way -= 1
                self.changed.notify_all()
        return request.keep_alive


def stop(signal_number: int, _frame: object) -> None:
    raise SystemExit(0)


def main() -> None:
    # Process 1 of a container ignores a signal that it has no handler for, and Docker would have to kill it.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        settings = read_settings(dict(os.environ))
        server = Server(settings)
    except (ValueError, OSError) as error:
        sys.exit(f"sise: {error}")
    print(f"This is a simple service in version v{settings.version} listening on port {settings.port}", flush=True)
    try:
        server.serve()
    finally:
        server.drain()


if __name__ == "__main__":
    main()
