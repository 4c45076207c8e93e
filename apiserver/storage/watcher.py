"""One watcher of the watch cache: its place in the history of a kind, and the means to wait for news."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from apiserver.model import metrics
from apiserver.model.item import Change
from apiserver.storage.history import History, too_old

_LONGEST_WAIT = 1e6  # seconds: poll takes a C int of milliseconds


class Watcher:
    """A place in the history of a kind, from which ``take`` reads the changes below a prefix.

    ``take`` may run in any thread, but only in one at a time. Whoever watches either sleeps in ``wait``, one thread a
    watcher, or has a function called by ``listen`` and takes when it was called, one thread for many watchers.
    """

    def __init__(
        self,
        history: History,
        prefix: str,
        after: int,
        *,
        lock: threading.Lock,
        current: Callable[[], int],
        labels: tuple[str, ...],
    ) -> None:
        """Subscribe to the changes after revision ``after``; called with ``lock``, the cache's, held.

        ``current`` returns the revision up to which the cache has come, ``labels`` name the resource in metrics.
        """
        self.prefix = prefix
        self.ended = False  # what is watched is no longer served, or not as it was
        self._history = history
        self._lock = lock
        self._current = current
        self._labels = labels
        self._after = after
        self._position = history.position_after(after)
        self._fd = -1  # an eventfd, made when somebody first waits: most watchers are listened to instead
        self._listener: Callable[[], None] | None = None
        self._woken = False
        self._closed = False
        history.subscribers.add(self)

    @property
    def revision(self) -> int:
        """The revision up to which everything has been taken, or had happened before the watch began."""
        return self._after

    def take(self) -> tuple[list[Change], int]:
        """Return the changes since the last call, and the revision up to which they are complete.

        That revision is what a bookmark tells the client: it may be newer than the last change, even when there are no
        changes, because the cache has seen that nothing else below the prefix happened. Raises Gone if changes
        that were not taken yet have been dropped.
        """
        with self._lock:
            history = self._history
            if self._woken and self._fd >= 0:
                os.eventfd_read(self._fd)
            self._woken = False
            found = history.since(self._position)
            if found is None:
                metrics.TERMINATED_WATCHES.add(self._labels)
                raise too_old(self._after, history.oldest)
            self._position = history.end
            revision = self._current()
        prefix, after = self.prefix, self._after
        # A history that is still being filled holds changes which are older than the beginning of the watch.
        changes = [change for change in found if change.revision > after and change.item.key.startswith(prefix)]
        self._after = max(after, revision)
        if changes:
            metrics.CACHE_DISPATCHED.add(self._labels, len(changes))
        return changes, revision

    def wait(self, timeout: float, socket: int = -1) -> bool:
        """Sleep until there may be news or ``timeout`` seconds have passed, or until ``socket`` can be read.

        Return True in the last case: the client has sent something or has gone. ``socket`` is a file descriptor.
        """
        with self._lock:
            if self._fd < 0 and not self._closed:
                self._fd = os.eventfd(int(self._woken), os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if socket >= 0:
            poll.register(socket, select.POLLIN | select.POLLRDHUP)
        return any(fd == socket for fd, _ in poll.poll(max(0, min(timeout, _LONGEST_WAIT) * 1000)))

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called once there may be news, and again only after the next ``take``.

        It is called by the thread that brings the news, with the cache's lock held: it must be quick and must not call
        the cache or its watchers.
        """
        with self._lock:
            self._listener = listener

    def wake(self) -> None:
        """End ``wait``, or call the listener; called with the cache's lock held."""
        if self._woken or self._closed:
            return
        self._woken = True
        if self._listener is not None:
            self._listener()
        elif self._fd >= 0:
            os.eventfd_write(self._fd, 1)

    def close(self) -> None:
        """Stop watching. Closing twice is no error."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._history.subscribers.discard(self)
                if self._fd >= 0:
                    os.close(self._fd)
