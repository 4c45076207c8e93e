"""Measure memory (MB) and idle processor use (per cent of one core) of a cluster's processes, from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

IDLE_SECONDS = 10.0
TICKS = os.sysconf("SC_CLK_TCK")


def family(roots: Iterable[int]) -> set[int]:
    """Return the ids of the given processes that run, and of all their descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = stat_fields(int(stat.parent.name))
        if fields:
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found and stat_fields(pid):
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command's name (state, ppid, …), empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def pss_megabytes(pids: Iterable[int]) -> float:
    """Return the proportional set size in MB: the size of a shared page is divided among those who share it."""
    total = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def idle_percent(pids: set[int]) -> float:
    """Return the per cent of one core that the processes use in IDLE_SECONDS without any request."""
    before = sum(map(cpu_ticks, pids))
    time.sleep(IDLE_SECONDS)  # the measurement itself
    return (sum(map(cpu_ticks, pids)) - before) / TICKS / IDLE_SECONDS * 100


def cpu_ticks(pid: int) -> int:
    """Return a process's user and system time in clock ticks; 0 if it has ended."""
    fields = stat_fields(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0
