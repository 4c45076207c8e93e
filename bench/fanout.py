"""Measure the milliseconds from a write until the last of 100 watchers, each on its own connection, has its event."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import requests

WATCHERS = 100
WRITES = 200
STEP_SECONDS = 10.0  # an event slower than this has been lost


class WatchConnection:
    """One open watch, which is read without blocking; ``events`` counts its events."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self.events = 0

    def read(self) -> None:
        """Count the events that have arrived. The server writes whole events into each TLS record."""
        try:
            while data := self.sock.recv(65536):
                self.events += data.count(b'"type":"ADDED"')
        except ssl.SSLWantReadError:
            return
        raise ConnectionError("the server ended a watch")


def latencies(session: requests.Session, collection: str, token: str) -> list[float]:
    """Return for each of WRITES writes the milliseconds from the call of POST until the last watcher has the event."""
    with watchers(collection, token) as (selector, watching):
        return [_one(session, collection, selector, watching, number) for number in range(WRITES)]


@contextmanager
def watchers(collection: str, token: str) -> Iterator[tuple[selectors.BaseSelector, list[WatchConnection]]]:
    """Open WATCHERS watches; close them at the end of the block."""
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        watching = []
        for _ in range(WATCHERS):
            watcher = WatchConnection(stack.enter_context(_open(collection, token)))
            selector.register(watcher.sock, selectors.EVENT_READ, watcher)
            watching.append(watcher)
        yield selector, watching


def _open(collection: str, token: str) -> ssl.SSLSocket:
    url = urlsplit(collection)
    assert url.hostname and url.port
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock = context.wrap_socket(socket.create_connection((url.hostname, url.port)))
    # With this version the watch begins without the events of objects that exist already.
    version = requests.get(
        f"{collection}?limit=1", headers={"Authorization": f"Bearer {token}"}, verify=False, timeout=STEP_SECONDS
    ).json()["metadata"]["resourceVersion"]
    request = f"GET {url.path}?watch=1&resourceVersion={version} HTTP/1.1"
    sock.sendall(f"{request}\r\nHost: {url.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    head = sock.recv(65536)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"a watch was refused: {head.decode(errors='replace')}")
    sock.setblocking(False)
    return sock


def _one(
    session: requests.Session,
    collection: str,
    selector: selectors.BaseSelector,
    watching: list[WatchConnection],
    number: int,
) -> float:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"fan-{number}"}, "data": {"k": "v"}}
    start = time.perf_counter()
    session.post(collection, json=body).raise_for_status()
    while any(watcher.events <= number for watcher in watching):
        ready = selector.select(STEP_SECONDS)
        if not ready:
            raise TimeoutError("an event did not reach every watcher")
        for key, _ in ready:
            key.data.read()
    return (time.perf_counter() - start) * 1000
