"""The server's end of SPDY/3.1, as far as exec, attach and port-forward use it (kubectl before 1.31, upstream's tests).

Pure: ``receive(bytes)`` gives events, and the other methods write through the function that the session was made with.
The rules are those of the draft (draft-mbelshe-httpbis-spdy-00, as amended for 3.1) and the habits of the one library
that speaks it with us, moby/spdystream: a stream's initiator awaits SYN_REPLY, half-close is an empty DATA frame with
FIN, there is no flow control (WINDOW_UPDATE is ignored; TCP pushes back), a PING is answered with itself.

    control  1 | version 15 | type 16 | flags 8 | length 24 | body
    data     0 | stream 31            | flags 8 | length 24 | bytes
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 0x01
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5
# Far above what a few short headers need; a longer control frame is not one of ours.
MAX_CONTROL = 64 * 1024
MAX_HEADERS = 256 * 1024


def _dictionary() -> bytes:
    """Return the text that both ends preset in zlib (section 2.6.10.1 of the draft): words with lengths, then bare
    ones.
    """
    words = [b"200 OK", b"version", b"HTTP/1.1", b"url", b"public", b"set-cookie", b"keep-alive", b"origin"]
    leading = (
        "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age "
        "allow authorization cache-control connection content-base content-encoding content-language content-length "
        "content-location content-md5 content-range content-type date etag expect expires from host if-match "
        "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
        "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
        "user-agent vary via warning www-authenticate method get status"
    )
    words = leading.encode().split() + words
    tail = (
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
        "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
        "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
        "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
        "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    )
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + tail.encode()


DICTIONARY = _dictionary()


class SpdyError(Exception):
    """The peer does not speak SPDY/3; the connection cannot go on."""


class Opened(NamedTuple):
    """The peer opens a stream and says in its headers (lower-case names) what for."""

    stream: int
    headers: Mapping[str, str]
    end: bool


class Data(NamedTuple):
    """Bytes of a stream, as they arrive; ``end`` after its last."""

    stream: int
    data: bytes
    end: bool


class Reset(NamedTuple):
    """The peer ended a stream before its time (RST_STREAM)."""

    stream: int
    code: int


class Left(NamedTuple):
    """The peer opens no more streams (GOAWAY)."""


SpdyEvent = Opened | Data | Reset | Left


class HeaderCodec:
    """Header blocks: one zlib stream for all that we send, one for all that the peer sends."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def encode(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, data: bytes) -> dict[str, str]:
        try:
            block = self._inflate.decompress(data, MAX_HEADERS)
            if self._inflate.unconsumed_tail:
                raise SpdyError("headers are too long")
            (count,), offset = struct.unpack_from(">I", block), 4
            headers = {}
            for _ in range(count):
                name, offset = _text(block, offset)
                headers[name.lower()], offset = _text(block, offset)
        except (zlib.error, struct.error) as error:
            raise SpdyError(f"bad header block: {error}") from error
        return headers


def _text(block: bytes, offset: int) -> tuple[str, int]:
    """Return a length-prefixed text and the offset behind it. NUL separates the values of a header: the first
    counts.
    """
    (length,) = struct.unpack_from(">I", block, offset)
    end = offset + 4 + length
    if end > len(block):
        raise SpdyError("a header is longer than its block")
    return block[offset + 4 : end].decode("latin-1").partition("\0")[0], end


class SpdySession:
    """A SPDY connection. Only the client opens streams, and gives them odd numbers."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._headers = HeaderCodec()
        self._buffer = bytearray()
        self._data_stream = self._data_left = self._data_flags = 0
        self._highest_stream = 0

    # --- receiving -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[SpdyEvent]:
        """Return what these bytes tell, and answer a PING. Raises SpdyError if they break the protocol."""
        events: list[SpdyEvent] = []
        self._buffer += data
        while self._buffer:
            if self._data_left:
                events.append(self._take_data())
                continue
            if len(self._buffer) < 8:
                break
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first >> 31:
                self._begin_data(first, flags, length, events)
                continue
            if first >> 16 & 0x7FFF != VERSION or length > MAX_CONTROL:
                raise SpdyError(f"not a frame of SPDY/{VERSION}")
            if len(self._buffer) < 8 + length:
                break
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            event = self._control(first & 0xFFFF, flags, body)
            if event is not None:
                events.append(event)
        return events

    def _begin_data(self, stream: int, flags: int, length: int, events: list[SpdyEvent]) -> None:
        del self._buffer[:8]
        if length:
            self._data_stream, self._data_left, self._data_flags = stream, length, flags
        else:
            events.append(Data(stream, b"", bool(flags & FIN)))

    def _take_data(self) -> Data:
        chunk = bytes(self._buffer[: self._data_left])
        del self._buffer[: len(chunk)]
        self._data_left -= len(chunk)
        return Data(self._data_stream, chunk, not self._data_left and bool(self._data_flags & FIN))

    def _control(self, kind: int, flags: int, body: bytes) -> SpdyEvent | None:
        try:
            if kind == SYN_STREAM:
                return self._opened(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF, flags, body[10:])
            if kind == RST_STREAM:
                stream, code = struct.unpack_from(">II", body)
                return Reset(stream & 0x7FFFFFFF, code)
            if kind == PING:
                (identity,) = struct.unpack_from(">I", body)
                if identity & 1:  # An even one would be the answer to a ping of ours.
                    self._write(control_frame(PING, body[:4]))
                return None
            if kind == GOAWAY:
                return Left()
            if kind == HEADERS:  # It is not used, but the header blocks are one compressed stream.
                self._headers.decode(body[4:])
        except struct.error as error:
            raise SpdyError(f"a control frame of type {kind} is too short") from error
        return None  # SETTINGS, WINDOW_UPDATE and what is unknown

    def _opened(self, stream: int, flags: int, block: bytes) -> Opened | None:
        headers = self._headers.decode(block)
        if not stream & 1 or stream <= self._highest_stream:
            self.reset(stream, PROTOCOL_ERROR)
            return None
        self._highest_stream = stream
        return Opened(stream, headers, bool(flags & FIN))

    # --- sending -------------------------------------------------------------------------------------------------

    def accept(self, stream: int) -> None:
        """Answer a stream that the peer opened."""
        self._write(control_frame(SYN_REPLY, struct.pack(">I", stream) + self._headers.encode({})))

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send bytes on a stream, in frames of a bounded size; ``end`` closes our half of it."""
        chunks: Iterable[int] = range(0, len(data), 1 << 20) if data else (0,)
        for start in chunks:
            chunk = data[start : start + (1 << 20)]
            last = start + len(chunk) == len(data)
            self._write(struct.pack(">II", stream, (FIN if end and last else 0) << 24 | len(chunk)) + chunk)

    def reset(self, stream: int, code: int = CANCEL) -> None:
        """Give a stream up."""
        self._write(control_frame(RST_STREAM, struct.pack(">II", stream, code)))

    def leave(self) -> None:
        """Tell the peer that we are done."""
        self._write(control_frame(GOAWAY, struct.pack(">II", self._highest_stream, 0)))


def control_frame(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", 1 << 31 | VERSION << 16 | kind, len(body)) + body
