"""Those who create something in a namespace with quotas do so one after the other.

Each has to charge the newest revision of the same quota, so that of many that try at once all but one try in vain. The
other worker process is met by compare-and-swap.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from apiserver.kinds.resourcequotas import RESOURCE_QUOTAS
from apiserver.model.kind import Kind
from apiserver.model.reader import Reader
from machinery.errors import InternalError

# Namespaces that share a lock only wait for each other.
_LOCKS = 64
# Seconds that upstream's admission waits for its turn.
_PATIENCE = 10.0


class Turns:
    """Locks by namespace, taken only where there is a quota."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    @contextmanager
    def take(self, kind: Kind, namespace: str) -> Iterator[None]:
        """Waits for one's turn; raises InternalError when it does not come."""
        if not kind.namespaced or not self._reader.list(RESOURCE_QUOTAS, namespace):
            yield
            return
        lock = self._locks[zlib.crc32(namespace.encode()) % _LOCKS]
        if not lock.acquire(timeout=_PATIENCE):
            raise InternalError("Internal error occurred: resource quota evaluation timed out")
        try:
            yield
        finally:
            lock.release()
