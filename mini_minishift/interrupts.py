"""Signals to end that arrive before the server serves, and knows itself how to end."""

from __future__ import annotations

import signal
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupts:
    """Each signal raises KeyboardInterrupt, and is remembered too: where one lands in a destructor or in a callback
    from C, as importing brings about, Python prints the exception and goes on."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """From the main thread."""
        for number in ENDING:
            signal.signal(number, self._raise)

    def check(self) -> None:
        """Raises KeyboardInterrupt if one has been lost."""
        if self.asked:
            raise KeyboardInterrupt

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt
