"""Exec and attach: a client's channels on a new process in a container, or on the container's own.

As upstream, what can be known to fail is refused before the upgrade, in words; what fails later is a Status on the
error channel. When the client leaves, an exec'd process loses its stdin, its output (see orphans.py) and its terminal.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from kubelet.model.runtime import RuntimeFailure, RuntimeNotFound, RuntimeUnavailable
from kubelet.model.streaming import ExecState, StandardStreams, StreamingRuntime
from kubelet.server.connection import Connection
from kubelet.server.streams.channels import SUCCESS, Channel
from kubelet.server.streams.orphans import Orphans
from kubelet.server.streams.session import Resize, Session
from kubelet.server.streams.upgrade import Answer, Headers, finish_streams, open_streams
from machinery.errors import BadRequest, InternalError
from machinery.objects import Object

_EXIT_CODE_SECONDS = 10.0
_HANG_UP_SECONDS = 5.0


_PARAMETERS = ("input", "output", "error", "tty")


class RunningContainer(NamedTuple):
    """A container's id, and upstream's message for when it does not run."""

    id: str
    absent: str


def streams_from_query(query: dict[str, list[str]]) -> StandardStreams:
    """Return what the parameters ``input``, ``output``, ``error`` and ``tty`` ask for: each is on if ``1`` or ``true``.

    Raises BadRequest if no stream is asked for.
    """
    stdin, stdout, stderr, tty = (query.get(name, [""])[-1] in ("1", "true") for name in _PARAMETERS)
    if not (stdin or stdout or stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return StandardStreams(stdin, stdout, stderr and not tty, tty)


def _channels(wanted: StandardStreams) -> set[Channel]:
    channels = {Channel.STDIN: wanted.stdin, Channel.STDOUT: wanted.stdout, Channel.STDERR: wanted.stderr}
    return {channel for channel, on in {**channels, Channel.RESIZE: wanted.tty}.items() if on}


def execute(
    conn: Connection,
    headers: Headers,
    answer: Answer,
    runtime: StreamingRuntime,
    container: RunningContainer,
    command: Sequence[str],
    wanted: StandardStreams,
    orphans: Orphans,
) -> None:
    """Run a command in a running container."""
    if not command:
        raise BadRequest("you must specify a command to execute")
    try:
        exec_id = runtime.exec_create(container.id, list(command), wanted)
    except RuntimeNotFound as error:
        raise InternalError(container.absent) from error
    except RuntimeFailure as error:
        raise InternalError(str(error)) from error
    streams, early = open_streams(conn, headers, _channels(wanted), answer)
    try:
        process = runtime.exec_start(exec_id, tty=wanted.tty)
    except (RuntimeFailure, RuntimeUnavailable) as error:
        finish_streams(conn, streams, _internal(f"error executing command in container: {error}"))
        return
    ended = False
    resize: Resize = lambda height, width: runtime.exec_resize(exec_id, height, width)  # noqa: E731
    session = Session(conn, streams, process, terminal=wanted.tty, resize=resize, hold_start_error=True)
    try:
        ended = session.run(early)
    finally:
        if ended:
            process.close()
        else:
            orphans.adopt(runtime, exec_id, process)
            if wanted.tty:
                hang_up(runtime, exec_id)
    if ended:
        result = _wait_for_exit(runtime, exec_id)
        if session.start_error and not result.pid:
            finish_streams(conn, streams, _internal(f"error executing command in container: {session.start_error}"))
        else:
            session.release()
            finish_streams(conn, streams, exit_status(result.exit_code or 0))


def _wait_for_exit(runtime: StreamingRuntime, exec_id: str) -> ExecState:
    """Return the state of an exec whose output has ended, waiting a little for its exit code.

    Docker notes the exit code some milliseconds after the end of the output, and no event tells of it.
    """
    pause, deadline = threading.Event(), time.monotonic() + _EXIT_CODE_SECONDS
    seconds = 0.005
    while True:
        result = runtime.exec_inspect(exec_id)
        if (not result.running and result.exit_code is not None) or time.monotonic() > deadline:
            return result
        pause.wait(seconds)
        seconds = min(seconds * 2, 0.5)


def hang_up(runtime: StreamingRuntime, exec_id: str) -> None:
    """Send SIGHUP to an exec'd process whose client has left, as a closed terminal does."""
    deadline = time.monotonic() + _HANG_UP_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        result = runtime.exec_inspect(exec_id)
        if result.exit_code is not None:
            return
        if result.running and result.pid:
            break
        pause.wait(0.05)  # The client left before the process was started.
    else:
        return
    try:
        handle = os.pidfd_open(result.pid)
    except ProcessLookupError:
        return
    try:
        if runtime.exec_inspect(exec_id).running:  # Then the handle is not a later process with the same id.
            signal.pidfd_send_signal(handle, signal.SIGHUP)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def attach(
    conn: Connection,
    headers: Headers,
    answer: Answer,
    runtime: StreamingRuntime,
    container: RunningContainer,
    wanted: StandardStreams,
) -> None:
    """Join the streams of a running container's own process."""
    found = runtime.inspect(container.id)
    if found is None or not found.running:
        raise InternalError(container.absent)
    streams, early = open_streams(conn, headers, _channels(wanted), answer)
    joined = StandardStreams(wanted.stdin, wanted.stdout, wanted.stderr and not found.tty, found.tty)
    try:
        process = runtime.attach(container.id, joined)
    except (RuntimeFailure, RuntimeUnavailable) as error:
        finish_streams(conn, streams, _internal(f"error attaching to container: {error}"))
        return
    resize: Resize = lambda height, width: runtime.resize(container.id, height, width)  # noqa: E731
    try:
        if Session(conn, streams, process, terminal=found.tty, resize=resize).run(early):
            finish_streams(conn, streams, SUCCESS)
    finally:
        process.close()


def exit_status(code: int) -> Object:
    """Return the Status that tells a process's exit code (upstream: remotecommand.NonZeroExitCodeReason)."""
    if not code:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _internal(message: str) -> Object:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
