"""A store in this process's memory, for tests and for an API server without etcd. Same semantics.

The history is one list of events; it serves watches and lists of the past alike, and compaction cuts it. With a file
the content outlives the process: it is written when the store is closed, and lost when the process is killed.
"""

from __future__ import annotations

import heapq
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from pathlib import Path

from apiserver.storage import memoryfile
from apiserver.storage.protocol import (
    NO_OPTIONS,
    Batch,
    Changed,
    Claimed,
    Compacted,
    Entry,
    Event,
    FutureRevision,
    Overtaken,
    Page,
    TooLarge,
    Unavailable,
    WriteOptions,
)

# Bytes of a transaction: etcd's default of --max-request-bytes, less than half a kilobyte for its framing.
_LARGEST_REQUEST = 1536 * 1024 - 300


def _revision(item: tuple[Event, Entry | None]) -> int:
    return item[0].revision


class MemoryStore:
    """A store in memory: see ``Store`` for what the methods promise.

    One lock guards everything. Watchers wait on a condition of it, which every write notifies.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._changed = threading.Condition()
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._claims: dict[str, str] = {}
        self._history: list[tuple[Event, Entry | None]] = []  # each event with the entry before it
        self._revision = 1
        self._oldest = 1
        self._forgotten = 0  # changes up to this revision are not in the history, because it was read from a file
        self._closed = False
        self._expiries: list[tuple[float, str, int]] = []
        self._restore()

    def get(self, key: str) -> Entry | None:
        with self._changed:
            self._expire()
            return self._entries.get(key)

    def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        with self._changed:
            self._expire()
            entries, keys = self._entries, self._keys
            if revision:
                entries = self._as_of(revision)
                keys = sorted(entries)
            begin = bisect_left(keys, max(prefix, start))
            end = bisect_left(keys, prefix[:-1] + chr(ord(prefix[-1]) + 1))
            chosen = keys[begin : min(end, begin + limit) if limit else end]
            return Page([entries[key] for key in chosen], revision or self._revision, end - begin)

    def create(self, key: str, value: bytes, options: WriteOptions = NO_OPTIONS) -> int:
        return self._put(key, value, 0, options)

    def update(self, key: str, value: bytes, revision: int, options: WriteOptions = NO_OPTIONS) -> int:
        return self._put(key, value, revision, options)

    def delete(self, key: str, revision: int, *, released: Iterable[str] = ()) -> int:
        with self._changed:
            self._begin_write()
            self._compare(key, revision)
            for claim in released:
                self._claims.pop(claim, None)
            self._remove(key)
            self._changed.notify_all()
            return self._revision

    def claimed(self, claim: str) -> bool:
        with self._changed:
            return claim in self._claims

    def watch(self, prefix: str, revision: int, stop: threading.Event, *, previous: bool = True) -> Iterator[Batch]:
        position = revision
        while not stop.is_set():
            with self._changed:
                while self._revision < position and not self._closed:
                    # Nobody calls to delete an expired key, so the one who waits has to wake up for it.
                    wait = self._expiries[0][0] - time.monotonic() if self._expiries else None
                    self._changed.wait(wait)
                    self._expire()
                if self._closed:
                    return
                if (
                    position < self._oldest or position <= self._forgotten
                ):  # it may have been compacted while this slept
                    raise Compacted(self._oldest)
                begin = bisect_left(self._history, position, key=_revision)
                batch = Batch(
                    self._revision, [event for event, _ in self._history[begin:] if event.key.startswith(prefix)]
                )
            position = batch.revision + 1
            yield batch

    def revision(self) -> int:
        with self._changed:
            return self._revision

    def size(self) -> int:
        with self._changed:
            return sum(len(entry.value) for entry in self._entries.values())

    def compact(self, revision: int) -> None:
        with self._changed:
            if revision > self._revision:
                raise FutureRevision
            if revision > self._oldest:
                self._oldest = revision
                begin = bisect_left(self._history, revision, key=_revision)
                del self._history[:begin]

    def close(self) -> None:
        with self._changed:
            if not self._closed and self._file is not None:
                memoryfile.write(self._file, self._content())
            self._closed = True
            self._changed.notify_all()

    def _put(self, key: str, value: bytes, revision: int, options: WriteOptions) -> int:
        claims, released, swaps, ttl = options
        # A server on this store must not take what one on etcd refuses.
        if len(key) + len(value) + sum(len(swap.key) + len(swap.value) for swap in swaps) > _LARGEST_REQUEST:
            raise TooLarge("etcdserver: request is too large")
        with self._changed:
            self._begin_write()
            self._compare(key, revision)
            for claim in claims:
                if claim in self._claims:
                    raise Claimed(claim)
            for swap in swaps:
                found = self._entries.get(swap.key)
                if (found.revision if found else 0) != swap.revision:
                    raise Overtaken(found.revision if found else 0)
            self._claims.update(dict.fromkeys(claims, key))
            for claim in released:
                self._claims.pop(claim, None)
            self._revision += 1
            for name, content in ((key, value), *((swap.key, swap.value) for swap in swaps)):
                self._write(name, content)
            if ttl:
                heapq.heappush(self._expiries, (time.monotonic() + ttl, key, self._revision))
            self._changed.notify_all()
            return self._revision

    def _begin_write(self) -> None:
        if self._closed:  # a write that was acknowledged now would not be in the file
            raise Unavailable("the store is closed")
        self._expire()

    def _write(self, key: str, value: bytes) -> None:
        current = self._entries.get(key)
        self._entries[key] = Entry(key, value, self._revision)
        if current is None:
            insort(self._keys, key)
        self._history.append((Event(key, value, current.value if current else None, self._revision), current))

    def _compare(self, key: str, revision: int) -> None:
        current = self._entries.get(key)
        if (current.revision if current else 0) != revision:
            raise Changed(current)

    def _remove(self, key: str) -> None:
        self._revision += 1
        current = self._entries.pop(key)
        del self._keys[bisect_left(self._keys, key)]
        self._history.append((Event(key, None, current.value, self._revision), current))

    def _content(self) -> memoryfile.Content:
        """Return what is to be kept in the file, with times of the wall clock, which goes on between two processes."""
        self._expire()
        ahead = time.time() - time.monotonic()
        expiries = [(when + ahead, key, revision) for when, key, revision in self._expiries]
        return memoryfile.Content(self._revision, list(self._entries.values()), self._claims, expiries)

    def _restore(self) -> None:
        content = memoryfile.read(self._file) if self._file is not None else None
        if content is None:
            return
        behind = time.monotonic() - time.time()
        self._entries = {entry.key: entry for entry in content.entries}
        self._keys = sorted(self._entries)
        self._claims = content.claims
        self._expiries = [(when + behind, key, revision) for when, key, revision in content.expiries]
        heapq.heapify(self._expiries)
        self._revision = self._oldest = self._forgotten = content.revision

    def _expire(self) -> None:
        now = time.monotonic()
        while self._expiries and self._expiries[0][0] <= now:
            _, key, revision = heapq.heappop(self._expiries)
            current = self._entries.get(key)
            if current is not None and current.revision == revision:
                self._remove(key)
                self._changed.notify_all()

    def _as_of(self, revision: int) -> dict[str, Entry]:
        if revision > self._revision:
            raise FutureRevision
        if revision < self._oldest:
            raise Compacted(self._oldest)
        entries = dict(self._entries)
        for event, before in reversed(self._history):
            if event.revision <= revision:
                break
            if before is None:
                entries.pop(event.key, None)
            else:
                entries[event.key] = before
        return entries
