"""Container logs: which container's, and Docker's log entries as upstream's ``kubectl logs`` shows them.

The entries of stdout and stderr are in the file in the order in which Docker got them. A line that was longer than its
16 KB buffer is several entries, of which only the last ends with a newline; upstream counts entries for tailLines, too.
"""

from __future__ import annotations

import json
import select
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from kubelet.model import podspec
from kubelet.model.streaming import ProcessStream
from kubelet.server.connection import Connection, client_left
from kubelet.server.logs.logfile import FolderWatch, LogFile
from machinery.digits import is_number
from machinery.errors import BadRequest, NotFound, quote
from machinery.objects import Object
from machinery.pods import every_container


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
        """Return the options in a request's query. Raises BadRequest for a value that is not valid."""

        def flag(name: str) -> bool:
            return query.get(name, ["false"])[-1].lower() in ("true", "1", "")

        def number(name: str, least: int) -> int | None:
            text = query.get(name, [""])[-1]
            if not text:
                return None
            if not is_number(text, signed=True) or int(text) < least:
                raise BadRequest(
                    f"invalid value {quote(text)} for {name}: a whole number of at least {least} is needed"
                )
            return int(text)

        since = 0.0
        if (seconds := number("sinceSeconds", 1)) is not None:
            since = now - seconds
        elif text := query.get("sinceTime", [""])[-1]:
            try:
                since = datetime.fromisoformat(text).timestamp()
            except ValueError as error:
                raise BadRequest(f"invalid value {quote(text)} for sinceTime: RFC 3339 is needed") from error
        tail, limit = number("tailLines", 0), number("limitBytes", 1)
        return cls(flag("follow"), flag("previous"), flag("timestamps"), tail, since, limit)


def log_container_id(pod: Object, container: str, *, previous: bool) -> str:
    """Return the runtime's id of the attempt whose log is meant. Raises BadRequest with upstream's message.

    Upstream: kubelet's validateContainerLogStatus.
    """
    name = pod["metadata"]["name"]
    status = podspec.container_status(pod, container)
    if not status:
        raise BadRequest(f'container "{container}" in pod "{name}" is not available')
    state, last = status.get("state", {}), status.get("lastState", {}).get("terminated")
    subject = f'container "{container}" in pod "{name}"'
    last_id = _docker_id((last or {}).get("containerID"))
    if previous:
        if not last_id:
            raise BadRequest(f"previous terminated {subject} not found")
        return last_id
    if "running" in state:
        return _docker_id(status.get("containerID"))
    if "terminated" in state or last is not None:
        ended_id = _docker_id(state.get("terminated", {}).get("containerID")) or last_id
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


def _docker_id(container_id: str | None) -> str:
    return (container_id or "").partition("://")[2]


class LogEntries:
    """Formats log entries as asked for: with times at the start of lines, since a time, up to a number of bytes."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._since = _time_text(options.since) if options.since else ""
        self._left = options.limit
        self._in_line = False

    @property
    def full(self) -> bool:
        """Return True if limitBytes have been returned."""
        return self._left == 0

    def show(self, entries: Iterable[bytes]) -> bytes:
        """Return what some lines of the log file show."""
        shown = b"".join(self._show(entry) for entry in entries)
        if self._left is not None:
            shown = shown[: self._left]
            self._left -= len(shown)
        return shown

    def _show(self, entry: bytes) -> bytes:
        try:
            found = json.loads(entry)
            text, moment = str(found["log"]), full_time(found["time"])
        except (ValueError, KeyError, TypeError):
            return b""  # The machine went down while it was written.
        if moment < self._since:
            return b""
        stamp = f"{moment} " if self._timestamps and not self._in_line else ""
        self._in_line = not text.endswith("\n")
        return (stamp + text).encode("utf-8", "surrogatepass")


def full_time(text: str) -> str:
    """Return Docker's RFC 3339 time with all nine digits of its fraction, as upstream shows it. Such texts sort by
    time.
    """
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<9}Z"


def _time_text(unix: float) -> str:
    moment = datetime.fromtimestamp(unix, UTC)
    return full_time(moment.strftime("%Y-%m-%dT%H:%M:%S.%f"))


def copy_log(log: LogFile, entries: LogEntries, write: Callable[[bytes], None]) -> None:
    """Write what there is of the log now, or as much of it as was asked for."""
    while not entries.full and (lines := log.read()):
        if shown := entries.show(lines):
            write(shown)


def follow_log(
    conn: Connection,
    log: LogFile,
    folder: FolderWatch,
    ended: ProcessStream,
    entries: LogEntries,
    write: Callable[[bytes], None],
) -> bool:
    """Write the log until its container has ended, or it is long enough; False when the client left before.

    ``folder`` has been watched since before the log was first read, so that no change is missed; ``ended`` can be
    read when the container has ended and its log is complete (StreamingRuntime.open_end).
    """
    while True:
        copy_log(log, entries, write)
        if entries.full:
            return True
        poll = select.poll()
        poll.register(conn, select.POLLRDHUP)
        poll.register(ended, select.POLLIN)
        ready = {} if ended.pending() else dict(folder.wait(poll))
        if client_left(ready.get(conn.fileno(), 0)):
            return False
        if ended.pending() or ended.fileno() in ready:
            copy_log(log, entries, write)
            return True


def find_log(pod: Object | None, name: str, container: str, options: LogOptions) -> str:
    """Check a request against the pod, and return the Docker id of the container whose log it means."""
    if pod is None:
        raise NotFound(f'pod "{name}" does not exist')
    if all(spec["name"] != container for spec in every_container(pod["spec"], ephemeral=True)):
        raise NotFound(f'container "{container}" not found in pod "{name}"')
    return log_container_id(pod, container, previous=options.previous)
