"""gRPC over HTTP/2, as much of it as a client of etcd needs: a connection carries one call at a time.

The package grpcio hands each message from thread to thread, which under Python's global lock costs more than all else
that a write needs: of 2.2 ms of processor time for a POST, with etcd's, this saves 0.5 (16 clients, two cores), and of
the memory of an idle API server 30 of 145 MB. Here the caller writes its request on a connection that is idle and reads
the answer itself, so that no other thread is woken.

One call at a time means that frames of another stream are leftovers, and that a call that fails costs no other call its
connection. HPACK's table is switched off (SETTINGS_HEADER_TABLE_SIZE 0), so that the same bytes always mean the same
headers, and are decoded once. Specifications: RFC 9113, RFC 7541, and gRPC's PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import enum
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from urllib.parse import unquote

import hpack

Address = str | tuple[str, int]  # of a unix socket, or of TCP

# Frame types, flags and settings.
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 1, 2, 4
_FRAME_HEAD = struct.Struct(">HBBBI")  # length (in two parts), type, flags, stream
_SETTING = struct.Struct(">HI")
_MESSAGE_HEAD = struct.Struct(">BI")  # whether it is compressed, length
_NUMBER = struct.Struct(">I")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Bytes that the peer may send before it has to wait: as many as HTTP/2 allows, since nobody else shares the connection.
_OUR_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_LARGEST_FRAME = 16_384
_LAST_STREAM = 2**31 - 3
_RECEIVE_SIZE = 64 * 1024
# A pool has at most so many connections. One that has been idle for FRESH seconds is looked at before it is used, since
# the peer may have left; one that has been idle for IDLE seconds is closed.
_MOST, _FRESH, _IDLE = 64, 1.0, 30.0
# Over TCP, a peer that has been silent for 15 seconds is asked whether it is still there.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 2}

_Frame = tuple[int, int, int, bytes]  # type, flags, stream, payload


class Code(enum.IntEnum):
    """Those of gRPC's status codes that are told apart."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    RESOURCE_EXHAUSTED = 8
    OUT_OF_RANGE = 11
    INTERNAL = 13
    UNAVAILABLE = 14


class RpcError(Exception):
    """A call has failed, with one of gRPC's status codes and the peer's words."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


class Connection:
    """A connection for one call at a time, in one thread at a time; another thread may only ``close`` it."""

    def __init__(self, address: Address, timeout: float | None) -> None:
        """Connect. ``timeout`` is how many seconds a single wait may take, None for ever. Raises OSError."""
        self.in_call = False  # a call has begun and has not come to its end
        self.used_at = 0.0  # by time.monotonic
        self._socket = _connect(address, timeout)
        self._stream = -1  # of the last call
        self._leaving = False  # the peer takes no more calls
        self._received = bytearray()
        self._read = 0  # how many bytes of ``_received`` have been read
        self._send_window = _DEFAULT_WINDOW  # how many bytes the peer takes on the connection
        self._stream_window = self._new_stream_window = _DEFAULT_WINDOW  # and on this stream, and on a new one
        self._receive_window = _OUR_WINDOW
        settings = {_HEADER_TABLE_SIZE: 0, _ENABLE_PUSH: 0, _INITIAL_WINDOW_SIZE: _OUR_WINDOW}
        packed = b"".join(_SETTING.pack(*setting) for setting in settings.items())
        # What is to be said beside requests waits for the next one.
        self._unsent = _PREFACE + _frame(_SETTINGS, 0, 0, packed) + _window_update(_OUR_WINDOW - _DEFAULT_WINDOW)

    def call(self, method: bytes, request: bytes) -> bytes:
        """Call a method that answers once, and return the answer. Raises RpcError, OSError."""
        self._send(method, request)
        parts = []
        while (part := self._next_part()) is not None:
            parts.append(part)
        data = b"".join(parts)
        if len(data) < _MESSAGE_HEAD.size:
            raise RpcError(Code.INTERNAL, "there is no message in the answer")
        return data[_MESSAGE_HEAD.size :]

    def stream(self, method: bytes, request: bytes) -> Iterator[list[bytes]]:
        """Call a method that answers many times; yield all messages that have come. Raises RpcError, OSError."""
        data, messages = bytearray(), []
        self._send(method, request)
        while (part := self._next_part()) is not None:
            data += part
            while len(data) >= _MESSAGE_HEAD.size:
                end = _MESSAGE_HEAD.size + _MESSAGE_HEAD.unpack_from(data)[1]
                if len(data) < end:
                    break
                messages.append(bytes(data[_MESSAGE_HEAD.size : end]))
                del data[:end]
            if messages and not self._has_frame():
                yield messages
                messages = []

    def is_usable(self) -> bool:
        """Return whether another call can be made; the peer may have closed the connection meanwhile."""
        if self._leaving or self._stream >= _LAST_STREAM:
            return False
        if time.monotonic() - self.used_at < _FRESH:
            return True
        try:
            while data := self._socket.recv(_RECEIVE_SIZE, socket.MSG_DONTWAIT):
                self._received += data
                while self._has_frame():
                    self._note(*self._next_frame())
        except BlockingIOError:
            return not self._leaving
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the connection. A call that waits in another thread fails with OSError."""
        with suppress(OSError):  # The peer may have closed it before.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _send(self, method: bytes, request: bytes) -> None:
        """Send a request: in one piece, unless it is larger than a frame or than what the peer takes now."""
        self.in_call = True
        self._stream += 2
        self._stream_window = self._new_stream_window
        data = _frame(_HEADERS, _END_HEADERS, self._stream, method)
        rest = memoryview(_MESSAGE_HEAD.pack(0, len(request)) + request)
        while True:
            data, self._unsent = self._unsent + data, b""
            size = min(len(rest), _LARGEST_FRAME, self._send_window, self._stream_window)
            if size > 0:
                self._send_window -= size
                self._stream_window -= size
                part, rest = bytes(rest[:size]), rest[size:]
                data += _frame(_DATA, 0 if rest else _END_STREAM, self._stream, part)
            if data:
                self._socket.sendall(data)
                data = b""
            if not rest:
                return
            if size <= 0:  # The peer has to read before it takes more.
                type_, flags, stream, payload = self._next_frame()
                if type_ == _HEADERS and stream == self._stream:
                    _check(payload, is_end=True)
                self._note(type_, flags, stream, payload)

    def _next_part(self) -> bytes | None:
        """Wait for more data of the answer, and return them; None at its end. Raises RpcError, OSError."""
        while True:
            type_, flags, stream, payload = self._next_frame()
            if type_ == _HEADERS and stream == self._stream:
                self.in_call = not flags & _END_STREAM
                _check(payload, is_end=not self.in_call)
                if not self.in_call:
                    self.used_at = time.monotonic()
                    return None
            else:
                self._note(type_, flags, stream, payload)
                if type_ == _DATA and stream == self._stream:
                    return payload

    def _has_frame(self) -> bool:
        begin = self._read + _FRAME_HEAD.size
        received = len(self._received)
        return begin <= received and begin + int.from_bytes(self._received[self._read : self._read + 3]) <= received

    def _next_frame(self) -> _Frame:
        """Return the next frame, for which it may have to wait. Raises OSError."""
        while not self._has_frame():
            del self._received[: self._read]
            self._read = 0
            data = self._socket.recv(_RECEIVE_SIZE)
            if not data:
                raise ConnectionResetError("the connection was closed")
            self._received += data
        high, low, type_, flags, stream = _FRAME_HEAD.unpack_from(self._received, self._read)
        begin = self._read + _FRAME_HEAD.size
        self._read = end = begin + (high << 8 | low)
        if flags & (_PADDED | _PRIORITY) and type_ in (_DATA, _HEADERS):
            raise RpcError(Code.INTERNAL, "a frame has padding or a priority, which etcd does not send")
        return type_, flags, stream & 0x7FFFFFFF, bytes(self._received[begin:end])

    def _note(self, type_: int, flags: int, stream: int, payload: bytes) -> None:
        """Take account of what a frame says about the connection or the stream."""
        if type_ == _DATA:
            self._receive_window -= len(payload)
            if self._receive_window < _OUR_WINDOW // 2:
                self._socket.sendall(_window_update(_OUR_WINDOW - self._receive_window))
                self._receive_window = _OUR_WINDOW
        elif type_ == _WINDOW_UPDATE:
            (more,) = _NUMBER.unpack(payload)
            if stream == 0:
                self._send_window += more
            elif stream == self._stream:
                self._stream_window += more
        elif type_ == _PING and not flags & _ACK:
            self._unsent += _frame(_PING, _ACK, 0, payload)
        elif type_ == _SETTINGS and not flags & _ACK:
            for name, value in _SETTING.iter_unpack(payload):
                if name == _INITIAL_WINDOW_SIZE:
                    self._stream_window += value - self._new_stream_window
                    self._new_stream_window = value
            self._unsent += _frame(_SETTINGS, _ACK, 0, b"")
        elif type_ == _RST_STREAM and stream == self._stream:
            raise RpcError(Code.UNAVAILABLE, f"the call was reset, code {_NUMBER.unpack(payload)[0]}")
        elif type_ == _GOAWAY:
            self._leaving = True


class Pool:
    """Connections to one peer, of which each call takes an idle one, or else a new one. All methods are thread-safe."""

    def __init__(self, address: Address, timeout: float) -> None:
        """``timeout`` is how many seconds a call waits for a connection, and for each part of the answer."""
        self._address = address
        self._timeout = timeout
        self._free = threading.Semaphore(_MOST)
        self._idle: list[Connection] = []  # the last one was used last

    def call(self, method: bytes, request: bytes) -> bytes:
        """Call a method that answers once, and return the answer. Raises RpcError, OSError."""
        if not self._free.acquire(timeout=self._timeout):
            raise RpcError(Code.DEADLINE_EXCEEDED, "all connections are in use")
        try:
            connection = self._take()
            try:
                return connection.call(method, request)
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the connections that are idle."""
        with suppress(IndexError):  # a call may take one meanwhile
            while True:
                self._idle.pop().close()

    def _take(self) -> Connection:
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if connection.is_usable():
                    return connection
                connection.close()
        return Connection(self._address, self._timeout)

    def _give_back(self, connection: Connection) -> None:
        if connection.in_call:
            connection.close()  # What still comes on it belongs to this call.
            return
        self._idle.append(connection)
        if connection.used_at - self._idle[0].used_at > _IDLE:
            with suppress(IndexError):  # another thread may have taken it meanwhile
                self._idle.pop(0).close()


def method_head(path: str) -> bytes:
    """Return the headers of a call to a method ``/package.Service/Method``, as HPACK encodes them without a table."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": "mini-minishift",
    }
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())


def _text(text: str) -> bytes:
    assert len(text) < 0x7F, "a longer text would need more than one byte for its length"
    return bytes([len(text)]) + text.encode("ascii")


def _frame(type_: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _FRAME_HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, type_, flags, stream) + payload


def _window_update(more: int) -> bytes:
    return _frame(_WINDOW_UPDATE, 0, 0, _NUMBER.pack(more))


def _check(block: bytes, *, is_end: bool) -> None:
    """Raise RpcError if headers at the beginning or end of an answer tell of an error."""
    http, code, details = _status(block)
    if http not in ("", "200"):
        raise RpcError(Code.UNAVAILABLE, f"HTTP status {http}")
    if is_end and code != Code.OK:
        raise RpcError(code, details)


@lru_cache(64)
def _status(block: bytes) -> tuple[str, int, str]:
    """Return HTTP's status, gRPC's status and its message, as far as headers have them."""
    headers = {bytes(name): value for name, value in hpack.Decoder().decode(block, raw=True)}
    http, code, details = (headers.get(name, b"").decode() for name in (b":status", b"grpc-status", b"grpc-message"))
    return http, int(code) if code.isdecimal() else Code.INTERNAL, unquote(details)


def _connect(address: Address, timeout: float | None) -> socket.socket:
    if isinstance(address, str):
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(address)
        except OSError:
            connected.close()
            raise
    else:
        connected = socket.create_connection(address, timeout)
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
    if timeout is not None:
        # Python's own timeout would poll before each read, which is one more system call and release of the lock.
        limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    return connected
