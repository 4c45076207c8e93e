"""The machine-wide lock: one cluster a machine, since one set of KUBE chains, ports and routes is all there is.

The supervisor holds it for as long as it lives; the kernel lets go of it however the supervisor ends. The file stays
after a kill -9 and tells the next ``up`` that chains which it finds are ours. It names the boot that it belongs to,
since the kernel's tables are empty after the next one.
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
    """Who wrote the lock file last."""

    state: str
    id: str
    supervisor: Process


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LockHeld(Exception):
    """Another supervisor holds the lock."""


def acquire(state: str, cluster_id: str, path: Path = MACHINE_LOCK) -> IO[str]:
    """Take the lock for this process; the file must stay open for as long as it is to be held."""
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
    """Return the last owner, whether it still lives or not; None when no cluster of ours ran since the boot."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    if not text:
        return None  # between open and write
    facts = json.loads(text)
    if facts["boot"] != BOOT_ID.read_text().strip():
        return None
    return LockOwner(facts["state"], facts["id"], Process(facts["pid"], facts["start"]))


def holder(path: Path = MACHINE_LOCK) -> LockOwner | None:
    """Return the owner when its supervisor runs."""
    found = owner(path)
    return found if found and start_ticks(found.supervisor.pid) == found.supervisor.start else None


def forget(path: Path = MACHINE_LOCK) -> None:
    path.unlink(missing_ok=True)
