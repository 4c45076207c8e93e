"""The requests on one connection: check who asks, find the endpoint, and answer in plain text (not with a Status).

Paths and parameters are upstream's (pkg/kubelet/server). Who may ask is decided in access.py.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from kubelet.model.runtime import RuntimeFailure, RuntimeNotFound, RuntimeUnavailable
from kubelet.model.streaming import StreamingRuntime
from kubelet.server import stats
from kubelet.server.access import Gate
from kubelet.server.connection import Connection
from kubelet.server.host import PodHost
from kubelet.server.logs import containerlogs, nodelogs
from kubelet.server.logs.logfile import FolderWatch, LogFile
from kubelet.server.streams import execute, podnetwork, portforward, upgrade
from kubelet.server.streams.orphans import Orphans
from kubelet.server.streams.spdy import SpdyError
from machinery.digits import is_number
from machinery.errors import ApiError, BadRequest, InternalError, NotFound, quote
from machinery.httpstatus import RESPONSES
from machinery.metrics import CONTENT_TYPE, METRICS
from machinery.objects import Object
from machinery.websocket import is_websocket

_LOG = logging.getLogger(__name__)
_IDLE_SECONDS = 90.0  # between requests on a kept-alive connection
_HEADER_SECONDS = 10.0
_LINE_LIMIT = 256 * 1024
_LINGER_SECONDS = 2.0  # for the client of a stream to close its end, too
_CHUNK = 65536
_METHODS = ("GET", "POST")


@dataclass(slots=True)
class KubeletApi:
    """What the endpoints of the kubelet's server work with."""

    host: PodHost
    runtime: StreamingRuntime
    gate: Gate
    statistics: stats.Statistics = field(default_factory=stats.Statistics)
    orphans: Orphans = field(default_factory=Orphans)


class RequestHandler(BaseHTTPRequestHandler):
    """http.server's parser on our Connection. What http.server calls ``server`` is the KubeletApi here."""

    protocol_version = "HTTP/1.1"
    responses = RESPONSES
    request: Connection
    server: KubeletApi  # type: ignore[assignment]

    def setup(self) -> None:
        self.conn = self.request
        self.rfile = self.wfile = cast(Any, self.conn)
        self._answered = False

    def finish(self) -> None:
        """Do nothing: the server closes the connection."""

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin a response. It has no ``Server`` header, as upstream's have none."""
        self.log_request(code)
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())

    def handle_one_request(self) -> None:
        self.close_connection, self._answered = True, False
        self.conn.deadline = time.monotonic() + _IDLE_SECONDS
        # The command of an exec is in this line; http.server's own way ends at 64 KB.
        self.raw_requestline = self.conn.readline(_LINE_LIMIT)
        self.conn.deadline = time.monotonic() + _HEADER_SECONDS
        if not self.raw_requestline.endswith(b"\n") or not self.parse_request():
            return
        self.conn.deadline = None
        self.conn.in_request = True
        try:
            self._answer()
        finally:
            self.conn.in_request = False

    def _answer(self) -> None:
        try:
            self._skip_body()
            self._authorize()
            self._route()
        except upgrade.UpgradeError as error:
            accepted = [("X-Accepted-Stream-Protocol-Versions", protocol) for protocol in error.accepted]
            self._reply(error.code, f"{error}\n", headers=accepted)
        except ApiError as error:
            self._reply(error.code, f"{error.message}\n")
        except (RuntimeFailure, RuntimeUnavailable) as error:
            self._reply(500, f"{error}\n")
        except SpdyError as error:
            _LOG.info("%s %s: %s", self.command, urlsplit(self.path).path, error)
            self.close_connection = True

    def _skip_body(self) -> None:
        """Make a request with a body the last of its connection; raise BadRequest if it asks for an upgrade.

        No endpoint reads a body, and what is left of one would be taken for the next request, or for the stream.
        """
        if self.headers.get_all("Content-Length", []) not in ([], ["0"]) or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            if "Upgrade" in self.headers:
                raise BadRequest("a request to upgrade the connection must not have a body")

    def _authorize(self) -> None:
        certificate, authorization = self.conn.peer_certificate(), self.headers.get("Authorization", "")
        self.server.gate.check(certificate, authorization, self.command, urlsplit(self.path).path)

    def _route(self) -> None:
        if self.command not in _METHODS:
            return self._reply(405, "only GET and POST are served\n")
        url = urlsplit(self.path)
        self._query = parse_qs(url.query, keep_blank_values=True)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        endpoints: dict[tuple[str, int], Callable[..., None]] = {
            ("containerLogs", 3): self._logs,
            ("exec", 3): self._exec,
            ("attach", 3): self._attach,
            ("portForward", 2): self._port_forward,
            ("pods", 0): self._pods,
            ("healthz", 0): self._healthz,
        }
        host, runtime = self.server.host, self.server.runtime
        if url.path == "/stats/summary":
            return self._json(self.server.statistics.summary(host, runtime))
        if url.path == "/metrics":
            return self._reply(200, METRICS.exposition().decode(), CONTENT_TYPE)
        if url.path == "/metrics/cadvisor":
            return self._reply(200, stats.cadvisor_metrics(host, runtime), CONTENT_TYPE)
        if url.path == "/metrics/resource":
            return self._reply(200, stats.resource_metrics(host, runtime), CONTENT_TYPE)
        if url.path.startswith("/logs/"):
            return self._node_logs(unquote(url.path.removeprefix("/logs/")))
        endpoint = endpoints.get((parts[0], len(parts) - 1))
        if endpoint is None:
            raise NotFound("404 page not found")
        return endpoint(*parts[1:])

    # --- endpoints -----------------------------------------------------------------------------------------------

    def _pods(self) -> None:
        self._json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._host.pods()})

    def _healthz(self) -> None:
        problem = self._host.healthy()
        self._reply(500 if problem else 200, problem or "ok")

    def _logs(self, namespace: str, pod: str, container: str) -> None:
        options = containerlogs.LogOptions.from_query(self._query, now=time.time())
        container_id = containerlogs.find_log(self._host.pod(namespace, pod), pod, container, options)
        if not container_id:
            container_id = self._host.container_id(namespace, pod, container, previous=options.previous)
        runtime = self.server.runtime
        with ExitStack() as stack:
            try:
                path = runtime.log_path(container_id)
                if path is None:
                    raise BadRequest("this container has no log: its Docker log driver is not json-file")
                # The folder is watched before the log is read, so that no change falls between.
                folder = stack.enter_context(FolderWatch(path.parent)) if options.follow else None
                log = stack.enter_context(LogFile(path, options.tail))
            except (RuntimeNotFound, FileNotFoundError) as error:
                raise BadRequest(f'the log of container "{container}" in pod "{pod}" is gone') from error
            entries, write = containerlogs.LogEntries(options), self._begin_stream("text/plain")
            whole = True
            if folder:
                ended = stack.enter_context(closing(runtime.open_end(container_id)))
                whole = containerlogs.follow_log(self.conn, log, folder, ended, entries, write)
            else:
                containerlogs.copy_log(log, entries, write)
            self._end_stream(whole=whole)

    def _begin_stream(self, content_type: str) -> Callable[[bytes], None]:
        """Begin an answer of unknown length. Return the function that writes a part of it."""
        self._chunked = self.request_version != "HTTP/1.0"
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        if self._chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self._end_headers()
        return self._write_chunk if self._chunked else self.conn.send

    def _end_stream(self, *, whole: bool) -> None:
        if self._chunked and whole:
            self.conn.send(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def _node_logs(self, path: str) -> None:
        found = nodelogs.find(path)
        if found.is_dir():
            return self._reply(200, nodelogs.listing(found), "text/html; charset=utf-8")
        with nodelogs.open_file(found) as file:
            write = self._begin_stream("text/plain; charset=utf-8")
            while data := file.read(_CHUNK):
                write(data)
            return self._end_stream(whole=True)

    def _exec(self, namespace: str, pod: str, container: str) -> None:
        wanted = execute.streams_from_query(self._query)
        found = self._running(namespace, pod, container, f'container not found ("{container}")')
        command, runtime = self._query.get("command", []), self.server.runtime
        self._take_over(
            lambda: execute.execute(
                self.conn, self.headers, self._switch, runtime, found, command, wanted, self.server.orphans
            )
        )

    def _attach(self, namespace: str, pod: str, container: str) -> None:
        wanted = execute.streams_from_query(self._query)
        found = self._running(namespace, pod, container, f"container {container} not found in pod {pod}_{namespace}")
        runtime = self.server.runtime
        self._take_over(lambda: execute.attach(self.conn, self.headers, self._switch, runtime, found, wanted))

    def _running(self, namespace: str, pod: str, container: str, absent: str) -> execute.RunningContainer:
        self._existing(namespace, pod)
        try:
            return execute.RunningContainer(self._host.container_id(namespace, pod, container), absent)
        except NotFound as error:
            raise InternalError(absent) from error

    def _existing(self, namespace: str, pod: str) -> Object:
        found = self._host.pod(namespace, pod)
        if found is None:
            raise NotFound("pod does not exist")
        return found

    def _port_forward(self, namespace: str, pod: str) -> None:
        found = self._existing(namespace, pod)
        try:
            pid = self._host.sandbox_pid(namespace, pod)
        except NotFound as error:
            raise InternalError(f'pod not found ("{pod}_{namespace}")') from error
        subject = f"pod {namespace}/{pod}, uid {found['metadata']['uid']}"

        def run() -> None:
            portforward.Forwarding(self.conn, self._multiplexer(), partial(podnetwork.dial, pid), subject).run()

        self._take_over(run)

    def _multiplexer(self) -> portforward.Multiplexer:
        """Upgrade to the protocol that the client asks for."""
        if is_websocket(dict(self.headers.items())):
            protocol, answer = upgrade.negotiate_websocket(self.headers, portforward.WEBSOCKET_PROTOCOLS)
            if protocol == portforward.TUNNEL_PROTOCOL:
                self._switch(answer)
                return portforward.TunnelMultiplexer(self.conn.deliver)
            ports = self._ports()
            self._switch(answer)
            return portforward.ChannelMultiplexer(self.conn.deliver, protocol, ports)
        if not upgrade.is_spdy(self.headers):
            raise upgrade.not_an_upgrade(self.headers)
        protocol = upgrade.negotiate_spdy(self.headers, [portforward.PROTOCOL])
        self._switch(upgrade.spdy_headers(protocol))
        return portforward.SpdyMultiplexer(self.conn.deliver)

    def _ports(self) -> list[int]:
        texts = [text for value in self._query.get("port", []) for text in value.split(",")]
        if not texts:
            raise BadRequest('query parameter "port" is required')
        for text in texts:
            if not is_number(text) or not 0 < int(text) < 65536:
                raise BadRequest(f"port {quote(text)} must be a number from 1 to 65535")
        if len(texts) > portforward.MOST_PORTS:
            raise BadRequest(f"{len(texts)} ports are too many: at most {portforward.MOST_PORTS} can be forwarded")
        return [int(text) for text in texts]

    # --- answers -------------------------------------------------------------------------------------------------

    @property
    def _host(self) -> PodHost:
        return self.server.host

    def _switch(self, headers: list[tuple[str, str]]) -> None:
        """Answer 101: from here on the connection is a stream."""
        self.log_request(101)
        self.send_response_only(101)
        for name, value in headers:
            self.send_header(name, value)
        self._end_headers()

    def _take_over(self, stream: Callable[[], None]) -> None:
        """Run a stream on the connection, and close the connection gently if the stream did begin."""
        try:
            stream()
        finally:
            if self._answered:
                self.close_connection = True
        self.conn.close(_LINGER_SECONDS)

    def _write_chunk(self, data: bytes) -> None:
        self.conn.send(b"%x\r\n%b\r\n" % (len(data), data))

    def _json(self, value: Object) -> None:
        self._reply(200, json.dumps(value), "application/json")

    def _reply(
        self,
        code: int,
        text: str,
        content_type: str = "text/plain; charset=utf-8",
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        if self._answered:  # It is too late for a message.
            self.close_connection = True
            return
        body = text.encode()
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self._end_headers()
        if self.command != "HEAD":
            self.conn.send(body)

    def _end_headers(self) -> None:
        self._answered = True
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        _LOG.debug("%s " + format, self.client_address[0], *args)
