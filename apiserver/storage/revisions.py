"""The highest acknowledged revision of each kind, shared by all worker processes.

A worker that has written, or heard of a write through its watch, tells the others here before any client hears of it; a
read in any worker first waits until its cache has come that far. So a read is never older than a write that somebody
could know of. Each kind has its own number: a reader of Nodes need not wait for Events.

Each process writes numbers of its own, and the highest of all processes' counts: so none has to lock out the others.
What one had written before it was killed stays.
"""

from __future__ import annotations

import mmap
import threading
import zlib

_SLOTS = 512
_WIDTH = 8


class Acknowledged:
    """Numbers in shared memory; made before the workers are forked, for as many of them as there may be at a time.

    A slot may serve two kinds, whose readers then wait for each other's writes.
    """

    def __init__(self, blocks: int = 1) -> None:
        # One aligned machine word is read and written at once, so readers need no lock.
        self._revisions = memoryview(mmap.mmap(-1, blocks * _SLOTS * _WIDTH)).cast("Q")
        self._first = 0  # of this process's numbers
        self._lock = threading.Lock()
        self._places: dict[str, tuple[int, ...]] = {}  # each process's number of a kind

    def use_block(self, number: int) -> None:
        """Writes there from now on; called after the fork, with a number that no other process has."""
        self._first = number * _SLOTS

    def get(self, prefix: str) -> int:
        """The newest revision of the kind at ``prefix`` that a client has been told of."""
        places = self._places.get(prefix)
        if places is None:
            places = self._places[prefix] = tuple(range(_slot(prefix), len(self._revisions), _SLOTS))
        return max(map(self._revisions.__getitem__, places))

    def raise_to(self, prefix: str, revision: int) -> None:
        """Records a write before it is acknowledged, or shown to a watcher."""
        if self.get(prefix) >= revision:
            return  # its writer has recorded it, most likely
        place = self._first + _slot(prefix)
        with self._lock:
            if revision > self._revisions[place]:
                self._revisions[place] = revision


def _slot(prefix: str) -> int:
    return zlib.crc32(prefix.encode()) % _SLOTS
