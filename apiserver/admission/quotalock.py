"""Locks by namespace: those who create something in a namespace with quotas do so one after the other.

Each has to charge the newest revision of the same quota. Without a lock all but one of many that try at once would try
in vain, again and again. Another worker process takes no part in the lock; compare-and-swap keeps its charges right.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from machinery.errors import InternalError

# Namespaces that share a lock only wait for each other.
_LOCKS = 64
# Seconds for which upstream's admission waits for the evaluation of quotas.
_TIMEOUT = 10.0


class NamespaceLocks:
    """A fixed number of locks, shared by all namespaces."""

    def __init__(self) -> None:
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    @contextmanager
    def hold(self, namespace: str) -> Iterator[None]:
        """Hold the lock of a namespace; raises InternalError when it does not become free in time."""
        lock = self._locks[zlib.crc32(namespace.encode()) % _LOCKS]
        if not lock.acquire(timeout=_TIMEOUT):
            raise InternalError("Internal error occurred: resource quota evaluation timed out")
        try:
            yield
        finally:
            lock.release()
