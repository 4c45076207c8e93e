"""Serves the application with gunicorn: a few worker processes with many threads each, over TLS.

Open logs and execs hold a thread each, so there may be many; threads are started when they are needed. The
application is assembled before the fork, so that the workers share its memory; connections to etcd are made after it.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import resource
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http import message
from gunicorn.workers import gthread

from apiserver.api import scrape
from apiserver.api.app import create_app
from apiserver.api.requestlog import set_verbosity
from apiserver.assembly import Server, assemble
from apiserver.config import Config
from apiserver.kinds.subresources import SUBRESOURCES
from apiserver.schema import compiled
from apiserver.serving.tls import ServerTLS
from apiserver.serving.worker import Crowd, Worker
from apiserver.streaming.tunnel import TUNNELS
from machinery.metrics import METRICS

log = logging.getLogger(__name__)

# Open logs, execs and proxied connections of one worker, with room for the requests beside them; and all connections,
# with those of watches, which need no thread.
THREADS = 1000
CONNECTIONS = 4000
# Idle connections are kept longer than clients keep them, so that it is the client who closes.
KEEPALIVE = 100
# What requests in flight get when the server stops; watches are ended at once.
GRACE = 2
LINGER = 0.2
HEADER_LIMIT = 64 * 1024
# kubectl exec sends its command in the URL: upstream takes 1 MB there, gunicorn by itself 8 KB.
LINE_LIMIT = 256 * 1024


_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_M_ARENA_MAX = -8  # <malloc.h>

SignalHandler = Callable[[int, Any], None]


class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn, configured in Python; it starts the workers and restarts one that dies."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.request_timeout = config.request_timeout
        set_verbosity(config.verbosity)
        METRICS.share(config.blocks)
        Worker.crowd = Crowd(config.blocks)
        self._free_blocks = list(range(config.blocks))
        self.server: Server = assemble(config)
        scrape.show(self.server)
        self._tls: ServerTLS | None = None
        if config.tls_cert_file and config.tls_private_key_file:
            self._tls = ServerTLS(config.tls_cert_file, config.tls_private_key_file, config.client_ca_file)
        super().__init__(prog="apiserver")

    def load_config(self) -> None:
        config = self._config
        settings: dict[str, Any] = {
            "bind": [_bound(address, config.secure_port) for address in config.bind_addresses],
            "worker_class": Worker,
            "logger_class": _Logger,
            "workers": config.workers,
            "threads": THREADS,
            "worker_connections": CONNECTIONS,
            "preload_app": True,
            "keepalive": KEEPALIVE,
            "graceful_timeout": GRACE,
            "timeout": 60,
            "backlog": 1024,
            "limit_request_line": LINE_LIMIT,
            "limit_request_field_size": HEADER_LIMIT,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # no proxy stands before this server that could be believed
            "worker_tmp_dir": "/dev/shm",
            "loglevel": "warning",
            "proc_name": "apiserver",
            "when_ready": self._when_ready,
            "pre_fork": self._before_fork,
            "child_exit": self._after_exit,
            "post_worker_init": self._worker_starts,
            "worker_exit": self._worker_ends,
        }
        if self._tls is not None:
            settings |= {
                "certfile": str(config.tls_cert_file),
                "keyfile": str(config.tls_private_key_file),
                "do_handshake_on_connect": False,  # the socket's own time-out is set only after wrapping
                "ssl_context": lambda _config, _default: self._tls.context() if self._tls else None,
            }
        message.MAX_REQUEST_LINE = LINE_LIMIT
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        rows = SUBRESOURCES.values()
        compiled.preload([kind.definition for kind in self.server.builtin.kinds()] + [row.definition for row in rows])
        return create_app(self.server)

    def _when_ready(self, arbiter: Any) -> None:
        """Runs in the parent, before the first fork."""
        for listener in arbiter.LISTENERS:
            self.announce(listener.sock)
        # What is here now stays; not looking through it again keeps its pages shared among the workers.
        gc.collect()
        gc.freeze()

    def _before_fork(self, arbiter: Any, worker: Any) -> None:
        """Runs in the parent; the worker finds it in its copy."""
        worker.block = self._free_blocks.pop(0)

    def _after_exit(self, arbiter: Any, worker: Any) -> None:
        """Runs in the parent when a worker has ended, however it did."""
        METRICS.forget_gauges(worker.block)
        Worker.crowd.forget(worker.block)
        self._free_blocks.insert(0, worker.block)

    def announce(self, listener: socket.socket) -> None:
        """Prepares a listening socket, and says where it is."""
        _tune(listener)
        host, port = listener.getsockname()[:2]
        log.info("serving on %s://%s:%s", "https" if self._tls else "http", host, port)

    def _worker_starts(self, worker: Any) -> None:
        """Runs in each worker: its threads and connections begin here."""
        METRICS.use_block(worker.block)
        self.server.cache.use_block(worker.block)
        self.server.start()
        signal.signal(signal.SIGTERM, self.stopping(worker.handle_exit))
        # Threads come and go, and glibc would keep a heap for each that was there at once.
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 2)
        # When the parent is killed, leave the port to its successor at once; gunicorn alone looks once a second.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # A connection that was kept for a next request gets this long to send it, and not gunicorn's two seconds.
        gthread.STOP_KEEPALIVE_LINGER = LINGER

    def stopping(self, handle_exit: SignalHandler) -> SignalHandler:
        """What the signal that ends a worker does."""

        def stop(number: int, frame: Any) -> None:
            # Watches and tunnels would hold their threads until the grace is over. Not in the signal handler itself: it
            # may have interrupted someone who holds the very lock that ending them needs.
            threading.Thread(target=self._end_streams, name="end-streams").start()
            handle_exit(number, frame)

        return stop

    def _end_streams(self) -> None:
        self.server.cache.end_watches()
        TUNNELS.stop()

    def _worker_ends(self, arbiter: Any, worker: Any) -> None:
        self.server.stop()


class _Logger(Logger):  # type: ignore[misc]
    """Lets gunicorn's own messages go the way of all others."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        self.error_log.setLevel(logging.DEBUG if self.error_log.root.level == logging.DEBUG else logging.ERROR)


def serve(config: Config) -> None:
    """Runs until SIGTERM or SIGINT."""
    allow_files()
    Gunicorn(config).run()


def allow_files() -> None:
    """As many open connections as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _bound(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _tune(listener: socket.socket) -> None:
    """Sets what accepted connections inherit."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
