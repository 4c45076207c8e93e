"""The latest changes of one kind, which watchers read at their own pace."""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import Protocol

from apiserver.model.item import Change
from machinery.errors import Gone

KEPT_CHANGES = 1000  # a history keeps at least so many changes, and at most twice as many, if they are small
KEPT_BYTES = 4 * 1024 * 1024  # what the objects in a history may take together
UNSHRUNK = 100  # so many of the latest changes keep what was worked out for watchers


class Subscriber(Protocol):
    """Somebody who is woken by each change below ``prefix``, a key or the beginning of keys."""

    prefix: str
    ended: bool

    def wake(self) -> None: ...


class History:
    """The latest changes of one kind in the order of their revisions; guarded by the cache's lock.

    A reader's place is a position: how many changes the kind has had since this process started, up to the next one to
    read. So a hundred watchers share one list of changes, and trimming the list needs to tell none of them: a watcher
    whose position is no longer in the list finds out when it reads, and gets Gone (410).
    """

    def __init__(self) -> None:
        self.oldest = 0  # every change after this revision is in the history, so a watch may start from it
        self.dropped = 0  # the revision of the newest change that is known to be missing
        self.subscribers: set[Subscriber] = set()
        self._changes: list[Change] = []
        self._bytes = 0
        self._base = 0  # the position of the first change in the list

    @property
    def end(self) -> int:
        """The position of the next change to come."""
        return self._base + len(self._changes)

    def position_after(self, revision: int) -> int:
        """Return the position of the first change that is newer than ``revision``."""
        return self._base + bisect_right(self._changes, revision, key=attrgetter("revision"))

    def since(self, position: int) -> list[Change] | None:
        """Return the changes from a position on, or None if some of them have been dropped."""
        start = position - self._base
        return self._changes[start:] if start >= 0 else None

    def append(self, change: Change) -> None:
        """Add a change, drop the oldest ones if there are too many, and wake whoever it concerns."""
        self._changes.append(change)
        self._bytes += len(change.item.data)
        if len(self._changes) > UNSHRUNK:
            self._changes[-UNSHRUNK - 1].shrink()
        if len(self._changes) >= 2 * KEPT_CHANGES or (self._bytes > KEPT_BYTES and len(self._changes) > 1):
            self._drop_older_half()
        key = change.item.key
        for subscriber in self.subscribers:
            if key.startswith(subscriber.prefix):
                subscriber.wake()

    def restart(self, revision: int) -> None:
        """Forget everything: what happened before ``revision`` is unknown, and readers at any position get Gone."""
        self._base = self.end + 1  # no reader is at or beyond this position
        self._changes, self._bytes = [], 0
        self.oldest, self.dropped = revision, 0

    def wake_all(self) -> None:
        """Wake every subscriber, whatever it watches."""
        for subscriber in self.subscribers:
            subscriber.wake()

    def _drop_older_half(self) -> None:
        half = len(self._changes) // 2
        self.dropped = self._changes[half - 1].revision
        self.oldest = max(self.oldest, self.dropped)
        self._bytes -= sum(len(change.item.data) for change in self._changes[:half])
        del self._changes[:half]
        self._base += half


def too_old(revision: int, oldest: int) -> Gone:
    """Return upstream's 410, after which a client lists again and watches from there."""
    return Gone(f"too old resource version: {revision} ({oldest})")
