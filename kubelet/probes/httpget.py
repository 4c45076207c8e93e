"""HTTP GET as probes and lifecycle hooks make it: one deadline for the whole exchange, and Go's rules for URLs.

The standard library's client has a timeout for each read only, so that a server that sends a byte now and then holds it
for ever. Here each step gets the time that is left.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

import h11

USER_AGENT = "kube-probe/1.32"
LONGEST_BODY = 10 * 1024
_CHUNK = 16 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What Go's url.EscapedPath leaves alone: in a path that is escaped already, and in one that it escapes itself.
_VALID_PATH = re.compile(r"[A-Za-z0-9!$&'()*+,/:;=@\[\]\-_.~%]*")
_KEPT = "$&+,/:;=@-_.~"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status code, Location header (empty without one), and at most LONGEST_BODY bytes of the body as text."""

    status: int
    location: str
    body: str


def request_target(path: str) -> str:
    """Return path and query of a probe's ``path`` as Go's url.Parse and URL.RequestURI would send them.

    A path that cannot be parsed is taken literally, its question mark included (upstream: ``formatURL``). Scheme, host
    and fragment are dropped.
    """
    if _CONTROL.search(path) or _BAD_ESCAPE.search(path.split("?", 1)[0].split("#", 1)[0]):
        return "/" + quote(path.removeprefix("/"), safe=_KEPT)
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/" + quote(path.removeprefix("/"), safe=_KEPT)
    escaped = parts.path if _VALID_PATH.fullmatch(parts.path) else quote(unquote_to_bytes(parts.path), safe=_KEPT)
    query = "?" + quote(parts.query, safe="!$&'()*+,/:;=@[]-_.~%?\"<>\\^`{|}") if parts.query else ""
    return ("" if escaped.startswith("/") else "/") + escaped + query


def request_headers(host: str, given: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the headers of a probe: all that it names, repeated ones too, and defaults for those that it does not.

    An empty Accept or User-Agent means that none is sent.
    """
    named = [(str(header["name"]), str(header.get("value") or "")) for header in given]
    names = {name.lower() for name, _ in named}
    defaults = [("Host", host), ("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Connection", "close")]
    headers = [(name, value) for name, value in defaults if name.lower() not in names]
    hosts = [(name, value or host) for name, value in named if name.lower() == "host"][-1:]
    unset = ("user-agent", "accept")
    return hosts + headers + [(n, v) for n, v in named if n.lower() != "host" and (v or n.lower() not in unset)]


def get(url: str, headers: Iterable[Mapping[str, Any]], deadline: float) -> Answer:
    """GET an absolute URL before ``deadline`` (in time.monotonic() seconds), with at most LONGEST_BODY of its body.

    ``headers`` are a probe's ``httpHeaders``. Raises TimeoutError, OSError or h11.ProtocolError.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = request_target(parts.path + (f"?{parts.query}" if parts.query else ""))
    request = h11.Request(method="GET", target=target, headers=request_headers(parts.netloc, headers))
    with socket.create_connection((parts.hostname or "", port), _left(deadline)) as plain:
        if parts.scheme != "https":
            return _exchange(plain, request, deadline)
        plain.settimeout(_left(deadline))
        with _unverified().wrap_socket(plain, server_hostname=parts.hostname) as encrypted:
            return _exchange(encrypted, request, deadline)


def _exchange(sock: socket.socket, request: h11.Request, deadline: float) -> Answer:
    connection = h11.Connection(h11.CLIENT)
    sent = connection.send(request)
    sock.settimeout(_left(deadline))
    sock.sendall((sent or b"") + (connection.send(h11.EndOfMessage()) or b""))
    response, body = None, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            sock.settimeout(_left(deadline))
            connection.receive_data(sock.recv(_CHUNK))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += event.data
        if response is not None and (isinstance(event, h11.EndOfMessage) or len(body) >= LONGEST_BODY):
            location = next((value for name, value in response.headers if name == b"location"), b"")
            text = bytes(body[:LONGEST_BODY]).decode(errors="replace")
            return Answer(response.status_code, location.decode("latin-1"), text)


def _left(deadline: float) -> float:
    """Return the seconds until the deadline. Raises TimeoutError when it has come."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@cache
def _unverified() -> ssl.SSLContext:
    """Return a TLS context that verifies nothing: a probe asks whether something answers, not who. So does upstream."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
