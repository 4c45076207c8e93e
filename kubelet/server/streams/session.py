"""Carry bytes between a client's channels and a process in Docker (exec, attach), in one thread.

One loop waits for both sides at once. Backpressure is the sockets' own: what the client sends is read only while little
of it waits for the process, and the process' output is read only after the client has taken the last of it.

What the client sent before it left still reaches the process, and then the end of its input. Until then its output is
read and discarded: Docker forgets the input of a stream whose output it cannot write, and the process itself would be
ended by SIGPIPE in the middle of its work. So the output of a process without a terminal that got some input is read
for a little longer.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Iterable

from kubelet.model.streaming import STDERR, ProcessStream
from kubelet.server.connection import Connection, client_left
from kubelet.server.streams.channels import Channel, Received, Streams

_STDIN_LIMIT = 256 * 1024
# How Docker tells on the output stream that a process could not be started.
_START_ERROR = b"OCI runtime exec failed: "
# How long a process may take nothing of what a client that has left had sent.
_STALLED_SECONDS = 30.0
# How long such a process must have been silent before its output is closed, and after how long it is in any case.
_QUIET_SECONDS, _LONGEST_DRAIN_SECONDS = 1.0, 10.0
# No event tells that Docker has read what was written, so it is asked for.
_DRAIN_POLL_MILLISECONDS = 20

Resize = Callable[[int, int], None]  # (height, width)


class Session:
    """One exec or attach. ``terminal`` tells whether the process has a terminal."""

    def __init__(
        self,
        conn: Connection,
        streams: Streams,
        process: ProcessStream,
        *,
        terminal: bool,
        resize: Resize,
        hold_start_error: bool = False,
        stalled_seconds: float = _STALLED_SECONDS,
        quiet_seconds: float = _QUIET_SECONDS,
    ) -> None:
        self._conn = conn
        self._streams = streams
        self._process = process
        self._terminal = terminal
        self._resize = resize
        self._stalled_seconds, self._quiet_seconds = stalled_seconds, quiet_seconds
        self._stdin = bytearray()
        self._fed = False  # the client has sent some of it
        self._stdin_ends = False  # the client closed stdin; the process shall see it after the last byte
        self._stdin_ended = False
        self._first = hold_start_error  # the next output is the first, which may be Docker's error message
        self._held = b""
        self._hung_up = False  # the client's connection has ended, but not all has been read from it
        self._left = False  # the client has left, and all that it sent has been read
        self._untaken = 0  # how many bytes Docker had not read when it was last asked
        self._progress = time.monotonic()  # when the process last took some of stdin
        self._last_output = self._progress  # when there was output last

    @property
    def start_error(self) -> str:
        """Return all output, if it reads like Docker's report of a process that could not start, else ""."""
        return self._held.decode(errors="replace").strip()

    def run(self, early: Iterable[Received] = ()) -> bool:
        """Return True when the process' output has ended, False when the client left before that.

        ``early`` is what the client sent while its streams were opened.
        """
        self._streams.begin()
        self._take(early)
        while True:
            self._from_client()
            self._to_process()
            output = self._process.receive()
            if output == b"":
                return not self._left
            if output:
                self._last_output = time.monotonic()
            if (self._left and self._is_drained()) or ((self._left or self._hung_up) and self._is_stalled()):
                return False
            if output:
                self._to_client(output)
            elif not (self._reading and self._conn.pending()):
                self._wait()

    @property
    def _reading(self) -> bool:
        return not self._left and len(self._stdin) < _STDIN_LIMIT

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._process, select.POLLIN | (select.POLLOUT if self._stdin else 0))
        # While stdin is blocked the end of the client's stream cannot be read, only be told of.
        if self._reading or not (self._left or self._hung_up):
            poll.register(self._conn, (select.POLLIN if self._reading else 0) | select.POLLRDHUP)
        for fd, events in poll.poll(_DRAIN_POLL_MILLISECONDS if self._left or self._hung_up else None):
            if fd == self._conn.fileno() and client_left(events) and not self._hung_up:
                self._hung_up, self._progress = True, time.monotonic()

    # --- client to process ---------------------------------------------------------------------------------------

    def _from_client(self) -> None:
        while self._reading:
            data = self._conn.receive()
            if data is None:
                return
            if data:
                self._take(self._streams.receive(data))
            if not data or self._streams.closed:
                self._left = self._stdin_ends = True
                self._progress = time.monotonic()

    def _take(self, received: Iterable[Received]) -> None:
        for channel, data, end in received:
            if channel == Channel.RESIZE:
                self._change_size(data)
            elif channel == Channel.STDIN and not self._stdin_ends:
                self._stdin += data
                self._fed = self._fed or bool(data)
                self._stdin_ends = end

    def _change_size(self, message: bytes) -> None:
        try:
            size = json.loads(message)
            height, width = int(size["Height"]), int(size["Width"])
        except (ValueError, KeyError, TypeError):
            return  # Upstream ignores a message that is not a size, too.
        if height > 0 and width > 0:
            self._resize(height, width)

    def _to_process(self) -> None:
        if self._stdin:
            try:
                sent = self._process.send(self._stdin)
                del self._stdin[:sent]
                if sent:
                    self._progress = time.monotonic()
            except OSError:  # The process reads no more. What it has written is still delivered.
                self._stdin.clear()
                self._stdin_ends = self._stdin_ended = True
        if self._stdin_ends and not self._stdin and not self._stdin_ended:
            self._stdin_ended = True
            self._process.end_input()

    def _is_drained(self) -> bool:
        untaken = len(self._stdin) + self._process.untaken()
        if untaken < self._untaken:
            self._progress = time.monotonic()
        self._untaken = untaken
        if untaken or self._terminal or not self._fed:
            return untaken == 0
        now = time.monotonic()
        return now - max(self._last_output, self._progress) > self._quiet_seconds or (
            now - self._progress > _LONGEST_DRAIN_SECONDS
        )

    def _is_stalled(self) -> bool:
        return time.monotonic() - self._progress > self._stalled_seconds

    # --- process to client ---------------------------------------------------------------------------------------

    def _to_client(self, output: bytes) -> None:
        if self._left:
            return
        for piece in self._process.split(output):
            self._deliver(Channel.STDERR if piece.stream == STDERR else Channel.STDOUT, piece.data)

    def _deliver(self, channel: Channel, data: bytes) -> None:
        self.release()
        if self._first and data.startswith(_START_ERROR):
            self._held = data
        else:
            self._streams.send(channel, data)
        self._first = False

    def release(self) -> None:
        """Send what was held back, because it was the process' own output after all."""
        if self._held:
            self._streams.send(Channel.STDOUT, self._held)
            self._held = b""
