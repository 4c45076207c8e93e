"""The watch cache: every object of the store in this process, fed by one watch on the whole registry.

One feed means one order: ``revision`` says how far all kinds are. Reads and watches are served from here.

* Each kind keeps a log of its latest events. A watcher is a position in that log, so a hundred watchers cost one
  event, and one that falls off the log's end gets 410 Gone.
* At the start the log is filled with the store's history, so that watches survive a restart of the worker.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from operator import attrgetter

from apiserver.model import metrics
from apiserver.model.item import Change, Item
from apiserver.model.trace import spent
from apiserver.storage.measure import resource_of
from apiserver.storage.protocol import Batch, Compacted, Event, Store, Unavailable
from apiserver.storage.revisions import Acknowledged
from machinery.errors import Gone, Timeout

log = logging.getLogger(__name__)

ROOT = "/registry/"
HISTORY = 1000  # events a kind's log keeps at least if they are small, and revisions that a starting worker looks back
HISTORY_BYTES = 4 * 1024 * 1024  # what the objects in a kind's log take at most
RECENT = 100  # events of a kind that are kept as they are
CATCH_UP = 3.0  # seconds a read may wait for the feed (upstream: blockTimeout)
_LONGEST_WAIT = 1e6  # seconds: poll takes a C int of milliseconds
RETRY = 0.2  # seconds between two attempts to reach the store


class Watcher:
    """A position in a kind's log. ``wait`` sleeps until there may be news; ``take`` returns it."""

    def __init__(self, cache: WatchCache, kind: _KindCache, prefix: str, after: int) -> None:
        self.prefix = prefix
        self._cache = cache
        self._kind = kind
        self._after = after
        self._position = kind.base + bisect_right(kind.log, after, key=attrgetter("revision"))
        self._fd = -1  # made when somebody first waits
        self._listener: Callable[[], None] | None = None
        self._woken = False
        self._closed = False
        self.ended = False  # what is watched is no longer served, or not as it was

    @property
    def revision(self) -> int:
        """How far it has come: everything up to here has been taken, or was there before it began."""
        return self._after

    def take(self) -> tuple[list[Change], int]:
        """What happened since the last call, and the revision up to which this is all. Raises Gone when too slow."""
        with self._cache.lock:
            kind = self._kind
            if self._woken and self._fd >= 0:
                os.eventfd_read(self._fd)
            self._woken = False
            start = self._position - kind.base
            if start < 0:
                metrics.TERMINATED_WATCHES.add(kind.labels)
                raise Gone(f"too old resource version: {self._after} ({kind.oldest})")
            found = kind.log[start:]
            self._position = kind.base + len(kind.log)
            revision = self._cache.revision
        prefix, after = self.prefix, self._after
        changes = [change for change in found if change.revision > after and change.item.key.startswith(prefix)]
        self._after = max(after, revision)
        if changes:
            metrics.CACHE_DISPATCHED.add(kind.labels, len(changes))
        return changes, revision

    def wait(self, timeout: float, socket: int = -1) -> bool:
        """Sleeps until news, the end of the wait, or the client's side becoming readable, which gives True."""
        with self._cache.lock:
            if self._fd < 0 and not self._closed:
                self._fd = os.eventfd(int(self._woken), os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if socket >= 0:
            poll.register(socket, select.POLLIN | select.POLLRDHUP)
        return any(fd == socket for fd, _ in poll.poll(max(0, min(timeout, _LONGEST_WAIT) * 1000)))

    def listen(self, listener: Callable[[], None]) -> None:
        """Has ``listener`` called where ``wait`` would end; for those who wait for many."""
        with self._cache.lock:
            self._listener = listener

    def wake(self) -> None:
        """Ends ``wait``; called with the cache's lock held."""
        if self._woken or self._closed:
            return
        self._woken = True
        if self._listener is not None:
            self._listener()
        elif self._fd >= 0:
            os.eventfd_write(self._fd, 1)

    def close(self) -> None:
        """Gives the position back."""
        with self._cache.lock:
            if not self._closed:
                self._closed = True
                self._kind.watchers.discard(self)
                if self._fd >= 0:
                    os.close(self._fd)


class _KindCache:
    """The objects of one kind in the order of their keys, and the log of their changes."""

    def __init__(self, prefix: str) -> None:
        self.labels = (resource_of(prefix),)  # in metrics
        self.items: dict[str, Item] = {}
        self.keys: list[str] = []
        self.log: list[Change] = []
        self.bytes = 0  # of the objects in the log
        self.base = 0  # the position of log[0], counted from the process's start
        self.oldest = 0  # watches may start after this revision
        self.dropped = 0  # the revision of the newest event that is known to be missing from the log
        self.changed = 0  # the revision of the last change
        self.watchers: set[Watcher] = set()

    def replace(self, items: Iterable[Item], revision: int) -> None:
        self.items = {item.key: item for item in items}
        self.keys = sorted(self.items)
        self.base += len(self.log) + 1  # a gap: watchers at the old end are behind it
        self.log, self.bytes = [], 0
        self.oldest = self.changed = revision
        self.dropped = 0

    def apply(self, event: Event) -> None:
        previous = self.items.get(event.key)
        if event.value is None:
            if previous is not None:
                del self.items[event.key]
                del self.keys[bisect_left(self.keys, event.key)]
                self.append(Change(previous.moved_to(event.revision), previous, True))
            return
        item = Item(event.key, event.value, event.revision)
        if previous is None:
            insort(self.keys, event.key)
        self.items[event.key] = item
        self.append(Change(item, previous, False))

    def remember(self, event: Event) -> None:
        """Puts an event of the past, whose outcome is in ``items`` already, into the log."""
        previous = Item(event.key, event.previous, event.revision - 1) if event.previous else None
        if event.value is not None:
            self.append(Change(Item(event.key, event.value, event.revision), previous, False))
        elif previous is not None:
            self.append(Change(previous.moved_to(event.revision), previous, True))
        else:
            self.dropped = event.revision

    def append(self, change: Change) -> None:
        self.changed = max(self.changed, change.revision)
        self.log.append(change)
        self.bytes += len(change.item.data)
        if len(self.log) > RECENT:
            self.log[-RECENT - 1].shrink()
        if len(self.log) >= 2 * HISTORY or (self.bytes > HISTORY_BYTES and len(self.log) > 1):
            self._drop_older_half()
        key = change.item.key
        for watcher in self.watchers:
            if key.startswith(watcher.prefix):
                watcher.wake()

    def _drop_older_half(self) -> None:
        half = len(self.log) // 2
        self.dropped = self.log[half - 1].revision
        self.oldest = max(self.oldest, self.dropped)
        self.bytes -= sum(len(change.item.data) for change in self.log[:half])
        del self.log[:half]
        self.base += half


class WatchCache:
    """See the module's words. ``start`` after the fork; every method is safe to call from any thread."""

    def __init__(self, store: Store, prefixes: Iterable[str], acknowledged: Acknowledged) -> None:
        self.lock = threading.Lock()
        self.revision = 0
        self.stopping = False
        self._moved = threading.Condition(self.lock)
        self._store = store
        self._acknowledged = acknowledged
        self._listeners: list[Callable[[str], None]] = []
        self._kinds = {prefix: _KindCache(prefix) for prefix in prefixes}
        self._last_prefix = ""
        self._forgotten = 0  # the revision at which a kind that came and went was last forgotten
        self._loaded = 0  # the revision of the last full list; while _fed is below it the feed delivers history
        self._history_from = 0
        self._fed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-cache", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def listen(self, listener: Callable[[str], None]) -> None:
        """Calls ``listener`` with the key of every later change; it must be quick and must not call back."""
        self._listeners.append(listener)

    def end_watches(self) -> None:
        """Ends every watch at once; reads go on. The first step of stopping."""
        with self.lock:
            self.stopping = True
            for kind in self._kinds.values():
                for watcher in kind.watchers:
                    watcher.wake()

    def end_watches_of(self, prefix: str) -> None:
        """Ends the present watches of a kind."""
        with self.lock:
            for watcher in self._kind(prefix).watchers:
                watcher.ended = True
                watcher.wake()

    def forget(self, prefix: str) -> None:
        """Gives up the log of a kind that is no longer served."""
        with self.lock:
            kind = self._kinds.get(prefix)
            if kind is not None and not kind.items and not kind.watchers:
                del self._kinds[prefix]
                self._forgotten = self.revision

    def stop(self) -> None:
        """Ends the feed too; the store must be closed afterwards, which is what a sleeping feed notices."""
        self.end_watches()
        self._stop.set()

    def use_block(self, number: int) -> None:
        """Which of the workers this is, from now on: see freshness.py."""
        self._acknowledged.use_block(number)

    def acknowledge(self, prefix: str, revision: int) -> None:
        """Called by a writer before it answers: reads everywhere will wait for this revision."""
        self._acknowledged.raise_to(prefix, revision)

    def catch_up(self, prefix: str) -> None:
        """Waits until the cache shows every acknowledged write of the kind; raises Timeout rather than be stale."""
        revision = self._acknowledged.get(prefix)
        if self.revision < revision or not self.revision:
            self.wait_for(max(revision, 1))

    def wait_for(self, revision: int) -> None:
        """Waits until the cache is at ``revision``; raises upstream's Timeout when it does not come."""
        since = time.perf_counter()
        with self._moved:
            reached = self._moved.wait_for(lambda: self.revision >= revision, CATCH_UP)
            metrics.CACHE_WAITS.observe(time.perf_counter() - since)
            spent("cache", since)
            if not reached:
                raise too_large(revision, self.revision)

    def get(self, prefix: str, key: str) -> Item | None:
        """One object as far as the cache is; call ``catch_up`` first for what must not be old."""
        kind = self._kinds.get(prefix)
        return kind.items.get(key) if kind else None

    def await_item(self, prefix: str, key: str, seconds: float) -> Item | None:
        """One object as soon as it is there; None when it does not come in time."""
        with self._moved:
            kind = self._kind(prefix)
            self._moved.wait_for(lambda: key in kind.items or self._stop.is_set(), seconds)
            return kind.items.get(key)

    def select(self, prefix: str, below: str = "", start: str = "", limit: int = 0) -> tuple[list[Item], int, int]:
        """Objects whose keys begin with ``below``, from ``start`` on; the revision; how many there are from there."""
        with self.lock:
            kind = self._kind(prefix)
            begin, end = 0, len(kind.keys)
            if below or start:
                begin = bisect_left(kind.keys, max(below, start))
                if below:
                    end = bisect_left(kind.keys, below[:-1] + chr(ord(below[-1]) + 1))
            keys = kind.keys[begin : min(end, begin + limit) if limit else end]
            return [kind.items[key] for key in keys], self.revision, end - begin

    def count(self, prefix: str) -> int:
        """How many objects of the kind there are."""
        kind = self._kinds.get(prefix)
        return len(kind.items) if kind else 0

    def changed(self, prefix: str) -> int:
        """The revision of the kind's last change."""
        kind = self._kinds.get(prefix)
        return kind.changed if kind else self._forgotten

    def watchers(self) -> int:
        """How many there are."""
        with self.lock:
            return sum(len(kind.watchers) for kind in self._kinds.values())

    def watch(self, prefix: str, below: str, after: int) -> Watcher:
        """A watcher of later events than ``after``; raises Gone when that is too long ago."""
        with self._moved:
            if after < self._kind(prefix).oldest:
                # Just after the start the log has still to be filled with the store's history.
                self._moved.wait_for(lambda: self._fed >= self._loaded or self._stop.is_set(), CATCH_UP)
            kind = self._kind(prefix)
            if after < kind.oldest:
                raise Gone(f"too old resource version: {after} ({kind.oldest})")
            watcher = Watcher(self, kind, below, after)
            kind.watchers.add(watcher)
            return watcher

    def watch_with_list(self, prefix: str, below: str) -> tuple[list[Item], Watcher]:
        """The present objects, and a watcher of all that comes after them."""
        with self.lock:
            kind = self._kind(prefix)
            items = [kind.items[key] for key in kind.keys if key.startswith(below)]
            watcher = Watcher(self, kind, below, self.revision)
            kind.watchers.add(watcher)
            return items, watcher

    def _run(self) -> None:
        reachable = True
        while not self._stop.is_set():
            try:
                if self._store.revision(patient=True) < self.revision or not self._loaded:
                    self._load()
                if not reachable:
                    log.info("etcd answers again")
                reachable = True
                past = self._fed < self._loaded
                for batch in self._store.watch(ROOT, self._fed + 1, self._stop, previous=past):
                    self._apply(batch)
                    if past and self._fed >= self._loaded:
                        break  # from here on the cache itself knows what was before
            except Compacted as error:
                if self._fed < self._loaded and error.oldest <= self._loaded:
                    self._fed = self._history_from = error.oldest
                else:
                    log.info("the cache fell behind etcd's history: reading everything again")
                    self._loaded = 0
            except Unavailable as error:
                if reachable and not self._stop.is_set():
                    log.warning("%s; trying again until it does", error)
                reachable = False
                self._stop.wait(RETRY)

    def _load(self) -> None:
        page = self._store.list(ROOT)
        items: dict[str, list[Item]] = {}
        for entry in page.entries:
            prefix = self._prefix_of(entry.key)
            if prefix:
                items.setdefault(prefix, []).append(Item(entry.key, entry.value, entry.revision))
        with self._moved:
            for prefix in items:
                self._kind(prefix)
            for prefix, kind in self._kinds.items():
                self._acknowledged.raise_to(prefix, page.revision)
                kind.replace(items.get(prefix, ()), page.revision)
                for watcher in kind.watchers:
                    watcher.wake()
            self.revision = self._loaded = page.revision
            self._fed = self._history_from = max(page.revision - HISTORY, 1)
            metrics.CACHE_LOADS.add()
            self._has_moved()

    def _apply(self, batch: Batch) -> None:
        with self.lock:
            for event in batch.events:
                prefix = self._prefix_of(event.key)
                if not prefix:
                    continue
                if event.revision > self._loaded:
                    # Whoever sees this event here may ask another worker next.
                    self._acknowledged.raise_to(prefix, event.revision)
                    kind = self._kind(prefix)
                    kind.apply(event)
                    metrics.CACHE_RECEIVED.add(kind.labels)
                    for listener in self._listeners:
                        listener(event.key)
                else:
                    self._kind(prefix).remember(event)
            if self._fed < self._loaded <= batch.revision:
                # The whole history is in the logs now.
                for kind in self._kinds.values():
                    kind.oldest = max(self._history_from, kind.dropped)
                self._moved.notify_all()
            self._fed = batch.revision
            if batch.revision > self.revision:
                self.revision = batch.revision
                self._has_moved()

    def _has_moved(self) -> None:
        """Tells those who wait, and the metrics."""
        metrics.CACHE_REVISION.set(self.revision)
        self._moved.notify_all()

    def _prefix_of(self, key: str) -> str:
        if self._last_prefix and key.startswith(self._last_prefix):
            return self._last_prefix  # events of one kind come in swarms
        self._last_prefix = found = self._find_prefix(key)
        return found

    def _find_prefix(self, key: str) -> str:
        parts = key.split("/", 4)
        prefix = f"/registry/{parts[2]}/"
        if prefix in self._kinds:
            return prefix
        prefix = f"/registry/{parts[2]}/{parts[3]}/" if len(parts) > 4 else ""
        # Custom resources are followed whether their definition is known yet or not: their groups have a dot.
        return prefix if prefix in self._kinds or "." in parts[2] else ""

    def _kind(self, prefix: str) -> _KindCache:
        """The kind's part of the cache, made when it is first needed; called with the lock held."""
        kind = self._kinds.get(prefix)
        if kind is None:
            kind = self._kinds[prefix] = _KindCache(prefix)
            # Nothing has happened to it as far back as the cache knows.
            past = self._loaded if self._fed < self._loaded else self._history_from
            kind.oldest, kind.changed = max(past, self._forgotten), self._forgotten
        return kind


def too_large(revision: int, current: int) -> Timeout:
    """Upstream's 504 for a revision that is still to come; clients know by its cause that they may try again."""
    message = f"Too large resource version: {revision}, current: {current}"
    if not current:
        message = "the API server has not yet read its objects from etcd"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return Timeout(f"Timeout: {message}", details={"causes": [cause], "retryAfterSeconds": 1})
