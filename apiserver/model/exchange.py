"""What the web server tells the application about a request beyond WSGI (PEP 3333), and the application to it."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from typing import Protocol

# Where the environ holds the request's Exchange. Under another web server, as in some tests, there is none.
EXCHANGE = "apiserver.exchange"
# Where the application puts the stream of a watch (api/watchstream.py): its events then need no thread.
WATCH = "apiserver.watch"


class Exchange(Protocol):
    """A request, its response and the connection that both use."""

    socket: socket.socket  # an SSLSocket if the server speaks TLS
    bytes_sent: int  # of the response's body
    taken_over: bool  # set by who has written on the socket itself: the server then writes nothing and closes it

    def read_ahead(self) -> bytes:
        """Return the bytes behind the request that were read with it, from a client that did not wait for an answer."""

    def body_deadline(self) -> AbstractContextManager[None]:
        """Within this context, the rest of the request's body must arrive within the request timeout.

        Reading it raises OSError when the time is over.
        """
