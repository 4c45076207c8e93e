"""What the kubelet's server asks of a container runtime: streams of processes, logs and usage.

It is apart from ``runtime.ContainerRuntime`` because only the server needs it, and only the Docker runtime has it: the
fake runtime of the tests has no processes to attach to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from kubelet.model.runtime import RuntimeContainer

STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class StandardStreams:
    """Which standard streams of a process are connected. A terminal (``tty``) has no stderr of its own."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


class ContainerUsage(NamedTuple):
    """What a container has used: processor time since its start, and memory in bytes now.

    ``working_set`` is the memory without the cached files that the kernel would give up first.
    """

    nanoseconds: int
    memory: int
    working_set: int


class ExecState(NamedTuple):
    """An exec'd process. ``pid`` is 0 until it has been started; ``exit_code`` is None until it has ended."""

    running: bool
    pid: int
    exit_code: int | None


class Output(NamedTuple):
    """Some output of a process, on STDOUT or STDERR."""

    stream: int
    data: bytes


class ProcessStream(Protocol):
    """The open standard streams of a process. Nothing blocks: it is waited for with ``poll``, beside a client's."""

    def fileno(self) -> int: ...

    def pending(self) -> bool:
        """Return True if ``receive`` has something that ``poll`` does not tell of."""

    def receive(self) -> bytes | None:
        """Return what has arrived, in the runtime's framing; ``b""`` at the end, None if there is nothing yet."""

    def split(self, data: bytes) -> list[Output]:
        """Return the output in what was received. Each received part must be given once, in order."""

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Write to stdin as much as fits and return how much that was. Raise OSError if nobody reads any more."""

    def untaken(self) -> int:
        """Return how many of the written bytes the runtime has not read yet."""

    def end_input(self) -> None:
        """Close the process's stdin."""

    def close(self) -> None: ...


class StreamingRuntime(Protocol):
    """Every method raises RuntimeFailure if the runtime refuses, and RuntimeUnavailable if it does not answer."""

    def inspect(self, container_id: str) -> RuntimeContainer | None: ...

    def attach(self, container_id: str, streams: StandardStreams) -> ProcessStream:
        """Return the streams of a running container's own process; ``tty`` must be as the container has it."""

    def resize(self, container_id: str, height: int, width: int) -> None:
        """Set the size of a container's terminal. Do nothing if the container has ended."""

    def exec_create(self, container_id: str, command: list[str], streams: StandardStreams) -> str:
        """Prepare a command in a container and return its id. Raise RuntimeNotFound if the container does not run."""

    def exec_start(self, exec_id: str, *, tty: bool) -> ProcessStream: ...

    def exec_inspect(self, exec_id: str) -> ExecState: ...

    def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        """Set the size of an exec'd process's terminal. Do nothing if the process has ended."""

    def log_path(self, container_id: str) -> Path | None:
        """Return the file of the container's log, None if its log driver writes none."""

    def open_end(self, container_id: str) -> ProcessStream:
        """Return a stream that can be read once the container has ended and its log is complete."""

    def usage(self, container_id: str) -> ContainerUsage | None:
        """Return what a container uses, None if it does not run. This may take a second."""
