"""A small client for the server for tests: JSON over HTTPS, with Python's own library only."""

from __future__ import annotations

import http.client
import json
import select
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Object = dict[str, Any]

TIMEOUT = 30.0
JSON = "application/json"
USER_AGENT = "mini-minishift-tests"


class ApiError(Exception):
    """The server answered with an error; ``status`` is the Status object of the answer."""

    def __init__(self, status: Object) -> None:
        super().__init__(status.get("message") or status.get("reason") or "an error without a text")
        self.status = status

    @property
    def code(self) -> int:
        return int(self.status.get("code", 0))

    @property
    def reason(self) -> str:
        return str(self.status.get("reason", ""))


class RestClient:
    """Sends the requests of one user to one server.

    One connection is kept open for requests, which are sent one at a time; each watch has a connection of its own.
    """

    def __init__(self, url: str, certificate_authority: Path, token: str) -> None:
        self._address = urlsplit(url)
        self._tls = ssl.create_default_context(cafile=str(certificate_authority))
        self._headers = {"Authorization": f"Bearer {token}", "Accept": JSON, "User-Agent": USER_AGENT}
        self._lock = threading.Lock()
        self._connection: http.client.HTTPSConnection | None = None

    def request(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Object:
        """Return the decoded answer. Raises ApiError."""
        with self._lock:
            connection = self._connection = self._usable() or self._connect()
            try:
                response = self._send(connection, method, path, body, content_type)
                data = response.read()
            except BaseException:
                self._drop()
                raise
        return _decoded(response.status, data)

    def watch(self, path: str, silence: float = TIMEOUT) -> Iterator[Object]:
        """Yield the events of a watch: ``watch("/api/v1/pods?watch=true")``.

        Raises TimeoutError if there is none for ``silence`` seconds.
        """
        connection = self._connect(silence)
        try:
            response = self._send(connection, "GET", path)
            if response.status >= 400:
                _decoded(response.status, response.read())
            for line in response:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(event["object"])
                yield event
        finally:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _connect(self, timeout: float = TIMEOUT) -> http.client.HTTPSConnection:
        host, port = self._address.hostname or "", self._address.port
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)

    def _usable(self) -> http.client.HTTPSConnection | None:
        """Return the open connection, None if the server has closed it: an idle one is readable only then."""
        kept = self._connection
        if kept is not None and kept.sock is not None and not is_readable(kept.sock.fileno(), 0):
            return kept
        self._drop()
        return None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = JSON,
    ) -> http.client.HTTPResponse:
        headers = self._headers if body is None else {**self._headers, "Content-Type": content_type}
        connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        return connection.getresponse()


def _decoded(code: int, data: bytes) -> Object:
    try:
        answer: Any = json.loads(data)
    except ValueError:
        answer = {"message": data.decode(errors="replace").strip()}
    if code >= 400:
        raise ApiError({"code": code, **answer})
    if not isinstance(answer, dict):
        raise ApiError({"code": code, "message": f"not an object: {data[:200]!r}"})
    return answer


def is_readable(descriptor: int, seconds: float) -> bool:
    """Wait until there is something to read, or the other end has closed; return False after ``seconds``.

    This uses poll, because select cannot handle more than 1,024 open files, and the test's process may have more.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
