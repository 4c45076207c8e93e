"""The server's processes: a master that starts workers and replaces those that end, or one process that is a worker.

The master binds the ports and then forks, so that the workers share the ports and much of their memory: the application
has been loaded when ``serve`` is called, but makes its connections and threads only in ``start``, after the fork. The
master serves nothing itself and has no threads. If it dies, the kernel tells its workers to stop.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from apiserver.config import Config
from apiserver.serving.scoreboard import Scoreboard
from apiserver.serving.sockets import STALL_TIMEOUT
from apiserver.serving.tls import ServerTLS
from apiserver.serving.worker import Application, Worker

log = logging.getLogger(__name__)

# Seconds that requests in flight get when the server stops (watches are ended at once), and what a worker gets more
# before it is killed.
GRACE, KILL_AFTER = 2.0, 1.0
# Seconds without a turn of its main loop after which a worker is taken to hang.
HANG_TIMEOUT = 60.0
# Seconds between two looks for such workers.
HANG_CHECK_PERIOD = 15.0
# Seconds to wait for a port whose last owner is still about to end.
BIND_SECONDS = 5.0
BACKLOG = 1024
# What a worker ends with if it could not begin to serve. Its successor would fare no better.
CANNOT_START = 3
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_STOP = (signal.SIGTERM, signal.SIGINT)


class Preloaded(Application, Protocol):
    """An application that several workers serve."""

    def forget(self, slot: int) -> None:
        """Drop what a worker that has ended left in shared memory; called in the master."""


def serve(config: Config, application: Preloaded) -> int:
    """Serve with ``config.workers`` processes until SIGTERM or SIGINT; return the exit code."""
    raise_file_limit()
    tls = server_tls(config)
    with ExitStack() as stack:
        listeners = [stack.enter_context(bind(address, config.secure_port)) for address in config.bind_addresses]
        for listener in listeners:
            announce(listener, tls)
        # What is here now stays: not looking through it again keeps its pages shared among the workers.
        gc.collect()
        gc.freeze()
        return Master(config, application, listeners, tls).run()


def serve_here(
    config: Config,
    application: Application,
    listener: socket.socket,
    started: Callable[[], None],
    stopping: Callable[[], None],
) -> None:
    """Serve in this process, from its main thread, until SIGTERM, SIGINT or SIGHUP.

    ``started`` is called when requests are about to be served, ``stopping`` when they no longer are; both must return
    at once. A single process starts sooner, takes less memory and ends more surely than a master with its workers. For
    tests and ``mini-minishift api``.
    """
    raise_file_limit()
    tls = server_tls(config)
    announce(listener, tls)
    worker = Worker(application, [listener], tls, Scoreboard(1))

    def stop(number: int, frame: Any) -> None:
        stopping()
        worker.stop()

    for number in (*_STOP, signal.SIGHUP):
        signal.signal(number, stop)
    worker.start()
    started()
    worker.run(grace=0)


class Master:
    """Keeps the workers running."""

    def __init__(
        self, config: Config, application: Preloaded, listeners: Sequence[socket.socket], tls: ServerTLS | None
    ) -> None:
        self._config = config
        self._application = application
        self._listeners = listeners
        self._tls = tls
        self._free = list(range(config.blocks))  # slots; a successor may start before its predecessor has gone
        self._scoreboard = Scoreboard(config.blocks)
        self._slots: dict[int, int] = {}  # pid → slot

    def run(self) -> int:
        """Return the exit code when told to stop, or when a worker cannot start."""
        # The signals stay blocked and are waited for, so that none interrupts what it must not.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*_STOP, signal.SIGCHLD))
        code = 0
        while code == 0:
            while len(self._slots) < self._config.workers:
                self._fork()
            received = signal.sigtimedwait((*_STOP, signal.SIGCHLD), HANG_CHECK_PERIOD)
            if received is not None and received.si_signo in _STOP:
                break
            code = self._reap()
            for pid, slot in self._slots.items():
                if self._scoreboard.silence(slot) > HANG_TIMEOUT:
                    log.error("worker %d hangs and is killed", pid)
                    os.kill(pid, signal.SIGKILL)
        self._stop_workers()
        return code

    def _fork(self) -> None:
        slot = self._free.pop(0)
        self._scoreboard.clear(slot)
        master = os.getpid()
        pid = os.fork()
        if pid == 0:
            os._exit(self._be_worker(slot, master))
        self._slots[pid] = slot

    def _be_worker(self, slot: int, master: int) -> int:
        """Run in the new process; return its exit code."""
        try:
            worker = Worker(self._application, self._listeners, self._tls, self._scoreboard, slot)
            for number in _STOP:
                signal.signal(number, lambda *_: worker.stop())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_STOP, signal.SIGCHLD))
            # If the master is killed, leave the port to its successor at once.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != master:
                return 0
            os.sched_setaffinity(0, processors_of(slot, self._config.workers, os.sched_getaffinity(0)))
            worker.start()
            worker.run(GRACE)
        except BaseException:
            log.exception("a worker failed")
            return 1 if self._scoreboard.has_begun(slot) else CANNOT_START
        finally:
            logging.shutdown()
            sys.stderr.flush()
        return 0

    def _reap(self) -> int:
        """Note which workers have ended; return the exit code of one that could not start, else 0."""
        code = 0
        for pid in list(self._slots):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                slot = self._slots.pop(pid)
                log.error("worker %d ended: %s", pid, _describe_exit(status))
                self._application.forget(slot)
                self._scoreboard.clear(slot)
                self._free.insert(0, slot)
                if os.waitstatus_to_exitcode(status) == CANNOT_START:
                    code = CANNOT_START
        return code

    def _stop_workers(self) -> None:
        for pid in self._slots:
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + GRACE + KILL_AFTER
        while self._slots and (left := end - time.monotonic()) > 0:
            signal.sigtimedwait((signal.SIGCHLD,), left)
            for pid in list(self._slots):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._slots[pid]
        for pid in self._slots:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def processors_of(slot: int, workers: int, available: Iterable[int]) -> list[int]:
    """Return the processors on which a worker runs: an equal share of those that are available.

    Only one of a worker's threads can run Python at a time, and whenever the lock goes to one on another processor, the
    data have to follow. Where each of two workers has a processor of its own, 16 clients make a fifth more POSTs and
    half more GETs a second (on a machine with other work to do).
    """
    every = sorted(available)
    return every[slot % workers :: workers] or every


def _describe_exit(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def server_tls(config: Config) -> ServerTLS | None:
    """Load the certificates that the flags name; None for plain HTTP."""
    if not (config.tls_cert_file and config.tls_private_key_file):
        return None
    return ServerTLS(config.tls_cert_file, config.tls_private_key_file, config.client_ca_file)


def bind(address: str, port: int) -> socket.socket:
    """Return a listening socket. Waits for a port that is in use for up to BIND_SECONDS, then raises OSError."""
    end = time.monotonic() + BIND_SECONDS
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        try:
            return socket.create_server((address, port), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise
            time.sleep(0.1)  # a port that becomes free gives no event to wait for


def announce(listener: socket.socket, tls: ServerTLS | None) -> None:
    """Set what accepted connections inherit from a listening socket, and log where it is."""
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALL_TIMEOUT * 1000))
    host, port = listener.getsockname()[:2]
    log.info("serving on %s://%s:%s", "https" if tls else "http", host, port)


def raise_file_limit() -> None:
    """Allow as many open connections as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
