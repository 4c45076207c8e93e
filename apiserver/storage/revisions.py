"""Consistent reads: the highest acknowledged revision of each kind, shared by all worker processes.

Each worker has a watch cache of its own, which is some milliseconds behind etcd. Without more, a client whose write was
answered by one worker could read the old state from another. Therefore:

1. A worker that has written raises the kind's number here to the revision of the write, and only then answers.
2. A worker whose watch brings an event raises the number too, before it shows the change to readers or watchers, since
   the event may have come from a writer that has not got to its first step yet.
3. A read that has to be consistent takes the number and waits until its own cache has come to that revision.

So whatever a client can know of, by an answer, a read or a watch, was recorded here before, and no later read in any
worker is older. Each kind has a number of its own: a reader of Nodes need not wait for a burst of Events.

A lock that all processes share would stay locked when its holder is killed. Instead each process writes a block of
numbers of its own, and a reader takes the maximum over all blocks. What a process had written stays after its end.
"""

from __future__ import annotations

import mmap
import threading
import zlib

_SLOTS = 512  # numbers in a block; kinds are spread over them by a checksum
_WIDTH = 8  # bytes of a number


class AcknowledgedRevisions:
    """Numbers in memory that is made before the workers are forked, with a block for each process there may be.

    Two kinds may share a slot; their readers then wait for each other's writes, which is slower but no less right.
    """

    def __init__(self, blocks: int = 1) -> None:
        # An aligned machine word is read and written as a whole, so readers need no lock.
        self._revisions = memoryview(mmap.mmap(-1, blocks * _SLOTS * _WIDTH)).cast("Q")
        self._columns: dict[str, memoryview] = {}  # prefix → its numbers in all blocks
        self._first = 0  # where this process's block begins
        self._lock = threading.Lock()

    def use_block(self, number: int) -> None:
        """Write to this block from now on; to be called after the fork, with a number that no other process has."""
        self._first = number * _SLOTS

    def get(self, prefix: str) -> int:
        """Return the newest revision of the kind at ``prefix`` that a client may know of."""
        column = self._columns.get(prefix)
        if column is None:
            column = self._columns[prefix] = self._revisions[_slot(prefix) :: _SLOTS]
        return max(column)

    def raise_to(self, prefix: str, revision: int) -> None:
        """Record that clients may come to know of ``revision``; before they do."""
        if self.get(prefix) >= revision:
            return  # most often its writer has recorded it already
        index = self._first + _slot(prefix)
        with self._lock:
            if revision > self._revisions[index]:
                self._revisions[index] = revision


def _slot(prefix: str) -> int:
    return zlib.crc32(prefix.encode()) % _SLOTS
