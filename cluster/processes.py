"""Find processes in /proc, see whether they run, and end them.

A process is identified by its id *and* its start time, because the id may belong to another process later.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cluster.settings import STATE_VARIABLE
from machinery import proc

PROC = Path("/proc")


class Process(NamedTuple):
    pid: int
    start: int  # clock ticks after boot


def start_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks after boot; None if there is none, or it is a zombie."""
    fields = proc.stat(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def is_alive(process: Process) -> bool:
    return start_ticks(process.pid) == process.start


def started_at(process: Process) -> float:
    """Return when the process started, in seconds since the epoch."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot + process.start / os.sysconf("SC_CLK_TCK")


def all_pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def marked() -> dict[Process, str]:
    """Return all processes of clusters of ours, each with the state directory that its environment names.

    Processes in containers with their own process ids are left out: they belong to what runs there.
    """
    found = {}
    prefix = f"{STATE_VARIABLE}=".encode()
    ours = (PROC / "self" / "ns" / "pid").readlink()
    for pid in all_pids():
        try:
            if (PROC / str(pid) / "ns" / "pid").readlink() != ours:
                continue
            environment = (PROC / str(pid) / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        for entry in environment.split(b"\0"):
            if entry.startswith(prefix):
                start = start_ticks(pid)
                if start is not None:
                    found[Process(pid, start)] = os.fsdecode(entry[len(prefix) :])
    return found


def children_of(pids: Iterable[int]) -> set[int]:
    """Return the processes themselves and all their descendants."""
    parents = {pid: int(fields[1]) for pid in all_pids() if (fields := proc.stat(pid)) is not None}
    family = set(pids)
    while True:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        if not more:
            return family
        family |= more


def wait_gone(process: Process, seconds: float) -> bool:
    """Wait until the process, which need not be a child, has ended; return False if it has not in time."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(process):
            return True
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to this process, and never to a later one with its id."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def end(group: Iterable[Process], *, seconds: float = 5) -> None:
    """Send SIGTERM to all, and SIGKILL to those that have not ended after ``seconds``."""
    group = list(group)
    for process in group:
        send(process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for process in group:
        if not wait_gone(process, max(0.0, deadline - time.monotonic())):
            send(process, signal.SIGKILL)
            wait_gone(process, 5)
