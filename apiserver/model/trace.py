"""What the request of a thread has spent its time on; the log of slow requests prints it (see api/requestlog.py).

The store, the watch cache and others who make a request wait call ``spent`` wherever they are; they do not need to know
the request. A request is handled by one thread from ``begin`` to ``end``, so a thread-local list is enough.
"""

from __future__ import annotations

import threading
import time

Steps = list[tuple[str, float]]  # (what the time was spent on, seconds)

_current = threading.local()


def begin() -> Steps:
    """Start collecting the steps of this thread's request; return the list, which grows with each call of ``spent``."""
    steps: Steps = []
    _current.steps = steps
    return steps


def end() -> None:
    """Stop collecting: what this thread does from now on is not part of the request."""
    _current.steps = None


def spent(on: str, since: float) -> None:
    """Add a step that began at ``since`` (a value of ``time.perf_counter``) and ends now.

    Does nothing in a thread that handles no request, such as the watch cache's own.
    """
    steps: Steps | None = getattr(_current, "steps", None)
    if steps is not None:
        steps.append((on, time.perf_counter() - since))
