"""A thread of a worker that acts when the watch cache has seen a change.

All workers run the same loops at once. They decide on the newest objects, so the worker that comes second finds the
work done, or learns from a conflict that it is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from apiserver.storage.cache import WatchCache
from apiserver.storage.protocol import StoreError
from machinery.errors import ApiError, Conflict, NotFound

log = logging.getLogger(__name__)

# Seconds between two attempts while the store does not answer, or another worker writes the same objects.
RETRY = 0.25


class Reconciler:
    """Calls ``sync`` at the start, after a change of a key that ``concerns`` it, and every ``resync`` seconds.

    A ``sync`` that raises ApiError or StoreError is called again until it does not.
    """

    def __init__(
        self, name: str, cache: WatchCache, sync: Callable[[], None], concerns: Callable[[str], bool], resync: float
    ) -> None:
        self._name, self._cache, self._resync = name, cache, resync
        self._sync, self._concerns = sync, concerns
        self._changed = threading.Event()
        self._stopped = False

    def start(self) -> None:
        self._cache.listen(self._notice)
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        self._stopped = True
        self._changed.set()

    def _notice(self, key: str) -> None:
        if self._concerns(key):
            self._changed.set()

    def _run(self) -> None:
        failed = ""
        while not self._stopped:
            self._changed.clear()
            pause = RETRY
            try:
                self._cache.wait_for(1)
                self._sync()
                failed, pause = "", self._resync
            except (Conflict, NotFound) as error:
                log.debug("%s: another worker was faster: %s", self._name, error)
            except (ApiError, StoreError) as error:
                if str(error) != failed:
                    failed = str(error)
                    log.warning("%s: %s; trying again until it works", self._name, error)
            self._changed.wait(pause)
