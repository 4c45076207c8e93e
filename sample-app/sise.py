"""sise, the "simple service" of the article: a small HTTP server that says who was asked and that all is well.

    GET /endpoint0  {"host": "<Host header>", "version": "0.4.0", "result": "all is well"}
    GET /info       {"host": "<Host header>", "version": "0.4.0", "from": "<the caller's address>"}
    GET /health     {"healthy": true}, after a random delay between HEALTH_MIN and HEALTH_MAX milliseconds

PORT0, VERSION, HEALTH_MIN and HEALTH_MAX come from the environment. The same file runs by itself, under ``docker run``
and as process 1 of a pod. It speaks HTTP by itself because many of it are started at once: ``http.server`` imports
ssl, email and html, which doubles the processor time of a start (30 to 60 ms) and costs each pod 3.5 MB.
The main thread waits in accept(), so that an idle sise uses no processor time.
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
from http import HTTPStatus
from typing import BinaryIO, NamedTuple

MAX_REQUEST = 16 * 1024  # bytes of request line and headers; curl sends about a hundred
LINGER_SECONDS = 1.0  # how long a client may take to read its answer before its connection is closed
IDLE_SECONDS = 60.0  # how long a connection may be silent
DRAIN_SECONDS = 1.0  # how long requests under way may take to finish after SIGTERM


class Settings(NamedTuple):
    port: int = 9876
    version: str = "0.4.0"
    health_min: int = 0  # milliseconds
    health_max: int = 0


class Request(NamedTuple):
    method: str
    target: str  # the path with its query, as the client wrote it
    host: str
    client: str  # the caller's IP address
    keep_alive: bool


class Refused(Exception):
    """A request that cannot be served: the status code, and in words what was wrong."""

    def __init__(self, code: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_settings(environ: dict[str, str]) -> Settings:
    """Return the settings in the environment; raise ValueError with a line that names the wrong variable."""

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


def read_head(stream: BinaryIO) -> bytes:
    """Read request line and headers: empty if the client has closed, over MAX_REQUEST bytes if it sends too many."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) <= MAX_REQUEST:
        line = stream.readline(MAX_REQUEST + 1)
        if not line:
            return b""
        head += line
    return head


def parse_request(head: bytes, client: str) -> Request:
    """Parse request line and headers. After a request with a body the connection is closed: the body is not read."""
    if len(head) > MAX_REQUEST:
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"request line and headers are limited to {MAX_REQUEST} bytes"
        )
    lines = head.decode("latin-1").replace("\t", " ").removesuffix("\r\n\r\n").split("\r\n")
    if not all(line.isprintable() for line in lines):  # such characters would also forge lines in the log
        raise Refused(HTTPStatus.BAD_REQUEST, "the request has control characters")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(HTTPStatus.BAD_REQUEST, "the request line is not HTTP/1.x")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise Refused(HTTPStatus.BAD_REQUEST, "a header has no colon")
        headers[name.lower()] = value.strip()
    connection = headers.get("connection", "").lower()
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    keep_alive = not has_body and (connection == "keep-alive" if words[2] == "HTTP/1.0" else connection != "close")
    return Request(words[0], words[1], headers.get("host", ""), client, keep_alive)


def answer(request: Request, settings: Settings) -> dict[str, object]:
    """Return the JSON document for a request."""
    if request.method not in ("GET", "HEAD"):
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not supported: use GET")
    path = request.target.partition("?")[0]
    if path == "/endpoint0":
        return {"host": request.host, "version": settings.version, "result": "all is well"}
    if path == "/info":
        return {"host": request.host, "version": settings.version, "from": request.client}
    if path == "/health":
        time.sleep(random.uniform(settings.health_min, settings.health_max) / 1000)
        return {"healthy": True}
    raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {path}: try /endpoint0, /info or /health")


def response(code: HTTPStatus, document: dict[str, object], request: Request) -> bytes:
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {code} {code.phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if request.keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if request.method == "HEAD" else body)


class Server:
    """One listening socket, one thread for each connection."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # IPv6's wildcard also takes IPv4 connections; a machine without IPv6 gets plain IPv4.
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        self.listener = socket.create_server(("", settings.port), family=family, backlog=1024, dualstack_ipv6=dual)
        self.under_way = 0  # requests that have been read and not yet answered
        self.changed = threading.Condition()

    def serve(self) -> None:
        while True:
            connection, address = self.listener.accept()
            client = str(address[0]).removeprefix("::ffff:")
            threading.Thread(target=self.converse, args=(connection, client), daemon=True).start()

    def drain(self) -> None:
        """Accept no more connections, and give the requests under way DRAIN_SECONDS to finish."""
        self.listener.close()
        with self.changed:
            self.changed.wait_for(lambda: self.under_way == 0, DRAIN_SECONDS)

    def converse(self, connection: socket.socket, client: str) -> None:
        """Answer all requests of one connection, then close it."""
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(IDLE_SECONDS)
            try:
                while (head := read_head(stream)) and self.reply(connection, head, client):
                    continue
                # Unread bytes would turn the close into a reset, which may overtake the answer.
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(LINGER_SECONDS)
                while connection.recv(MAX_REQUEST):
                    continue
            except OSError:
                return  # The client went away or was silent for too long, so nobody is left to answer.

    def reply(self, connection: socket.socket, head: bytes, client: str) -> bool:
        """Answer one request and log it; return whether the connection stays open."""
        started = time.monotonic()
        with self.changed:
            self.under_way += 1
        try:
            request, code = Request("-", "-", "", client, False), HTTPStatus.OK
            try:
                request = parse_request(head, client)
                document = answer(request, self.settings)
            except Refused as refused:
                code, document = refused.code, {"error": str(refused)}
            connection.sendall(response(code, document, request))
            log(code, request, (time.monotonic() - started) * 1000)
        finally:
            with self.changed:
                self.under_way -= 1
                self.changed.notify_all()
        return request.keep_alive


def log(code: int, request: Request, milliseconds: float) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    what = f"{code} {request.method} {request.target} ({request.client})"
    print(f"{now} INFO {what} {milliseconds:.2f}ms host={request.host}", flush=True)


def stop(signal_number: int, _frame: object) -> None:
    raise SystemExit(0)


def main() -> None:
    # The kernel drops a signal to process 1 of a container that has no handler for it, and Docker would have to kill.
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
