"""The API server without gunicorn's arbiter: its worker runs in this very process, on a socket that is bound already.

One process starts sooner, takes less memory and ends more surely than an arbiter with its workers, and whoever embeds
it knows the port before anything is loaded. For tests, and for ``mini-minishift api``; a cluster's server has workers.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from apiserver.assembly import Server
from apiserver.config import Config
from apiserver.serving.server import Gunicorn, allow_files
from apiserver.serving.worker import Worker
from machinery.metrics import METRICS

# Each would end a program in a terminal.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Alone(Gunicorn):
    """For the main thread, since signals end it."""

    def __init__(self, config: Config, started: Callable[[Server], None], ending: Callable[[], None]) -> None:
        """``started`` is called when requests are about to be served, ``ending`` in a thread when they cease to be."""
        super().__init__(config)
        self._started = started
        self._ending = ending
        self.cfg.set("graceful_timeout", 0)

    def serve(self, listener: socket.socket) -> None:
        """Until SIGTERM, SIGINT or SIGHUP; the store is closed then."""
        allow_files()
        self.announce(listener)
        worker = _Worker(0, os.getppid(), [listener], self, self.cfg.timeout, self.cfg, self.cfg.logger_class(self.cfg))
        try:
            worker.init_process()
        finally:
            self.server.stop()

    def _worker_starts(self, worker: Any) -> None:
        METRICS.use_block(0)
        self.server.start()
        stop = self.stopping(worker.handle_exit)
        for number in _ENDING:
            signal.signal(number, stop)
        self._started(self.server)

    def _end_streams(self) -> None:
        self._ending()
        super()._end_streams()


class _Worker(Worker):
    """A parent that goes does not end it: under a shell it may be meant to stay (``nohup``)."""

    def is_parent_alive(self) -> bool:
        return True
