"""What the worker processes know of each other, in memory that they share."""

from __future__ import annotations

import mmap
import time


class Scoreboard:
    """The open connections of each worker, and when it last showed that it lives; made before the fork.

    A worker has a slot, a number that its successor may get when it has ended.
    """

    def __init__(self, slots: int) -> None:
        self._connections = memoryview(mmap.mmap(-1, slots * 8)).cast("q")
        self._beats = memoryview(mmap.mmap(-1, slots * 8)).cast("d")
        for slot in range(slots):
            self.clear(slot)

    def clear(self, slot: int) -> None:
        """Note that no worker has this slot, or one that has not begun to serve."""
        self._connections[slot] = -1
        self._beats[slot] = time.monotonic()

    def tell_connections(self, slot: int, count: int) -> None:
        self._connections[slot] = count

    def has_begun(self, slot: int) -> bool:
        """Tell whether the worker of this slot has got as far as serving."""
        return self._connections[slot] >= 0

    def fewest_connections(self) -> int:
        """Return how many the worker has that has fewest."""
        return min((count for count in self._connections if count >= 0), default=0)

    def beat(self, slot: int) -> None:
        self._beats[slot] = time.monotonic()

    def silence(self, slot: int) -> float:
        """Return the seconds since the worker's last beat."""
        return time.monotonic() - self._beats[slot]
