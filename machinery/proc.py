"""Read from /proc what the kernel knows of a process."""

from __future__ import annotations

from pathlib import Path


def stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on, None if there is no such process.

    The command's name before them is skipped, because it may contain spaces and brackets.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def memory(pid: int) -> int:
    """Return the proportional set size in bytes: a page that n processes share counts as 1/n; 0 for no such process."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
