"""What is sent right before the client closes reaches its process or its pod, whichever protocol carries it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from integration.streaming.conftest import Api, Host, WaitUntil
from spdyclient import Replied, SpdyClient
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection

pytestmark = [pytest.mark.docker, pytest.mark.parametrize("size", [10, 1_000_000])]
POD = "/api/v1/namespaces/default/pods"
EXEC = "exec?command=sh&command=-c&command=tee+/tmp/f&stdin=true&stdout=true&stderr=true"
ATTACH = "attach?stdin=true&stdout=true&stderr=true"
Pod = Callable[..., str]
Received = Callable[[str, bytes], bool]


def connect(api: Api, path: str, *headers: str) -> tuple[Any, bytes]:
    """A connection that was upgraded, and what came behind the answer's head."""
    sock = api.context.wrap_socket(
        socket.create_connection(("127.0.0.1", api.port), timeout=30), server_hostname="127.0.0.1"
    )
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", *headers, "", ""]
    sock.sendall("\r\n".join(lines).encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(4096)
    head, _, rest = data.partition(b"\r\n\r\n")
    assert head.split()[1] == b"101", data
    return sock, rest


def send_over_websocket(api: Api, path: str, protocol: str, data: bytes, *, politely: bool) -> None:
    sock, rest = connect(
        api, path, "Upgrade: websocket", "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyEhIQ==", "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {protocol}",
    )  # fmt: skip
    framing = Connection(ConnectionType.CLIENT, trailing_data=rest)
    sock.sendall(framing.send(BytesMessage(b"\0" + data)))
    if politely:
        sock.sendall(framing.send(CloseConnection(1000)))
    finish(sock)


def send_over_spdy(api: Api, path: str, protocol: str, streams: list[dict[str, str]], data: bytes) -> None:
    """On the last of the streams."""
    sock, rest = connect(api, path, "Upgrade: SPDY/3.1", f"X-Stream-Protocol-Version: {protocol}")
    session = SpdyClient(sock.sendall)
    numbers = [session.open(headers) for headers in streams]
    replied = len([event for event in session.receive(rest) if isinstance(event, Replied)])
    while replied < len(numbers):
        replied += len([event for event in session.receive(sock.recv(65536)) if isinstance(event, Replied)])
    session.send(numbers[-1], data)
    finish(sock)


def finish(sock: Any) -> None:
    """Close as a program does that does not wait for an answer, without a reset: that would discard what was sent."""
    sock.settimeout(30)
    socket.socket.shutdown(sock, socket.SHUT_WR)
    with suppress(ssl.SSLError):  # the server misses TLS's goodbye
        while sock.recv(65536):
            continue
    sock.close()


@pytest.fixture
def received(host: Host, wait_until: WaitUntil) -> Received:
    """Whether the pod's file becomes what was sent, and no more."""

    def read(name: str) -> bytes:
        found = host.docker.exec_create(host.container_id("default", name, "main"), ["cat", "/tmp/f"])
        return bytes(host.docker.exec_start(found["Id"]))

    def check(name: str, data: bytes) -> bool:
        wait_until(lambda: len(read(name)) >= len(data))
        return read(name) == data

    return check


@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v5.channel.k8s.io"])
def test_exec_over_websocket(api: Api, pod: Pod, received: Received, size: int, protocol: str, politely: bool) -> None:
    name, data = pod("sleep", "infinity"), os.urandom(size)
    send_over_websocket(api, f"{POD}/{name}/{EXEC}", protocol, data, politely=politely)
    assert received(name, data)


def test_attach_over_websocket(api: Api, pod: Pod, received: Received, size: int) -> None:
    name, data = pod("sh", "-c", "tee /tmp/f; sleep infinity", stdin=True), os.urandom(size)
    send_over_websocket(api, f"{POD}/{name}/{ATTACH}", "v4.channel.k8s.io", data, politely=True)
    assert received(name, data)


@pytest.mark.parametrize("verb", ["exec", "attach"])
def test_over_spdy(api: Api, pod: Pod, received: Received, size: int, verb: str) -> None:
    name = pod("sh", "-c", "tee /tmp/f; sleep infinity", stdin=True) if verb == "attach" else pod("sleep", "infinity")
    data, streams = os.urandom(size), [{"streamtype": kind} for kind in ("error", "stdout", "stderr", "stdin")]
    path = f"{POD}/{name}/{ATTACH if verb == 'attach' else EXEC}"
    send_over_spdy(api, path, "v4.channel.k8s.io", streams, data)
    assert received(name, data)


LISTENER = ("sh", "-c", "nc -l -p 7000 > /tmp/f; sleep infinity")


def wait_for_listener(host: Host, wait_until: WaitUntil, name: str) -> None:
    def listens() -> bool:
        command = ["sh", "-c", "netstat -tln | grep -q :7000"]
        found = host.docker.exec_create(host.container_id("default", name, "main"), command)
        host.docker.exec_start(found["Id"])
        return bool(host.docker.exec_inspect(found["Id"])["ExitCode"] == 0)

    wait_until(listens)


def test_port_forward_over_websocket(
    api: Api, pod: Pod, host: Host, wait_until: WaitUntil, received: Received, size: int
) -> None:
    name, data = pod(*LISTENER), os.urandom(size)
    wait_for_listener(host, wait_until, name)
    path = f"{POD}/{name}/portforward?ports=7000"
    send_over_websocket(api, path, "v4.channel.k8s.io", data, politely=True)
    assert received(name, data)


def test_port_forward_over_spdy(
    api: Api, pod: Pod, host: Host, wait_until: WaitUntil, received: Received, size: int
) -> None:
    name, data = pod(*LISTENER), os.urandom(size)
    wait_for_listener(host, wait_until, name)
    streams = [{"streamtype": kind, "port": "7000", "requestid": "0"} for kind in ("error", "data")]
    send_over_spdy(api, f"{POD}/{name}/portforward", "portforward.k8s.io", streams, data)
    assert received(name, data)
