"""The client's end of SPDY/3.1, as kubectl before 1.31 has it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from kubelet.server.streams.spdy import FIN, PING, SYN_REPLY, SYN_STREAM, Opened, SpdyEvent, SpdySession, control_frame


class Replied(Opened):
    """The server accepted a stream of ours."""


class SpdyClient(SpdySession):
    """Opens streams, of odd numbers, and pings; everything else is as at the server."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__(write)
        self.next_stream = 1

    def open(self, headers: Mapping[str, str]) -> int:
        """Open a stream and return its number."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self._write(control_frame(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + self._headers.encode(headers)))
        return stream

    def ping(self, identity: int) -> None:
        self._write(control_frame(PING, struct.pack(">I", identity)))

    def _control(self, kind: int, flags: int, body: bytes) -> SpdyEvent | None:
        if kind == SYN_REPLY:
            (stream,) = struct.unpack_from(">I", body)
            return Replied(stream & 0x7FFFFFFF, self._headers.decode(body[4:]), bool(flags & FIN))
        return None if kind == PING else super()._control(kind, flags, body)
