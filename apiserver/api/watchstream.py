"""Watch: a stream of events, until its timeout, or until the client or the server ends it.

With selectors, an object that begins or ceases to match is ADDED or DELETED for this watcher, whatever happened to it
(upstream: apiserver/pkg/storage/cacher/cache_watcher.go). Bookmarks tell a watcher without events from which revision
it may resume.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from apiserver.api.watchframes import Shape
from apiserver.model import metrics
from apiserver.model.item import Change, Item
from apiserver.model.kind import Kind
from apiserver.registry.listoptions import ListOptions
from apiserver.storage.cache import WatchCache
from apiserver.storage.watcher import Watcher
from machinery.errors import ApiError, Gone, TooManyRequests
from machinery.objects import Object

# Seconds between two bookmarks.
BOOKMARK_PERIOD = 60.0
# Seconds. As with upstream's --min-request-timeout, a watch without timeoutSeconds lasts so long to twice as long.
MIN_TIMEOUT = 1800
# Seconds before the end at which the last bookmark is sent, so that the client can resume from a recent revision.
LAST_BOOKMARK = 2.0
# Open watches of one worker. Each holds a connection; the rest of the web server's CONNECTIONS is for other requests.
MOST_WATCHES = 3000
INITIAL_PIECE = 1 << 18  # bytes
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class WatchClient(Protocol):
    """The connection of a watch that has a thread of its own."""

    def fileno(self) -> int: ...

    def has_left(self) -> bool:
        """Return whether the client has closed. Called when the descriptor is readable, which is rare otherwise."""


class WatchStream:
    """One watch request.

    The constructor registers a watcher with the cache, and raises ApiError if it cannot. Then ``step`` returns lines
    without waiting. ``serving/watchpump.py`` calls it for thousands of connections from one thread, whenever
    ``listen``'s listener was called or ``due`` has come; iterating does the same in a thread of the connection's own.
    """

    def __init__(
        self,
        cache: WatchCache,
        kind: Kind,
        namespace: str,
        options: ListOptions,
        connection: WatchClient | None,
        shape: Shape,
    ) -> None:
        self._cache = cache
        self._kind = kind
        self._options = options
        self._selection = options.selection
        self._connection = connection
        self._render, self._framing = shape
        self._below = kind.prefix + (f"{namespace}/" if namespace else "")
        name = options.selection.fields.exact("metadata.name")
        if name and (namespace or not kind.namespaced):
            self._below += name  # Longer names share the prefix; the selection compares whole names.
        self._initial: Iterator[Item] = iter(())
        self._refused: ApiError | None = None
        self._watcher: Watcher | None = None
        now = time.monotonic()
        self._end = now + (options.timeout or random.uniform(MIN_TIMEOUT, 2 * MIN_TIMEOUT))
        self._bookmark_at = min(now + BOOKMARK_PERIOD, self._end - LAST_BOOKMARK) if options.bookmarks else self._end
        self.over = False  # The stream has ended: no more lines follow.
        self.due = now  # When ``step`` is to be called though nothing has changed: a bookmark, or the end.
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
            initial, self._watcher = cache.watch_with_list(self._kind.prefix, self._below)
            self._initial = iter(initial)
            self._begun = False
            return
        self._begun = True
        try:
            self._watcher = cache.watch(self._kind.prefix, self._below, options.revision or cache.revision)
        except Gone as error:
            self._refused = error  # It is sent as an event of the stream, as upstream does.

    def __iter__(self) -> Iterator[bytes]:
        descriptor = self._connection.fileno() if self._connection else -1
        try:
            yield b""  # The headers are sent at once: a client waits for them.
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
        """Return the lines that are ready, perhaps none; ``over`` and ``due`` say when to call it again."""
        if self._watcher is None:
            self.over = True
            return self._error(self._refused) if self._refused is not None else b""
        try:
            return b"".join(self._lines(self._watcher))
        except ApiError as error:
            self.over = True
            return self._error(error)

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when something has changed since the last step; in any thread, with locks held."""
        if self._watcher is not None:
            self._watcher.listen(listener)

    def close(self) -> None:
        """Deregister the watcher. The WSGI server calls it too."""
        if self._watcher is not None:
            self._watcher.close()

    def _lines(self, watcher: Watcher) -> list[bytes]:
        lines = [] if self._begun else self._initial_events(watcher)
        if not self._begun:
            self.due = time.monotonic()
            return lines
        ended = watcher.ended or self._cache.stopping  # read first, so that changes before the end are still sent
        changes, revision = watcher.take()
        seen = [line for change in changes if (line := self._line_for(change))]
        self._count(seen)
        lines += seen
        now = time.monotonic()
        self.over = ended or now >= self._end
        if now >= self._bookmark_at and not self.over:
            lines.append(self._bookmark(revision, {}))
            last = self._end - LAST_BOOKMARK
            self._bookmark_at = min(now + BOOKMARK_PERIOD, last) if now < last else self._end
        # A watcher that was ended meanwhile must step once more at once: the listener may have been called before
        # take().
        self.due = now if watcher.ended or self._cache.stopping else min(self._bookmark_at, self._end)
        return lines

    def _initial_events(self, watcher: Watcher) -> list[bytes]:
        """Return the next of the initial events, as many as shall be held at a time for a client that may be slow."""
        lines, size = [], 0
        for item in self._initial:
            if self._selection.matches(item):
                lines.append(self._line("ADDED", Change(item, None, False)))
                size += len(lines[-1])
            if size >= INITIAL_PIECE:
                break
        else:
            self._begun = True
        self._count(lines)
        if self._begun and self._options.send_initial_events and self._options.bookmarks:
            lines.append(self._bookmark(watcher.revision, {INITIAL_EVENTS_END: "true"}))
        return lines

    def _count(self, lines: list[bytes]) -> None:
        kind = self._kind
        for line in lines:
            metrics.WATCH_EVENTS.observe(len(line), (kind.group, kind.version, kind.kind))

    def _line_for(self, change: Change) -> bytes:
        """Return the line for one change, empty if it does not concern this watcher."""
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
            return self._framing.of_object(type_, self._render(item.object))
        write = self._framing.of_item
        return change.wire(type_, write) if item is change.item else write(type_, item)

    def _bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        obj = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        if self._render is not None:
            obj = self._render(obj)
        return self._framing.of_object("BOOKMARK", obj)

    def _error(self, error: ApiError) -> bytes:
        return self._framing.of_object("ERROR", error.status())
