"""Container logs: which container's, and Docker's log entries as upstream's ``kubectl logs`` shows them.

Docker reads its own json-file logs for us: it knows about rotation, ends a followed log with its container, and gives
the entries of stdout and stderr in the order in which they were written. A line that was longer than its 16 KB buffer
is several entries, of which only the last ends with a newline; upstream counts entries for tailLines, as Docker does.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import docker

from kubelet.server.connection import Connection, client_left
from kubelet.server.dockerstream import Demultiplexer, DockerStream, container_path, open_stream
from machinery.errors import BadRequest, NotFound
from machinery.objects import Object


@dataclass(frozen=True)
class LogOptions:
    """PodLogOptions as the kubelet's query parameters."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float = 0.0  # Unix time
    limit: int | None = None  # bytes

    @classmethod
    def from_query(cls, query: dict[str, list[str]], *, now: float) -> LogOptions:
        """Raises BadRequest for a value that is none."""

        def flag(name: str) -> bool:
            return query.get(name, ["false"])[-1].lower() in ("true", "1", "")

        def number(name: str, least: int) -> int | None:
            text = query.get(name, [""])[-1]
            if not text:
                return None
            if not text.lstrip("-").isdigit() or int(text) < least:
                raise BadRequest(f"invalid value {text!r} for {name}: a whole number of at least {least} is needed")
            return int(text)

        since = 0.0
        if (seconds := number("sinceSeconds", 1)) is not None:
            since = now - seconds
        elif text := query.get("sinceTime", [""])[-1]:
            try:
                since = datetime.fromisoformat(text).timestamp()
            except ValueError as error:
                raise BadRequest(f"invalid value {text!r} for sinceTime: RFC 3339 is needed") from error
        return cls(
            flag("follow"), flag("previous"), flag("timestamps"),
            number("tailLines", 0), since, number("limitBytes", 1),
        )  # fmt: skip


def log_container_id(pod: Object, container: str, *, previous: bool) -> str:
    """The Docker id of the attempt whose log is meant; BadRequest in upstream's words when there is none.

    Upstream: kubelet's validateContainerLogStatus.
    """
    name = pod["metadata"]["name"]
    status = _container_status(pod, container)
    if status is None:
        raise BadRequest(f'container "{container}" in pod "{name}" is not available')
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    subject = f'container "{container}" in pod "{name}"'
    last_id = _docker_id((last or {}).get("containerID"))
    if previous:
        if not last_id:
            raise BadRequest(f"previous terminated {subject} not found")
        return last_id
    if "running" in state:
        return _docker_id(status.get("containerID"))
    if "terminated" in state or last is not None:
        ended_id = _docker_id((state.get("terminated") or {}).get("containerID")) or last_id
        if not ended_id:
            raise BadRequest(f"{subject} is terminated")
        return ended_id
    if "waiting" in state:
        reason = (state["waiting"] or {}).get("reason", "")
        raise BadRequest(f"{subject} is waiting to start: {_WAITING.get(reason, reason)}")
    raise BadRequest(f"{subject} is waiting to start - no logs yet")


_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def has_container(pod: Object, container: str) -> bool:
    """Whether the pod's spec names the container, be it an init or an ephemeral one."""
    spec = pod["spec"]
    groups = ("containers", "initContainers", "ephemeralContainers")
    return any(entry["name"] == container for group in groups for entry in spec.get(group) or ())


def _container_status(pod: Object, container: str) -> Object | None:
    status = pod.get("status") or {}
    for group in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(group) or ():
            if entry["name"] == container:
                found: Object = entry
                return found
    return None


def _docker_id(container_id: str | None) -> str:
    return (container_id or "").partition("://")[2]


class EntryFilter:
    """Docker's entries as they shall be shown: timestamps only at the start of lines, and not too many bytes."""

    def __init__(self, options: LogOptions, *, terminal: bool) -> None:
        self._demultiplexer = None if terminal else Demultiplexer()
        self._timestamps = options.timestamps
        self._left = options.limit
        self._entry = b""
        self._in_line = False

    @property
    def full(self) -> bool:
        """limitBytes have been given out."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """What these bytes of Docker's stream show."""
        shown = data if self._demultiplexer is None else self._entries(self._demultiplexer, data)
        if self._left is not None:
            shown = shown[: self._left]
            self._left -= len(shown)
        return shown

    def _entries(self, demultiplexer: Demultiplexer, data: bytes) -> bytes:
        if not self._timestamps:
            return b"".join(piece.data for piece in demultiplexer.feed(data))
        shown = []
        for piece in demultiplexer.feed(data):
            self._entry += piece.data
            if piece.last:
                entry, self._entry = self._entry, b""
                # The rest of a long line: Docker has put its time in the middle of it.
                shown.append(entry.partition(b" ")[2] if self._in_line else entry)
                self._in_line = not entry.endswith(b"\n")
        return b"".join(shown)


def open_log(client: docker.APIClient, container_id: str, options: LogOptions) -> tuple[DockerStream, EntryFilter]:
    """Opens the log; raises docker.errors.NotFound when the container is gone."""
    terminal = bool(client.inspect_container(container_id)["Config"]["Tty"])
    query: dict[str, Any] = {"stdout": 1, "stderr": 1, "follow": int(options.follow)}
    query["timestamps"] = int(options.timestamps)
    query["tail"] = "all" if options.tail is None else options.tail
    if options.since:
        query["since"] = f"{options.since:.9f}"
    stream = open_stream(client, "GET", container_path(container_id, "logs"), query)
    return stream, EntryFilter(options, terminal=terminal)


def copy_log(conn: Connection, log: DockerStream, entries: EntryFilter, write: Callable[[bytes], None]) -> bool:
    """Writes the log until it ends, or is long enough; False when the client left before."""
    poll = select.poll()
    poll.register(conn, select.POLLRDHUP)
    poll.register(log, select.POLLIN)
    while not entries.full:
        data = log.receive()
        if data == b"":
            break
        if data is None:
            if any(fd == conn.fileno() and client_left(events) for fd, events in poll.poll()):
                return False
        elif shown := entries.feed(data):
            write(shown)
    return True


def find_log(pod: Object | None, name: str, container: str, options: LogOptions) -> str:
    """Checks a request against the pod, and gives the Docker id of the container whose log it means."""
    if pod is None:
        raise NotFound(f'pod "{name}" does not exist')
    if not has_container(pod, container):
        raise NotFound(f'container "{container}" not found in pod "{name}"')
    return log_container_id(pod, container, previous=options.previous)


def options_from_query(query: dict[str, list[str]]) -> LogOptions:
    """LogOptions of a request that comes in now."""
    return LogOptions.from_query(query, now=time.time())
