"""Whether a process would hear a signal.

The kernel drops a signal to process 1 of a container for which that process has no handler (yet). A container that is
told to stop in its first moments would so miss its SIGTERM and live until SIGKILL, half a minute later by default.

The very first of them belong to runc, which takes every signal, and whose handlers go when it becomes the container's
program.
"""

from __future__ import annotations

import signal
from pathlib import Path

_RUNC = "runc:["  # what it calls itself inside a container: runc:[2:INIT]


def is_heard(pid: int, name: str) -> bool:
    """True also when it cannot be told: the process is gone, or the signal is one without a number here."""
    try:
        number = int(name) if name.isdigit() else signal.Signals["SIG" + name.upper().removeprefix("SIG")].value
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (KeyError, OSError):
        return True
    if lines[0].partition("\t")[2].startswith(_RUNC):
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "")
    return not caught or bool(int(caught, 16) >> (number - 1) & 1)
