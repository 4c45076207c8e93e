"""Carries bytes between a client's channels and a process in Docker (exec, attach), in one thread.

One loop waits for both sides at once. Backpressure is the sockets' own: what the client sends is read only while little
of it waits for the process, and the process' output is read only after the client has taken the last of it.
"""

from __future__ import annotations

import json
import select
from collections.abc import Callable, Iterable

from kubelet.server.connection import Connection, client_left
from kubelet.server.dockerstream import STDERR, Demultiplexer, DockerStream
from kubelet.server.streams import Channel, Received, Streams

_STDIN_LIMIT = 256 * 1024
# How Docker tells on the output stream that a process could not be started.
_START_ERROR = b"OCI runtime exec failed: "

Resize = Callable[[int, int], None]  # (height, width)


class Session:
    """One run of ``run``. ``terminal`` says that Docker's stream is one raw terminal, else it is multiplexed."""

    def __init__(
        self,
        conn: Connection,
        streams: Streams,
        process: DockerStream,
        *,
        terminal: bool,
        resize: Resize,
        hold_start_error: bool = False,
    ) -> None:
        self._conn = conn
        self._streams = streams
        self._process = process
        self._demultiplexer = None if terminal else Demultiplexer()
        self._resize = resize
        self._stdin = bytearray()
        self._stdin_ends = False  # the client closed stdin; the process shall see it after the last byte
        self._stdin_ended = False
        self._first = hold_start_error  # the next output is the first, which may be Docker's own words
        self._held = b""

    @property
    def start_error(self) -> str:
        """All output there was, when it reads like Docker's report of a process that could not start."""
        return self._held.decode(errors="replace").strip()

    def run(self, early: Iterable[Received] = ()) -> bool:
        """Returns True when the process' output ended, False when the client left before."""
        poll = select.poll()
        self._streams.begin()
        self._take(early)
        while True:
            if not self._from_client():
                return False
            self._to_process()
            output = self._process.receive()
            if output == b"":
                return True
            if output:
                self._to_client(output)
            elif not (self._reading and self._conn.pending()):
                poll.register(self._conn, (select.POLLIN if self._reading else 0) | select.POLLRDHUP)
                poll.register(self._process, select.POLLIN | (select.POLLOUT if self._stdin else 0))
                for fd, events in poll.poll():
                    # While stdin is blocked the end of the client's stream cannot be read, only be told of.
                    if fd == self._conn.fileno() and client_left(events) and not self._reading:
                        return False

    @property
    def _reading(self) -> bool:
        return len(self._stdin) < _STDIN_LIMIT

    def _from_client(self) -> bool:
        while self._reading:
            data = self._conn.receive()
            if data is None:
                return True
            if not data:
                return False
            self._take(self._streams.receive(data))
            if self._streams.closed:
                return False
        return True

    def _take(self, received: Iterable[Received]) -> None:
        for channel, data, end in received:
            if channel == Channel.RESIZE:
                self._change_size(data)
            elif channel == Channel.STDIN and not self._stdin_ends:
                self._stdin += data
                self._stdin_ends = end

    def _change_size(self, message: bytes) -> None:
        try:
            size = json.loads(message)
            height, width = int(size["Height"]), int(size["Width"])
        except (ValueError, KeyError, TypeError):
            return  # not a size: ignored, as upstream does
        if height > 0 and width > 0:
            self._resize(height, width)

    def _to_process(self) -> None:
        if self._stdin:
            try:
                del self._stdin[: self._process.send(self._stdin)]
            except OSError:  # it reads no more: what it wrote is still to be delivered
                self._stdin.clear()
                self._stdin_ends = self._stdin_ended = True
        if self._stdin_ends and not self._stdin and not self._stdin_ended:
            self._stdin_ended = True
            self._process.end_input()

    def _to_client(self, output: bytes) -> None:
        if self._demultiplexer is None:
            return self._deliver(Channel.STDOUT, output)
        for piece in self._demultiplexer.feed(output):
            self._deliver(Channel.STDERR if piece.stream == STDERR else Channel.STDOUT, piece.data)
        return None

    def _deliver(self, channel: Channel, data: bytes) -> None:
        self.release()
        if self._first and data.startswith(_START_ERROR):
            self._held = data
        else:
            self._streams.send(channel, data)
        self._first = False

    def release(self) -> None:
        """Sends what was held back, for it was the process' own words after all."""
        if self._held:
            self._streams.send(Channel.STDOUT, self._held)
            self._held = b""
