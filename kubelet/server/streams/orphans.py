"""Processes whose exec lost its client: what they write from now on, nobody reads, as in a pipe whose reader has gone.

The kernel would end a writer of such a pipe by SIGPIPE. Docker keeps the pipe open and throws away what comes out of
it, so that ``kubectl exec pod -- yes | head`` would leave ``yes`` running at full speed for ever. So the stream is
kept, and the first output is answered with the signal, to all processes that have this pipe as their output. One that
goes on writing ignores SIGPIPE, and would have met EPIPE; it is killed. A process that writes nothing is left alone.
Likewise with a terminal, whose processes have been told by SIGHUP already: but Docker ends the stream of a terminal
that had an input, so that one which ignores SIGHUP is not noticed.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kubelet.model.runtime import RuntimeFailure, RuntimeUnavailable
from kubelet.model.streaming import ProcessStream, StreamingRuntime

_LOG = logging.getLogger(__name__)
_PROC = Path("/proc")
# Streams that are kept. When there are more, the oldest is let go.
_MOST = 1000
# Major numbers of pseudoterminals (Documentation/admin-guide/devices.txt of the kernel).
_TERMINALS = range(136, 144)
# Seconds after SIGPIPE in which a process may end.
_GRACE = 0.5


@dataclass
class _Orphan:
    stream: ProcessStream
    exec_id: str
    told_at: float = 0.0  # by time.monotonic: when SIGPIPE was sent
    killed: bool = False


class Orphans:
    """The streams of such processes, and the one thread (started with the first) that waits for their output."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orphans: dict[int, _Orphan] = {}
        self._runtime: StreamingRuntime | None = None
        self._poll: select.epoll | None = None

    def adopt(self, runtime: StreamingRuntime, exec_id: str, stream: ProcessStream) -> None:
        """Take over the stream of an exec whose client has left; it is closed when the process has ended."""
        with self._lock:
            if self._poll is None:
                self._poll = select.epoll()
                threading.Thread(target=self._run, args=(self._poll,), name="orphaned-execs", daemon=True).start()
            self._runtime = runtime
            if len(self._orphans) >= _MOST:
                self._let_go(next(iter(self._orphans)))
            self._orphans[stream.fileno()] = _Orphan(stream, exec_id)
            self._poll.register(stream.fileno(), select.EPOLLIN)

    def _run(self, poll: select.epoll) -> None:
        while True:
            for fd, _ in poll.poll():
                with self._lock:
                    orphan = self._orphans.get(fd)
                if orphan is not None and not self._is_left_alone(orphan):
                    with self._lock:
                        self._let_go(fd)

    def _let_go(self, fd: int) -> None:
        assert self._poll is not None
        orphan = self._orphans.pop(fd, None)
        if orphan is not None:
            self._poll.unregister(fd)
            orphan.stream.close()

    def _is_left_alone(self, orphan: _Orphan) -> bool:
        """Read what has come and answer it; return False if the stream is to be closed."""
        try:
            output = orphan.stream.receive()
        except OSError:
            return False
        now = time.monotonic()
        if output is None or (output and orphan.told_at and now - orphan.told_at < _GRACE):
            return True
        if not output or orphan.killed:
            return False
        number = signal.SIGKILL if orphan.told_at else signal.SIGPIPE
        orphan.told_at, orphan.killed = now, number == signal.SIGKILL
        assert self._runtime is not None
        try:
            state = self._runtime.exec_inspect(orphan.exec_id)
        except (RuntimeFailure, RuntimeUnavailable) as error:
            _LOG.warning("an exec without a client cannot be ended: %s", error)
            return False
        if not state.pid or state.exit_code is not None:
            return False
        count = signal_writers(state.pid, number)
        _LOG.info("sent %s to %d processes of an exec that still write, though its client has left", number.name, count)
        return count > 0


def signal_writers(pid: int, number: signal.Signals) -> int:
    """Signal all processes whose output is the pipe or terminal of a process; return how many there were."""
    outputs = set(_outputs(pid))
    count = 0
    for entry in _PROC.iterdir() if outputs else ():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it has ended meanwhile
            handle = os.pidfd_open(int(entry.name))
            try:
                # Only now it is looked at, so that the handle is not that of a later process with its number.
                if outputs.intersection(_outputs(int(entry.name))):
                    signal.pidfd_send_signal(handle, number)
                    count += 1
            finally:
                os.close(handle)
    return count


def _outputs(pid: int) -> Iterator[tuple[int, int]]:
    """Yield the identities of the pipes, or of the terminal, that are the standard output and error of a process."""
    for descriptor in (1, 2):
        with suppress(OSError):  # it has none, or has ended
            found = (_PROC / str(pid) / "fd" / str(descriptor)).stat()
            is_terminal = stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) in _TERMINALS
            if stat.S_ISFIFO(found.st_mode) or is_terminal:
                yield found.st_dev, found.st_ino
