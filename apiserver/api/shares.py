"""How many requests of one user a worker serves at a time, so that nobody takes all of its threads.

A request that is answered at once (a read, a write, a review) is one of at most RUNNING of its user. More wait for
their turn, up to WAITING of them, and not longer than TURN_SECONDS; what comes on top is refused with 429, after which
clients try again. A request that carries a stream (exec, attach, port-forward, log, proxy, a WebSocket) has a thread of
its own for as long as it lasts; a user may have STREAMS of those, and more are refused. A watch over HTTP has no
thread, but a connection; a user may have WATCHES. Health checks are never counted, and all users together leave threads
and connections for them (THREADS and CONNECTIONS of serving/worker.py).

Upstream: API priority and fairness, of which this is the part that isolates users from each other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from machinery.errors import TooManyRequests

RUNNING, WAITING, STREAMS, WATCHES = 32, 150, 250, 2000
# Of all users together; watchstream.py has the limit of watches.
ALL_REQUESTS, ALL_STREAMS = 700, 700
TURN_SECONDS = 15.0


@dataclass
class _Share:
    """What one user takes. The locks in ``waiting`` are held until it is the turn of who waits for them."""

    running: int = 0
    streams: int = 0
    watches: int = 0
    waiting: deque[threading.Lock] = field(default_factory=deque)


class Shares:
    """The requests in progress in this process, by user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, _Share] = {}
        self._requests = self._streams = 0

    def enter(self, user: str, *, stream: bool) -> Callable[[], None]:
        """Wait until a user's request may be served; return what is to be called once, when it has been.

        Raises TooManyRequests if the user has too many of them.
        """
        return self._enter_stream(user) if stream else self._enter_request(user)

    def enter_watch(self, user: str) -> Callable[[], None]:
        """Count a watch of a user; return what is to be called once, when it has ended. Raises TooManyRequests."""
        with self._lock:
            share = self._users.setdefault(user, _Share())
            if share.watches >= WATCHES:
                raise _refusal()
            share.watches += 1
        return lambda: self._leave_watch(user)

    def _leave_watch(self, user: str) -> None:
        with self._lock:
            self._users[user].watches -= 1
            self._forget(user)

    def _enter_stream(self, user: str) -> Callable[[], None]:
        with self._lock:
            share = self._users.setdefault(user, _Share())
            if share.streams >= STREAMS or self._streams >= ALL_STREAMS:
                self._forget(user)
                raise _refusal()
            share.streams += 1
            self._streams += 1
        return lambda: self._leave_stream(user)

    def _leave_stream(self, user: str) -> None:
        with self._lock:
            self._users[user].streams -= 1
            self._streams -= 1
            self._forget(user)

    def _enter_request(self, user: str) -> Callable[[], None]:
        with self._lock:
            share = self._users.setdefault(user, _Share())
            if self._requests >= ALL_REQUESTS or len(share.waiting) >= WAITING:
                self._forget(user)
                raise _refusal()
            self._requests += 1
            if share.running < RUNNING:
                share.running += 1
                return lambda: self._leave_request(user)
            turn = threading.Lock()
            turn.acquire()
            share.waiting.append(turn)
        if not turn.acquire(timeout=TURN_SECONDS):
            with self._lock:
                if turn in share.waiting:
                    share.waiting.remove(turn)
                    self._requests -= 1
                    raise _refusal()
        return lambda: self._leave_request(user)

    def _leave_request(self, user: str) -> None:
        with self._lock:
            share = self._users[user]
            self._requests -= 1
            if share.waiting:
                share.waiting.popleft().release()
            else:
                share.running -= 1
                self._forget(user)

    def _forget(self, user: str) -> None:
        share = self._users[user]
        if not (share.running or share.streams or share.watches):
            del self._users[user]


def _refusal() -> TooManyRequests:
    return TooManyRequests("too many requests, please try again later", retry_after=1)
