"""Handle signals that arrive before the server serves, or while the command removes its files."""

from __future__ import annotations

import signal
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupts:
    """Raises KeyboardInterrupt at each signal, and remembers it.

    A signal that arrives in a destructor or in a callback from C, as they run while modules are imported, would be lost
    otherwise: Python prints the exception and goes on.
    """

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Begin to handle signals; this must be called in the main thread."""
        for number in ENDING:
            signal.signal(number, self._raise)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has arrived."""
        if self.asked:
            raise KeyboardInterrupt

    @staticmethod
    def ignore() -> None:
        """Ignore all further signals, so that a second Ctrl-C does not interrupt the removal of files."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt
