"""The lock of the machine: it can run one cluster only, because it has one set of KUBE chains, ports and routes.

The supervisor holds the lock as long as it runs; the kernel releases it however the supervisor ends. After a kill -9
the file stays, and tells the next ``up`` that the chains which it finds are ours. The file names the boot in which it
was written, because the kernel's tables are empty after the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO, NamedTuple

from cluster.processes import Process, start_ticks
from cluster.settings import MACHINE_LOCK


class LockOwner(NamedTuple):
    """The cluster whose supervisor wrote the lock file last."""

    state: str
    id: str
    supervisor: Process


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LockHeld(Exception):
    """Another supervisor holds the lock."""


def acquire(state: str, cluster_id: str, path: Path = MACHINE_LOCK) -> IO[str]:
    """Take the lock for this process and return its file, which must stay open. Raises LockHeld."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise LockHeld(f"another supervisor holds {path}") from error
    file.seek(0)
    file.truncate()
    pid = os.getpid()
    boot = BOOT_ID.read_text().strip()
    json.dump({"state": state, "id": cluster_id, "boot": boot, "pid": pid, "start": start_ticks(pid)}, file)
    file.flush()
    return file


def owner(path: Path = MACHINE_LOCK) -> LockOwner | None:
    """Return the last owner, whether it still runs or not; None if no cluster of ours has run since the boot."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    if not text:
        return None  # A supervisor has opened the file and not written it yet.
    facts = json.loads(text)
    if facts["boot"] != BOOT_ID.read_text().strip():
        return None
    return LockOwner(facts["state"], facts["id"], Process(facts["pid"], facts["start"]))


def holder(path: Path = MACHINE_LOCK) -> LockOwner | None:
    """Return the owner if its supervisor runs, otherwise None."""
    found = owner(path)
    return found if found and start_ticks(found.supervisor.pid) == found.supervisor.start else None


def forget(path: Path = MACHINE_LOCK) -> None:
    path.unlink(missing_ok=True)
