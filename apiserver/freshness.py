"""The highest acknowledged revision of each kind, shared by all worker processes.

A worker that has written, or heard of a write through its watch, tells the others here before any client hears of it; a
read in any worker first waits until its cache has come that far. So a read is never older than a write that somebody
could know of. Each kind has its own number: a reader of Nodes need not wait for Events.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import zlib

_SLOTS = 512
_WIDTH = 8


class Acknowledged:
    """Numbers in shared memory; made before the workers are forked.

    A slot may serve two kinds, whose readers then wait for each other's writes.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("acknowledged-revisions")
        os.ftruncate(self._file, _SLOTS * _WIDTH)
        # One aligned machine word is read and written at once, so readers need no lock.
        self._revisions = memoryview(mmap.mmap(self._file, _SLOTS * _WIDTH)).cast("Q")
        self._lock = threading.Lock()

    def get(self, prefix: str) -> int:
        """The newest revision of the kind at ``prefix`` that a client has been told of."""
        return self._revisions[_slot(prefix)]

    def raise_to(self, prefix: str, revision: int) -> None:
        """Records a write before it is acknowledged, or shown to a watcher."""
        slot = _slot(prefix)
        if revision <= self._revisions[slot]:
            return
        with self._lock:
            # The kernel frees this lock when its owner is killed, which a lock in shared memory would not survive.
            fcntl.lockf(self._file, fcntl.LOCK_EX, _WIDTH, slot * _WIDTH)
            if revision > self._revisions[slot]:
                self._revisions[slot] = revision
            fcntl.lockf(self._file, fcntl.LOCK_UN, _WIDTH, slot * _WIDTH)


def _slot(prefix: str) -> int:
    return zlib.crc32(prefix.encode()) % _SLOTS
