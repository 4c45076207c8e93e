"""Exec and attach: a client's channels on a new process in a container, or on the container's own.

As upstream, what can be known to fail is refused before the upgrade, in words; what fails later is a Status on the
error channel. When the client leaves, an exec'd process loses its stdin, or its terminal (SIGHUP), and is left alone.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import docker
from docker.errors import APIError

from kubelet.runtime.dockerstream import DockerError, container_path, open_stream
from kubelet.server.connection import Connection
from kubelet.server.streams.channels import SUCCESS, Channel
from kubelet.server.streams.session import Resize, Session
from kubelet.server.streams.upgrade import Answer, Headers, finish_streams, open_streams
from machinery.errors import BadRequest, InternalError
from machinery.objects import Object

_LOG = logging.getLogger(__name__)
_EXIT_CODE_SECONDS = 10.0
_HANG_UP_SECONDS = 5.0


@dataclass(frozen=True)
class StreamOptions:
    """What the client wants connected. A terminal has no stderr of its own."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def from_query(cls, query: dict[str, list[str]]) -> StreamOptions:
        """The kubelet's parameters ``input``, ``output``, ``error`` and ``tty``, on when ``1`` or ``true``."""
        stdin, stdout, stderr, tty = (query.get(name, [""])[-1] in ("1", "true") for name in _PARAMETERS)
        if not (stdin or stdout or stderr):
            raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        return cls(stdin, stdout, stderr and not tty, tty)

    @property
    def channels(self) -> set[Channel]:
        wanted = {Channel.STDIN: self.stdin, Channel.STDOUT: self.stdout, Channel.STDERR: self.stderr}
        return {channel for channel, on in {**wanted, Channel.RESIZE: self.tty}.items() if on}


class RunningContainer(NamedTuple):
    """A container's Docker id, and upstream's words for when it does not run."""

    id: str
    absent: str


_PARAMETERS = ("input", "output", "error", "tty")


def execute(
    conn: Connection,
    headers: Headers,
    answer: Answer,
    client: docker.APIClient,
    container: RunningContainer,
    command: Sequence[str],
    options: StreamOptions,
) -> None:
    """Runs a command in a running container."""
    if not command:
        raise BadRequest("you must specify a command to execute")
    exec_id = _create(client, container, command, options)
    streams, early = open_streams(conn, headers, options.channels, answer)
    try:
        process = open_stream(client, f"/exec/{exec_id}/start", body={"Detach": False, "Tty": options.tty})
    except DockerError as error:
        finish_streams(conn, streams, _internal(f"error executing command in container: {error}"))
        return
    ended = False
    resize: Resize = lambda height, width: _resize_exec(client, exec_id, height, width)  # noqa: E731
    session = Session(conn, streams, process, terminal=options.tty, resize=resize, hold_start_error=True)
    try:
        ended = session.run(early)
    finally:
        process.close()
        if options.tty and not ended:
            hang_up(client, exec_id)
    if ended:
        result = _wait_for_exit(client, exec_id)
        if session.start_error and not result["Pid"]:
            finish_streams(conn, streams, _internal(f"error executing command in container: {session.start_error}"))
        else:
            session.release()
            finish_streams(conn, streams, exit_status(int(result["ExitCode"] or 0)))


def _create(
    client: docker.APIClient, container: RunningContainer, command: Sequence[str], options: StreamOptions
) -> str:
    stdin, stdout, stderr, tty = options.stdin, options.stdout, options.stderr, options.tty
    try:
        created = client.exec_create(container.id, list(command), stdout, stderr, stdin, tty)
    except APIError as error:
        if error.status_code in (404, 409):  # gone or not running, which upstream calls by one name
            raise InternalError(container.absent) from error
        raise InternalError(str(error.explanation or error)) from error
    return str(created["Id"])


def _wait_for_exit(client: docker.APIClient, exec_id: str) -> dict[str, Any]:
    """The ended exec, as Docker describes it.

    The output's end may be seen some milliseconds before Docker has noted the exit code, and tells of it nowhere else.
    """
    pause, deadline = threading.Event(), time.monotonic() + _EXIT_CODE_SECONDS
    seconds = 0.005
    while True:
        result: dict[str, Any] = client.exec_inspect(exec_id)
        if (not result["Running"] and result["ExitCode"] is not None) or time.monotonic() > deadline:
            return result
        pause.wait(seconds)
        seconds = min(seconds * 2, 0.5)


def _resize_exec(client: docker.APIClient, exec_id: str, height: int, width: int) -> None:
    try:
        client.exec_resize(exec_id, height=height, width=width)
    except APIError as error:  # the process has just ended
        _LOG.debug("resize of exec %s: %s", exec_id, error)


def hang_up(client: docker.APIClient, exec_id: str) -> None:
    """Tells the process behind a terminal that nobody sits there any more, as a closed terminal does."""
    deadline = time.monotonic() + _HANG_UP_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        result = client.exec_inspect(exec_id)
        if result["ExitCode"] is not None:
            return
        if result["Running"] and result["Pid"]:
            break
        pause.wait(0.05)  # the client left before the process was started
    else:
        return
    try:
        handle = os.pidfd_open(int(result["Pid"]))
    except ProcessLookupError:
        return
    try:
        if client.exec_inspect(exec_id)["Running"]:  # so the handle is not a later process of the same number
            signal.pidfd_send_signal(handle, signal.SIGHUP)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def attach(
    conn: Connection,
    headers: Headers,
    answer: Answer,
    client: docker.APIClient,
    container: RunningContainer,
    options: StreamOptions,
) -> None:
    """Joins the streams of a running container's own process."""
    found = client.inspect_container(container.id)
    if not found["State"]["Running"]:
        raise InternalError(container.absent)
    terminal = bool(found["Config"]["Tty"])
    streams, early = open_streams(conn, headers, options.channels, answer)
    query = {"stream": 1, "logs": 0, "stdin": int(options.stdin), "stdout": int(options.stdout)}
    query["stderr"] = int(options.stderr and not terminal)
    try:
        process = open_stream(client, container_path(container.id, "attach"), query)
    except DockerError as error:
        finish_streams(conn, streams, _internal(f"error attaching to container: {error}"))
        return

    def resize(height: int, width: int) -> None:
        try:
            client.resize(container.id, height=height, width=width)
        except APIError as error:  # it has just ended
            _LOG.debug("resize of container %s: %s", container.id, error)

    try:
        if Session(conn, streams, process, terminal=terminal, resize=resize).run(early):
            finish_streams(conn, streams, SUCCESS)
    finally:
        process.close()


def exit_status(code: int) -> Object:
    """The Status that tells a process' exit code (upstream: remotecommand.NonZeroExitCodeReason)."""
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
