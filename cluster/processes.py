"""Processes as the kernel shows them in /proc: who is alive, since when, whose it is, how much memory it has.

A process is known by its id *and* its start time: an id alone may be another process after a reboot or a day.
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
    """When the process started, None when there is none or it is a zombie."""
    fields = proc.stat(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def is_alive(process: Process) -> bool:
    return start_ticks(process.pid) == process.start


def started_at(process: Process) -> float:
    """Return seconds since the epoch."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot + process.start / os.sysconf("SC_CLK_TCK")


def all_pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def marked() -> dict[Process, str]:
    """Return every process of any cluster of ours, with the state directory that its environment names.

    What runs in a container of its own, with process ids of its own, is another machine's as far as we go.
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
    """Return the processes themselves and all below them."""
    parents = {pid: int(fields[1]) for pid in all_pids() if (fields := proc.stat(pid)) is not None}
    family = set(pids)
    while True:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        if not more:
            return family
        family |= more


def wait_gone(process: Process, seconds: float) -> bool:
    """Wait for the process to end; it need not be a child."""
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
    """A signal to this very process, never to a later one with its id."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def end(group: Iterable[Process], *, seconds: float = 5) -> None:
    """SIGTERM, and SIGKILL for those that are still there after the time."""
    group = list(group)
    for process in group:
        send(process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for process in group:
        if not wait_gone(process, max(0.0, deadline - time.monotonic())):
            send(process, signal.SIGKILL)
            wait_gone(process, 5)
