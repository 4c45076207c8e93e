"""Docker's raw streams: an attached container, an exec's input and output.

The Docker SDK hands out such a stream's socket only after an HTTP library has read the response's head through a
buffer, and what an eager container wrote meanwhile stays in that buffer. So the few lines of HTTP are spoken here: the
head is cut off exactly, and what follows is the stream. Without a terminal Docker multiplexes stdout and stderr in
frames with a header of eight bytes (stream number, three zeros, length).
"""

from __future__ import annotations

import json
import select
import socket
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import docker
from docker.transport import UnixHTTPAdapter

from kubelet.model.runtime import RuntimeFailure, RuntimeUnavailable
from kubelet.model.streaming import STDOUT, Output
from machinery.sockets import untaken

CHUNK = 65536
_HEAD_LIMIT = 65536
_HEAD_SECONDS = 30.0


class Demultiplexer:
    """Cuts Docker's multiplexed output apart as it arrives. Nothing but an incomplete header is held back."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream = STDOUT
        self._left = 0

    def feed(self, data: bytes) -> list[Output]:
        """Return the output in the next bytes of the stream."""
        pieces = []
        view = memoryview(data)
        while view:
            if not self._left:
                taken = 8 - len(self._header)
                self._header += view[:taken]
                view = view[taken:]
                if len(self._header) < 8:
                    break
                self._stream = self._header[0]
                self._left = int.from_bytes(self._header[4:], "big")
                self._header.clear()
                continue
            chunk = bytes(view[: self._left])
            view = view[len(chunk) :]
            self._left -= len(chunk)
            pieces.append(Output(self._stream, chunk))
        return pieces


class DockerStream:
    """An open raw stream (see ``ProcessStream``). ``ahead`` are the bytes that came with the response's head."""

    def __init__(self, sock: socket.socket, ahead: bytes, *, tty: bool = False) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._ahead = ahead
        self._demultiplexer = None if tty else Demultiplexer()

    def fileno(self) -> int:
        return self._sock.fileno()

    def pending(self) -> bool:
        return bool(self._ahead)

    def receive(self) -> bytes | None:
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        try:
            return self._sock.recv(CHUNK)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def split(self, data: bytes) -> list[Output]:
        return [Output(STDOUT, data)] if self._demultiplexer is None else self._demultiplexer.feed(data)

    def send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def untaken(self) -> int:
        return untaken(self._sock)

    def end_input(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the process has ended already

    def close(self) -> None:
        self._sock.close()


def open_stream(
    client: docker.APIClient, path: str, query: dict[str, Any] | None = None, body: Any = None, *, tty: bool = False
) -> DockerStream:
    """POST to Docker and take over the connection as a raw stream in both directions.

    Raises RuntimeFailure with Docker's message, or RuntimeUnavailable.
    """
    try:
        sock = _connect(client)
    except OSError as error:
        raise RuntimeUnavailable(f"cannot reach the Docker engine: {error}") from error
    try:
        target = f"/v{client.api_version}{path}" + (f"?{urlencode(query)}" if query else "")
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"POST {target} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        sock.sendall(head.encode() + content)
        code, ahead = _read_head(sock)
        if code not in (101, 200):
            raise RuntimeFailure(_read_error(sock, ahead))
        return DockerStream(sock, ahead, tty=tty)
    except BaseException:
        sock.close()
        raise


def _connect(client: docker.APIClient) -> socket.socket:
    """Return a new connection to the engine that the SDK's client talks to: its Unix socket, or TCP."""
    adapter = client.adapters.get("http+docker://")
    if isinstance(adapter, UnixHTTPAdapter):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(_HEAD_SECONDS)
        sock.connect(adapter.socket_path)
        return sock
    address = urlsplit(client.base_url)
    return socket.create_connection((address.hostname, address.port or 2375), _HEAD_SECONDS)


def _read_head(sock: socket.socket) -> tuple[int, bytes]:
    """Return the response's status code, and the bytes behind its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(4096)
        if not chunk or len(data) > _HEAD_LIMIT:
            raise ConnectionError("Docker closed the connection before it answered: is the engine running?")
        data += chunk
    head, _, ahead = data.partition(b"\r\n\r\n")
    return int(head.split(None, 2)[1]), ahead


def _read_error(sock: socket.socket, ahead: bytes) -> str:
    """Return the message in an error's JSON body, which Docker writes in one go."""
    data = ahead
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while b"}" not in data and len(data) < _HEAD_LIMIT and poll.poll(1000):
        chunk = sock.recv(4096)
        if not chunk:
            break
        data += chunk
    text = data[data.find(b"{") : data.rfind(b"}") + 1]
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError):
        return data.decode(errors="replace").strip() or "no reason given"


def container_path(container_id: str, verb: str) -> str:
    """Return ``/containers/<id>/<verb>``."""
    return f"/containers/{quote(container_id, safe='')}/{verb}"
