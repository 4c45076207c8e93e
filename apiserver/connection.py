"""The client's end of a request that lasts: how a watch notices that nobody listens any more."""

from __future__ import annotations

import select
import ssl
from collections.abc import Mapping
from typing import Any


class ClientConnection:
    """gunicorn's socket of a request, which the handler reads nothing from but farewells."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    @staticmethod
    def of(environ: Mapping[str, Any]) -> ClientConnection | None:
        """None where the server does not show its sockets (tests)."""
        socket = environ.get("gunicorn.socket")
        return ClientConnection(socket) if socket is not None else None

    def fileno(self) -> int:
        number: int = self._socket.fileno()
        return number

    def has_left(self) -> bool:
        """Reads what the client sent. A TLS record without data is no farewell; anything else ends the request."""
        if not select.select([self._socket], [], [], 0)[0]:
            return True  # woken by the hang-up itself
        self._socket.setblocking(False)
        try:
            self._socket.recv(4096)
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True
        finally:
            self._socket.setblocking(True)
        return True
