"""Signals to end that arrive before the server serves, or while the command removes what it made."""

from __future__ import annotations

import signal
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupts:
    """Raise KeyboardInterrupt at each signal, and remember it.

    A signal that arrives in a destructor or in a callback from C, as they happen while modules are imported, is
    otherwise lost: Python prints the exception and goes on.
    """

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Begin; this must be called in the main thread."""
        for number in ENDING:
            signal.signal(number, self._raise)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has arrived."""
        if self.asked:
            raise KeyboardInterrupt

    @staticmethod
    def ignore() -> None:
        """Let no signal interrupt what follows: a second Ctrl-C must not end the removal of files halfway."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt
