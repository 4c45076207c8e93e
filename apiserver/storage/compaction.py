"""Compaction: every five minutes the store forgets what was replaced more than five minutes ago.

Upstream: apiserver/pkg/storage/etcd3/compact.go. Every worker does so; the later one has nothing left to do.
"""

from __future__ import annotations

import logging
import threading

from apiserver.storage.protocol import Store, StoreError

log = logging.getLogger(__name__)

PERIOD = 300.0


class Compaction:
    """A thread that compacts the store once in ``period`` seconds."""

    def __init__(self, store: Store, period: float = PERIOD) -> None:
        self._store = store
        self._period = period
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="compaction", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        old = 0
        while not self._stop.wait(self._period):
            try:
                if old:
                    self._store.compact(old)
                    log.debug("compacted the store up to revision %d", old)
                old = self._store.revision()
            except StoreError as error:
                log.warning("the store is not compacted this time: %s", error)
