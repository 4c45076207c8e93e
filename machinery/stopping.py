"""Run callbacks when a ``threading.Event`` is set: so one stop event ends many blocking calls.

A thread that is blocked in a socket, or on another condition, cannot also wait for the stop event. So one thread for
each event waits for it, and then runs the callbacks that end those calls.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable

log = logging.getLogger(__name__)

_waiters: weakref.WeakKeyDictionary[threading.Event, _Waiter] = weakref.WeakKeyDictionary()
_waiters_lock = threading.Lock()


def call_on(event: threading.Event, callback: Callable[[], None]) -> Callable[[], None]:
    """Call ``callback`` once when the event is set, or now if it is set already. Return a function that cancels it."""
    with _waiters_lock:
        waiter = _waiters.get(event)
        if waiter is None:
            waiter = _waiters[event] = _Waiter(event)
    return waiter.register(callback)


class _Waiter:
    def __init__(self, event: threading.Event) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0
        self._fired = False
        threading.Thread(target=self._wait, args=(event,), name="stop-waiter", daemon=True).start()

    def register(self, callback: Callable[[], None]) -> Callable[[], None]:
        with self._lock:
            number, self._next = self._next, self._next + 1
            if not self._fired:
                self._callbacks[number] = callback
                return lambda: self._cancel(number)
        callback()
        return lambda: None

    def _cancel(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)

    def _wait(self, event: threading.Event) -> None:
        event.wait()
        with self._lock:
            self._fired = True
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("a callback failed while stopping")
