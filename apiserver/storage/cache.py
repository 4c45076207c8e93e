"""The watch cache: every object of the store, in this process, kept current by one etcd watch on ``/registry/``.

All reads and watches are served from here (upstream: apiserver/pkg/storage/cacher). Each worker process has its own.

What readers may rely on
    *Order.* One watch feeds all kinds, so that changes are applied in the order of etcd's revisions. ``revision`` says
    how far the cache has come, for all kinds together: it shows exactly what the store held at that revision.

    *Completeness.* A watch that begins after revision R is told of every change to its kind after R, each once and in
    order, or it ends with Gone (410): there is never a gap that nobody notices.

    *Bookmarks.* With the changes a watcher learns the revision up to which they are complete. The client may resume
    from it, even if long after that only other kinds have changed.

    *Consistent reads.* After ``catch_up(prefix)`` a read shows every write to the kind that any worker has acknowledged
    to a client, or shown to a watcher, before ``catch_up`` was called: see revisions.py. A cache that does not come so
    far within ``CATCH_UP`` seconds raises Timeout rather than show something old.

When a watch gets 410
    It asks for the time before its kind's history begins; or it is so slow that its place in the history has been
    dropped; or the cache had to read everything again (below), so that nobody knows what happened in between.

Threads and the lock
    One thread, "watch-cache", changes objects, histories and ``revision``: it reads all objects once, then follows
    etcd's watch for ever. Threads of requests read, wait for revisions, and make and close watchers; those that
    serve watches take changes. ``lock`` guards all of it, and ``_moved`` is a condition on the same lock, notified
    when ``revision`` grows. ``get``, ``count`` and ``changed`` go without the lock: each looks up one value in a dict,
    which is atomic, and Items are replaced and never modified.

When etcd goes away
    The thread tries again every ``RETRY`` seconds and resumes its watch after the last revision that it has applied, so
    that nothing is missed. Until then reads go on, as long as they need not wait for a newer revision; writes fail in
    the store. If the revisions in between have been compacted meanwhile, or etcd comes back with fewer revisions than
    the cache has seen (from a backup), the cache reads everything again and all its watchers get 410. After a backup
    the API server has to be restarted all the same: acknowledged revisions are never lowered.

The start
    The list of all objects, at revision L, can be read from at once. Its kinds have no history yet, so watches could
    only start at L, and after a restart every client would have to list again. Therefore the first watch begins
    ``LOOK_BACK`` revisions before L, or where etcd's own history begins: events up to L go into the histories only. A
    watch that asks for a revision before L waits until they are complete.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

from apiserver.model import metrics
from apiserver.model.item import Change, Item
from apiserver.model.trace import spent
from apiserver.storage.history import History, too_old
from apiserver.storage.measure import resource_of
from apiserver.storage.protocol import Batch, Compacted, Event, Store, Unavailable
from apiserver.storage.revisions import AcknowledgedRevisions
from apiserver.storage.watcher import Watcher
from machinery.errors import Timeout

log = logging.getLogger(__name__)

ROOT = "/registry/"
LOOK_BACK = 1000  # revisions before the first list whose events a starting worker reads into its histories
CATCH_UP = 3.0  # seconds a read may wait for the cache (upstream: blockTimeout)
RETRY = 0.05  # seconds between two attempts to reach the store


class _KindCache:
    """The objects of one kind in the order of their keys, and the history of their changes."""

    def __init__(self, prefix: str) -> None:
        self.labels = (resource_of(prefix),)  # in metrics
        self.items: dict[str, Item] = {}
        self.keys: list[str] = []
        self.history = History()
        self.changed = 0  # the revision of the last change

    def replace(self, items: Iterable[Item], revision: int) -> None:
        """Take the objects of a full list at ``revision``; what led there is not known."""
        self.items = {item.key: item for item in items}
        self.keys = sorted(self.items)
        self.changed = revision
        self.history.restart(revision)

    def apply(self, event: Event) -> None:
        """Make a change of the store here too, and tell the watchers."""
        previous = self.items.get(event.key)
        if event.value is None:
            if previous is not None:
                del self.items[event.key]
                del self.keys[bisect_left(self.keys, event.key)]
                self._record(Change(previous.moved_to(event.revision), previous, True))
            return
        item = Item(event.key, event.value, event.revision)
        if previous is None:
            insort(self.keys, event.key)
        self.items[event.key] = item
        self._record(Change(item, previous, False))

    def remember(self, event: Event) -> None:
        """Put an event that is older than the full list, whose outcome is in ``items`` already, into the history."""
        previous = Item(event.key, event.previous, event.revision - 1) if event.previous else None
        if event.value is not None:
            self._record(Change(Item(event.key, event.value, event.revision), previous, False))
        elif previous is not None:
            self._record(Change(previous.moved_to(event.revision), previous, True))
        else:
            self.history.dropped = event.revision  # a deletion of something that etcd no longer knows

    def _record(self, change: Change) -> None:
        self.changed = max(self.changed, change.revision)
        self.history.append(change)


class WatchCache:
    """See the module's docstring. Call ``start`` after the fork; every method may be called from any thread."""

    def __init__(self, store: Store, prefixes: Iterable[str], acknowledged: AcknowledgedRevisions) -> None:
        """Make an empty cache; ``prefixes`` are those of the built-in kinds, others are added when they appear."""
        self.lock = threading.Lock()
        self.revision = 0
        self.stopping = False
        self._moved = threading.Condition(self.lock)
        self._store = store
        self._acknowledged = acknowledged
        self._listeners: list[Callable[[str], None]] = []
        self._kinds = {prefix: _KindCache(prefix) for prefix in prefixes}
        self._forgotten = 0  # the revision at which a kind that came and went was last forgotten
        self._loaded = 0  # L, the revision of the last full list; 0 if there has to be one
        self._fed = 0  # the revision of the last event from the watch; below L it is history
        self._history_from = 0  # the revision from which the watch began
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-cache", daemon=True)

    def start(self) -> None:
        """Begin to read and follow the store."""
        self._thread.start()

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have ``listener`` called with the key of every later change; it must be quick and must not call back."""
        self._listeners.append(listener)

    def end_watches(self) -> None:
        """End every watch at once, while reads go on: the first step when the server stops."""
        with self.lock:
            self.stopping = True
            for kind in self._kinds.values():
                kind.history.wake_all()

    def end_watches_of(self, prefix: str) -> None:
        """End the present watches of a kind, because it is served in another form from now on or no longer."""
        with self.lock:
            history = self._kind(prefix).history
            for watcher in history.subscribers:
                watcher.ended = True
            history.wake_all()

    def forget(self, prefix: str) -> None:
        """Give up the history of a kind that is no longer served, unless it still has objects or watchers."""
        with self.lock:
            kind = self._kinds.get(prefix)
            if kind is not None and not kind.items and not kind.history.subscribers:
                del self._kinds[prefix]
                self._forgotten = self.revision

    def stop(self) -> None:
        """End the watches and the thread, which may notice only when the store is closed: close it afterwards."""
        self.end_watches()
        self._stop.set()

    def use_block(self, number: int) -> None:
        """Say which of the workers this process is: see ``AcknowledgedRevisions``."""
        self._acknowledged.use_block(number)

    def acknowledge(self, prefix: str, revision: int) -> None:
        """Have reads in all workers wait for a write; to be called after the write and before its answer."""
        self._acknowledged.raise_to(prefix, revision)

    def catch_up(self, prefix: str) -> None:
        """Wait until the cache shows every acknowledged write to the kind; raises Timeout if it takes too long."""
        revision = self._acknowledged.get(prefix)
        if self.revision < revision or not self.revision:
            self.wait_for(max(revision, 1))

    def wait_for(self, revision: int) -> None:
        """Wait until the cache has come to ``revision``; raises upstream's Timeout after ``CATCH_UP`` seconds."""
        since = time.perf_counter()
        with self._moved:
            reached = self._moved.wait_for(lambda: self.revision >= revision, CATCH_UP)
            metrics.CACHE_WAITS.observe(time.perf_counter() - since)
            spent("cache", since)
            if not reached:
                raise too_large(revision, self.revision)

    def get(self, prefix: str, key: str) -> Item | None:
        """Return one object as the cache shows it now; call ``catch_up`` before for a consistent read."""
        kind = self._kinds.get(prefix)
        return kind.items.get(key) if kind else None

    def await_item(self, prefix: str, key: str, seconds: float) -> Item | None:
        """Return one object as soon as the cache shows it, or None if it does not within ``seconds``."""
        with self._moved:
            kind = self._kind(prefix)
            self._moved.wait_for(lambda: key in kind.items or self._stop.is_set(), seconds)
            return kind.items.get(key)

    def select(self, prefix: str, below: str = "", start: str = "", limit: int = 0) -> tuple[list[Item], int, int]:
        """Return objects in the order of their keys: a page of a list.

        The keys begin with ``below`` (a namespace's prefix, say) and are not before ``start``; ``limit`` 0 is no limit.
        With them come the revision that they are as of, and how many there would be without the limit.
        """
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
        """Return how many objects of the kind there are."""
        kind = self._kinds.get(prefix)
        return len(kind.items) if kind else 0

    def changed(self, prefix: str) -> int:
        """Return the revision of the kind's last change; between that and ``revision`` all lists of it are equal."""
        kind = self._kinds.get(prefix)
        return kind.changed if kind else self._forgotten

    def watchers(self) -> int:
        """Return how many watches are open in this process."""
        with self.lock:
            return sum(len(kind.history.subscribers) for kind in self._kinds.values())

    def watch(self, prefix: str, below: str, after: int) -> Watcher:
        """Return a watcher of the changes below a prefix after a revision; raises Gone if that is too long ago."""
        with self._moved:
            if after < self._kind(prefix).history.oldest:
                # Just after the start the histories have still to be filled.
                self._moved.wait_for(lambda: self._fed >= self._loaded or self._stop.is_set(), CATCH_UP)
            kind = self._kind(prefix)
            if after < kind.history.oldest:
                raise too_old(after, kind.history.oldest)
            return self._watcher(kind, below, after)

    def watch_with_list(self, prefix: str, below: str) -> tuple[list[Item], Watcher]:
        """Return the present objects below a prefix, and a watcher of everything that comes after them."""
        with self.lock:
            kind = self._kind(prefix)
            items = [kind.items[key] for key in kind.keys if key.startswith(below)]
            return items, self._watcher(kind, below, self.revision)

    def _watcher(self, kind: _KindCache, below: str, after: int) -> Watcher:
        return Watcher(kind.history, below, after, lock=self.lock, current=lambda: self.revision, labels=kind.labels)

    def _run(self) -> None:
        """Load and follow the store until ``stop``, whatever happens to it; the body of the thread."""
        reachable = True
        while not self._stop.is_set():
            try:
                if self._store.revision() < self.revision or not self._loaded:
                    self._load()
                if not reachable:
                    log.info("etcd answers again")
                reachable = True
                self._follow()
            except Compacted as error:
                if self._fed < self._loaded and error.oldest <= self._loaded:
                    self._fed = self._history_from = error.oldest  # the histories begin later than was hoped
                else:
                    log.info("the cache fell behind etcd's history: reading everything again")
                    self._loaded = 0
            except Unavailable as error:
                if reachable and not self._stop.is_set():
                    log.warning("%s; trying again until it does", error)
                reachable = False
                self._stop.wait(RETRY)

    def _load(self) -> None:
        """Read all objects, and prepare to read the events before them."""
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
                # Whoever reads this here may ask another worker next.
                self._acknowledged.raise_to(prefix, page.revision)
                kind.replace(items.get(prefix, ()), page.revision)
                kind.history.wake_all()
            self.revision = self._loaded = page.revision
            self._fed = self._history_from = max(page.revision - LOOK_BACK, 1)
            metrics.CACHE_LOADS.add()
            self._has_moved()

    def _follow(self) -> None:
        """Apply what the store's watch reports, until it fails or all histories are filled."""
        filling = self._fed < self._loaded
        # The values before each event cost etcd a look-up; once the histories are filled the cache has them itself.
        for batch in self._store.watch(ROOT, self._fed + 1, self._stop, previous=filling):
            self._apply(batch)
            if filling and self._fed >= self._loaded:
                return

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
            if self._fed < self._loaded <= batch.revision:  # from now on the histories are complete
                for kind in self._kinds.values():
                    kind.history.oldest = max(self._history_from, kind.history.dropped)
                self._moved.notify_all()
            self._fed = batch.revision
            if batch.revision > self.revision:
                self.revision = batch.revision
                self._has_moved()

    def _has_moved(self) -> None:
        """Tell those who wait for a revision, and the metrics."""
        metrics.CACHE_REVISION.set(self.revision)
        self._moved.notify_all()

    def _prefix_of(self, key: str) -> str:
        """Return the prefix of the kind that a key belongs to, or "" if it belongs to none that is served."""
        parts = key.split("/", 4)
        prefix = f"/registry/{parts[2]}/"
        if prefix in self._kinds:
            return prefix
        prefix = f"/registry/{parts[2]}/{parts[3]}/" if len(parts) > 4 else ""
        # Custom resources are followed whether their definition is known yet or not: their groups have a dot.
        return prefix if prefix in self._kinds or "." in parts[2] else ""

    def _kind(self, prefix: str) -> _KindCache:
        """Return the kind's part of the cache, made when it is first needed; called with the lock held."""
        kind = self._kinds.get(prefix)
        if kind is None:
            kind = self._kinds[prefix] = _KindCache(prefix)
            # Nothing has happened to it as far back as the cache knows.
            past = self._loaded if self._fed < self._loaded else self._history_from
            kind.history.oldest, kind.changed = max(past, self._forgotten), self._forgotten
        return kind


def too_large(revision: int, current: int) -> Timeout:
    """Return upstream's 504 for a revision that is still to come; by its cause clients know that they may try again."""
    message = f"Too large resource version: {revision}, current: {current}"
    if not current:
        message = "the API server has not yet read its objects from etcd"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return Timeout(f"Timeout: {message}", details={"causes": [cause], "retryAfterSeconds": 1})
