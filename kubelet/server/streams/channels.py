"""Exec's and attach's five channels, whichever protocol carries them (upstream: remotecommand).

Both protocols are hidden behind ``Streams``: what the client sends comes out of ``receive`` as ``Received``, what it
shall get goes into ``send``, and ``finish`` reports how the process ended. Pure apart from the function to write with.

| protocol | end of stdin | how it ended |
| --- | --- | --- |
| SPDY, one stream a channel: v4.channel.k8s.io | FIN | Status as JSON on the error stream |
| SPDY: v3, v2, unnamed v1 | FIN | words on the error stream, nothing after success |
| WebSocket, first byte is the channel: v5.channel.k8s.io | channel 255 | Status as JSON on channel 3 |
| WebSocket: v4.channel.k8s.io | - | Status as JSON on channel 3 |
| WebSocket: channel.k8s.io, unnamed | - | words on channel 3, nothing after success |
| WebSocket: base64 forms | - | text messages, the channel is a digit, the rest base64 |
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import NamedTuple, Protocol

from kubelet.server.streams import spdy
from machinery.objects import Object
from machinery.websocket import MessagePart, WebSocket

V5, V4, V3, V2 = "v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"
WEBSOCKET_PROTOCOLS = (V5, V4, "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io")
SPDY_PROTOCOLS = (V4, V3, V2, "channel.k8s.io")
SUCCESS: Object = {"metadata": {}, "status": "Success"}
_CLOSE = 255  # v5: the next byte names the channel that ends
_MAX_TEXT = 8 << 20  # of one base64 message, which must be held whole


class Channel(IntEnum):
    """Numbers are those of the WebSocket protocols."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4


class Received(NamedTuple):
    """Something from the client: bytes for stdin, or one JSON object for RESIZE; ``end`` closes the channel."""

    channel: Channel
    data: bytes
    end: bool = False


class Streams(Protocol):
    """The channels of one session."""

    @property
    def closed(self) -> bool:
        """Return True if the client has closed the session; nothing more will be received."""

    def begin(self) -> None:
        """Tell that the session stands: by an empty message, where the client would hear nothing otherwise.

        Not together with the answer to its request: kubectl 1.32 may not know its own channels yet, and complains.
        """

    def receive(self, data: bytes) -> list[Received]:
        """Return what these bytes from the client tell. Raises SpdyError if they break the protocol."""

    def send(self, channel: Channel, data: bytes) -> None:
        """Send output."""

    def finish(self, status: Object) -> None:
        """Tell how the process ended, and close our half of the session; the client is to close its half or to
        leave.
        """


class ChannelPart(NamedTuple):
    """Some bytes of a message on a channel, and whether they are its first and its last."""

    channel: int
    data: bytes
    first: bool
    last: bool


class ChannelSocket:
    """A WebSocket whose messages begin with the number of a channel.

    That is a byte in the binary form of the protocol. In the base64 form, messages are text: a digit, then base64.
    """

    def __init__(self, write: Callable[[bytes], None], protocol: str) -> None:
        self._socket = WebSocket(write)
        self._base64 = "base64" in protocol
        self._channel = -1
        self._text = bytearray()  # what has come of a base64 message

    @property
    def closed(self) -> bool:
        return self._socket.closed

    def receive(self, data: bytes) -> list[ChannelPart]:
        """Return what these bytes from the client bring; of the base64 form only whole messages."""
        read = self._read_base64 if self._base64 else self._read_binary
        return [part for piece in self._socket.receive(data) for part in read(piece)]

    def _read_binary(self, piece: MessagePart) -> Iterator[ChannelPart]:
        data = piece.data
        if piece.first:
            if not data:
                return
            self._channel, data = data[0], data[1:]
        yield ChannelPart(self._channel, data, piece.first, piece.last)

    def _read_base64(self, piece: MessagePart) -> Iterator[ChannelPart]:
        self._text += piece.data
        if len(self._text) > _MAX_TEXT:
            self._socket.close(1009)
            self._socket.closed = True
        elif piece.last:
            message, self._text = bytes(self._text), bytearray()
            with suppress(binascii.Error):  # Upstream ignores a message that is not base64, too.
                if message[:1].isdigit():
                    data = base64.b64decode(message[1:], validate=True)
                    yield ChannelPart(int(message[:1]), data, True, True)

    def send(self, channel: int, data: bytes) -> None:
        if self._base64:
            self._socket.send(b"%d" % channel + base64.b64encode(data), text=True)
        else:
            self._socket.send(bytes([channel]) + data)

    def close(self) -> None:
        self._socket.close()


class WebSocketStreams:
    """All channels in one WebSocket."""

    def __init__(self, write: Callable[[bytes], None], protocol: str, channels: Collection[Channel]) -> None:
        self._socket = ChannelSocket(write, protocol)
        self._channels = frozenset(channels)
        self._json_status = protocol.startswith(("v4.", "v5."))
        self._close_signal = protocol == V5
        self._held = bytearray()  # what has come of a resize or close message

    def begin(self) -> None:
        lowest = min(self._channels & {Channel.STDOUT, Channel.STDERR}, default=Channel.ERROR)
        self.send(lowest, b"")

    @property
    def closed(self) -> bool:
        return self._socket.closed

    def receive(self, data: bytes) -> list[Received]:
        return [received for part in self._socket.receive(data) for received in self._take(part)]

    def _take(self, part: ChannelPart) -> Iterator[Received]:
        if part.first:
            self._held.clear()
        if part.channel == Channel.STDIN and Channel.STDIN in self._channels:
            if part.data:
                yield Received(Channel.STDIN, part.data)
            return
        if part.channel not in (Channel.RESIZE, _CLOSE) or len(self._held) > 1024:
            return
        self._held += part.data
        if not part.last:
            return
        if part.channel == Channel.RESIZE:
            if Channel.RESIZE in self._channels:
                yield Received(Channel.RESIZE, bytes(self._held))
        elif self._close_signal and self._held == bytes([Channel.STDIN]):
            yield Received(Channel.STDIN, b"", end=True)

    def send(self, channel: Channel, data: bytes) -> None:
        self._socket.send(channel, data)

    def finish(self, status: Object) -> None:
        if (message := error_message(status, as_json=self._json_status)) is not None:
            self.send(Channel.ERROR, message)
        self._socket.close()


class SpdyStreams:
    """One SPDY stream a channel; the client opens them and says in a header which is which."""

    def __init__(self, write: Callable[[bytes], None], protocol: str, channels: Collection[Channel]) -> None:
        self._session = spdy.SpdySession(write)
        self._awaited = set(channels) | {Channel.ERROR}
        self._awaited -= {Channel.RESIZE} if protocol not in (V4, V3) else set()
        self._json_status = protocol == V4
        self._streams: dict[Channel, int] = {}
        self._by_stream: dict[int, Channel] = {}
        self.closed = False

    @property
    def ready(self) -> bool:
        """Return True if all channels that the request asked for have been opened."""
        return not self._awaited

    def begin(self) -> None:
        return  # The client has heard of that: its streams were accepted.

    def receive(self, data: bytes) -> list[Received]:
        received = []
        for event in self._session.receive(data):
            if isinstance(event, spdy.Opened):
                self._open(event.stream, event.headers)
            elif isinstance(event, spdy.Data):
                channel = self._by_stream.get(event.stream)
                if channel in (Channel.STDIN, Channel.RESIZE):
                    received.append(Received(channel, event.data, event.end))
            elif isinstance(event, spdy.Reset):
                if self._by_stream.get(event.stream) == Channel.STDIN:
                    received.append(Received(Channel.STDIN, b"", end=True))
            elif isinstance(event, spdy.Left):
                self.closed = True
        return received

    def _open(self, stream: int, headers: Mapping[str, str]) -> None:
        channel = _CHANNEL_NAMES.get(headers.get("streamtype", ""))
        if channel not in self._awaited:
            self._session.reset(stream, spdy.REFUSED_STREAM)
            return
        self._awaited.discard(channel)
        self._streams[channel], self._by_stream[stream] = stream, channel
        self._session.accept(stream)

    def send(self, channel: Channel, data: bytes) -> None:
        stream = self._streams.get(channel)
        if stream is not None and data:
            self._session.send(stream, data)

    def finish(self, status: Object) -> None:
        """End each stream of ours, the error stream last: it is what the client waits for.

        There is no GOAWAY: spdystream stops reading at it, and may lose what it has not handed out yet.
        """
        for channel in (Channel.STDOUT, Channel.STDERR):
            if channel in self._streams:
                self._session.send(self._streams[channel], b"", end=True)
        if Channel.ERROR in self._streams:
            message = error_message(status, as_json=self._json_status) or b""
            self._session.send(self._streams[Channel.ERROR], message, end=True)


_CHANNEL_NAMES = {
    "stdin": Channel.STDIN,
    "stdout": Channel.STDOUT,
    "stderr": Channel.STDERR,
    "error": Channel.ERROR,
    "resize": Channel.RESIZE,
}


def error_message(status: Object, *, as_json: bool) -> bytes | None:
    """Return what the error channel says: the Status as JSON since v4, before that the message of a failure or None."""
    if as_json:
        return json.dumps(status, separators=(",", ":")).encode()
    return None if status.get("status") == "Success" else str(status.get("message", "")).encode()
