"""Watch: a stream of events, one JSON object a line, until the time is up, the client leaves or the server stops.

With selectors, an object that begins or ceases to match is ADDED or DELETED for this watcher, whatever happened to it
(upstream: apiserver/pkg/storage/cacher/cache_watcher.go). Bookmarks tell a quiet watcher how far it may resume from.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import orjson

from apiserver.model import metrics
from apiserver.model.item import Change, Item, wire
from apiserver.model.kind import Kind
from apiserver.registry.listoptions import ListOptions
from apiserver.storage.cache import WatchCache
from apiserver.storage.watcher import Watcher
from machinery.errors import ApiError, Gone, TooManyRequests
from machinery.objects import Object

BOOKMARK_PERIOD = 60.0
# Upstream's --min-request-timeout: a watch without timeoutSeconds lasts so long, or up to twice as long.
MIN_TIMEOUT = 1800
# A bookmark comes so long before the end, so that the client resumes from a fresh revision.
LAST_BOOKMARK = 2.0
# Each watch holds a connection, and others want to be served too: the rest of the web server's CONNECTIONS is theirs.
MOST_WATCHES = 3000
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Connection(Protocol):
    """The client's side of a watch."""

    def fileno(self) -> int: ...

    def has_left(self) -> bool:
        """Called when the descriptor is readable: a watcher has nothing to say, so it mostly means farewell."""


# Renders one event's object for a client that wants another form than plain JSON of the stored version.
Render = Callable[[Object], Object]


class WatchStream:
    """One watch request. Making it finds its place, which may fail; then ``step`` gives the lines as they come.

    Iterating does so in the caller's thread, for a connection that has one; watchpump.py serves all others.
    """

    def __init__(
        self,
        cache: WatchCache,
        kind: Kind,
        namespace: str,
        options: ListOptions,
        connection: Connection | None,
        render: Render | None,
    ) -> None:
        self._cache = cache
        self._kind = kind
        self._options = options
        self._selection = options.selection
        self._connection = connection
        self._render = render
        self._below = kind.prefix + (f"{namespace}/" if namespace else "")
        name = options.selection.fields.exact("metadata.name")
        if name and (namespace or not kind.namespaced):
            self._below += name  # only a prefix: the selection decides
        self._initial: list[Item] = []
        self._refused: ApiError | None = None
        self._watcher: Watcher | None = None
        now = time.monotonic()
        self._end = now + (options.timeout or random.uniform(MIN_TIMEOUT, 2 * MIN_TIMEOUT))
        self._bookmark_at = min(now + BOOKMARK_PERIOD, self._end - LAST_BOOKMARK) if options.bookmarks else self._end
        self.over = False  # nothing more will be said
        self.due = now  # when there may be something to say though nothing has happened
        self._start()

    def _start(self) -> None:
        options, cache = self._options, self._cache
        if cache.watchers() >= MOST_WATCHES:
            raise TooManyRequests("too many watches are open, please try again later")
        if not options.resource_version:
            cache.catch_up(self._kind.prefix)
        elif options.send_initial_events:
            cache.wait_for(options.revision)
        else:
            cache.wait_for(1)
        if options.send_initial_events or (options.send_initial_events is None and not options.revision):
            self._initial, self._watcher = cache.watch_with_list(self._kind.prefix, self._below)
            self._begun = False
            return
        self._begun = True
        try:
            self._watcher = cache.watch(self._kind.prefix, self._below, options.revision or cache.revision)
        except Gone as error:
            self._refused = error  # told in the stream, as etcd's own watches do

    def __iter__(self) -> Iterator[bytes]:
        descriptor = self._connection.fileno() if self._connection else -1
        try:
            yield b""  # the headers at once: a client waits for them before it can give up
            while True:
                if data := self.step():
                    yield data
                if self.over or self._watcher is None:
                    return
                readable = self._watcher.wait(self.due - time.monotonic(), descriptor)
                if readable and self._connection and self._connection.has_left():
                    return
        finally:
            self.close()

    def step(self) -> bytes:
        """What there is to say now, perhaps nothing; ``over`` and ``due`` tell how it goes on."""
        if self._watcher is None:
            self.over = True
            return _error(self._refused) if self._refused is not None else b""
        try:
            return b"".join(self._news(self._watcher))
        except ApiError as error:
            self.over = True
            return _error(error)

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls ``listener``, from any thread and with locks held, when something has happened since the last step."""
        if self._watcher is not None:
            self._watcher.listen(listener)

    def close(self) -> None:
        """Gives up the place in the log; called by the WSGI server too."""
        if self._watcher is not None:
            self._watcher.close()

    def _news(self, watcher: Watcher) -> list[bytes]:
        lines = [] if self._begun else self._initial_events(watcher)
        ended = watcher.ended or self._cache.stopping  # looked at first: what has happened before is still told
        changes, revision = watcher.take()
        seen = [line for change in changes if (line := self._seen(change))]
        self._count(seen)
        lines += seen
        now = time.monotonic()
        self.over = ended or now >= self._end
        if now >= self._bookmark_at and not self.over:
            lines.append(self._bookmark(revision, {}))
            last = self._end - LAST_BOOKMARK
            self._bookmark_at = min(now + BOOKMARK_PERIOD, last) if now < last else self._end
        # Whose end has come meanwhile is to say so now: it may have been woken for that before it took its news.
        self.due = now if watcher.ended or self._cache.stopping else min(self._bookmark_at, self._end)
        return lines

    def _initial_events(self, watcher: Watcher) -> list[bytes]:
        self._begun = True
        lines = [self._line("ADDED", Change(i, None, False)) for i in self._initial if self._selection.matches(i)]
        self._initial = []
        self._count(lines)
        if self._options.send_initial_events and self._options.bookmarks:
            lines.append(self._bookmark(watcher.revision, {INITIAL_EVENTS_END: "true"}))
        return lines

    def _count(self, lines: list[bytes]) -> None:
        kind = self._kind
        for line in lines:
            metrics.WATCH_EVENTS.observe(len(line), (kind.group, kind.version, kind.kind))

    def _seen(self, change: Change) -> bytes:
        """The line for one change, empty when this watcher does not see it."""
        if self._selection.everything:
            return self._line(change.type, change)
        is_in = not change.deleted and self._selection.matches(change.item)
        was_in = change.previous is not None and self._selection.matches(change.previous)
        if is_in:
            return self._line("MODIFIED" if was_in else "ADDED", change)
        return self._line("DELETED", change.gone()) if was_in else b""

    def _line(self, type_: str, change: Change) -> bytes:
        item = self._kind.codec.view(change.item)
        if self._render is not None:
            return orjson.dumps({"type": type_, "object": self._render(item.object)}) + b"\n"
        return change.wire(type_) if item is change.item else wire(type_, item)

    def _bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        obj = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        if self._render is not None:
            obj = self._render(obj)
        return orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"


def _error(error: ApiError) -> bytes:
    return orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n"
