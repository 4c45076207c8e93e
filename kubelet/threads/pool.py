"""Threads for calls that may take long: image pulls, volumes, hooks, probes.

A thread is made when none is idle and goes after a while without work, so that an idle kubelet keeps none; all are
daemons, so that a probe that hangs does not hold up the kubelet's end. (The standard library's executor keeps its
threads for ever and joins them at exit.)
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0


class Pool:
    """Runs submitted functions in at most ``most`` threads."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._waiting = 0  # threads without work, less the work that nobody has taken yet
        self._threads = 0
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._work.put(work)
            self._waiting -= 1
            grow = self._waiting < 0 and self._threads < self._most
            if grow:
                self._threads += 1
                self._waiting += 1
        if grow:
            threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._waiting > 0:
                        self._waiting -= 1
                        self._threads -= 1
                        return
                continue
            try:
                work()
            except Exception:
                log.exception("A task in pool %s failed", self._name)
            with self._lock:
                self._waiting += 1
