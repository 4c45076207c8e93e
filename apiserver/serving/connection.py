"""A client's connection while it waits for a request: TLS handshake and request heads, taken as they come.

It needs a thread only once a whole request is there: head and body. Until then ``receive_head`` takes what has arrived
and returns, and the worker's main loop watches the socket. Handshake and head together must arrive within one timeout,
however often a byte of them comes.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from typing import Any

from apiserver.serving.sockets import PlainSocket, is_ready
from apiserver.serving.tls import ServerTLS

# A thread waits so many milliseconds for the rest of a head: most come at once, and a change of threads is costly.
HEAD_WAIT = 10
HEAD_ENDS = (b"\n\r\n", b"\n\n")
# Bytes. A longer head is refused (see http.py, which has narrower limits for its lines).
HEAD_LIMIT = 1024 * 1024
# Bytes that are thrown away of a client that goes on sending after the end of its connection.
DISCARD_LIMIT = 64 * 1024 * 1024


class ClientConnection:
    """Its socket, and the bytes that were received but belong to no request yet."""

    def __init__(
        self, accepted: socket.socket, client: Any, server: Any, tls: ServerTLS | None, head_timeout: float
    ) -> None:
        """``client`` and ``server`` are the addresses of both ends; without ``tls`` HTTP is spoken."""
        self.socket: Any = accepted
        self.client, self.server = client, server
        self.fd = accepted.fileno()
        self.is_tls = tls is not None
        self.buffer = bytearray()
        self.deadline = time.monotonic() + head_timeout  # by time.monotonic; the worker closes it then
        self.is_new = True  # nothing has been received yet
        self.begun: Any = None  # the request of which a head has been received, but not all of the body
        self.held = 0  # bytes of its body, while the main loop waits for the rest
        self._left_to_discard = DISCARD_LIMIT
        self._tls = tls
        self._head_timeout = head_timeout
        self._is_secured = False
        self._head_begun = True  # the deadline is that of a head

    def receive_head(self) -> bool:
        """Receive until ``buffer`` holds a whole head, and return True; False if the client has not sent it all yet.

        Also True for what the parser will refuse, a head that is too long. Raises OSError if the client has left, TLS
        fails or the time is over.
        """
        if self.is_new:
            self._begin()
        self.socket.setblocking(False)
        while not self._receive():
            if not is_ready(self.socket, select.POLLIN, HEAD_WAIT):
                return False
        self._head_begun = False
        self.socket.setblocking(True)
        return True

    def _begin(self) -> None:
        """Only now, since a TLS socket takes 46 KB, which clients that say nothing shall not cost."""
        self.is_new = False
        if self._tls is None:
            self.socket = PlainSocket.of(self.socket)
            self._is_secured = True
        else:
            self.socket = self._tls.context().wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def _receive(self) -> bool:
        if not self._head_begun:
            self._head_begun = True
            self.deadline = time.monotonic() + self._head_timeout
        if time.monotonic() > self.deadline:
            raise ConnectionResetError(errno.ECONNRESET, "the client stalled")
        try:
            if not self._is_secured:
                self.socket.do_handshake()
                self._is_secured = True
            while not any(end in self.buffer for end in HEAD_ENDS) and len(self.buffer) < HEAD_LIMIT:
                data = self.socket.recv(8192)
                if not data:
                    raise ConnectionResetError(errno.ECONNRESET, "the client has left")
                self.buffer += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return False
        return True

    def has_received(self) -> bool:
        """Tell whether bytes are here that the poller cannot see, in the buffer or inside TLS."""
        return bool(self.buffer) or (self.is_tls and not self.is_new and self.socket.pending() > 0)

    def waits_for_more(self, milliseconds: float) -> bool:
        """Wait that long for the client's next request, and tell whether something came."""
        return self.has_received() or is_ready(self.socket, select.POLLIN, milliseconds)

    def end_sending(self) -> None:
        """Close the sending half, so that the client still gets a response before which not all was read.

        With unread bytes in its buffer the kernel would answer a close with a reset, which can overtake the response's
        end (RFC 9112, section 9.6). What the client still sends is to be discarded until it closes its end too.
        """
        self.socket.setblocking(False)
        self.socket.shutdown(socket.SHUT_WR)

    def discard(self) -> bool:
        """Throw away some of what has come, without waiting; return True if the connection can be closed."""
        try:
            # TLS plays no part any more.
            data = socket.socket.recv(self.socket, 256 * 1024)
        except BlockingIOError:
            return False
        except OSError:
            return True  # it has been reset
        self._left_to_discard -= len(data)
        return not data or self._left_to_discard <= 0

    def close(self) -> None:
        self.begun = None  # which refers to this connection
        self.socket.close()
