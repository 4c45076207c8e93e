"""Find and remove what an earlier cluster of ours left behind: processes, containers, KUBE chains, mounts.

Ours are processes with our variable in their environment, containers with our label, chains if the machine's lock file
exists, and mounts below a state directory. Everything else belongs to others and is left alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cluster import lock
from cluster.docker import Engine
from cluster.errors import ClusterError
from cluster.processes import end, marked
from cluster.settings import CLUSTER_LABEL, REPOSITORY, SERVICE_CIDR, State


class CleanupFailed(ClusterError):
    """Something of an earlier cluster cannot be removed; the text says what."""


def end_processes(state: str | None = None) -> int:
    """End the processes of one state directory, or of any; return their number."""
    found = [process for process, where in marked().items() if state is None or where == state]
    end(found)
    return len(found)


def containers(engine: Engine) -> list[dict[str, Any]]:
    return engine.containers(CLUSTER_LABEL)


def remove_containers(engine: Engine, *, keep: str = "", only: str = "") -> int:
    """Remove our containers, except those of the cluster ``keep``, or only those of the cluster ``only``.

    Return their number.
    """
    found = [
        container["Id"]
        for container in containers(engine)
        if (owner := container["Labels"][CLUSTER_LABEL]) != keep and (not only or owner == only)
    ]
    # Each takes a tenth of a second, so several are removed at a time.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(engine.remove_container, found))
    return len(found)


def remove_rules() -> None:
    """Remove every KUBE chain, the route to the Service range and the device that it leads to."""
    command = [sys.executable, "-m", "proxy", "--cleanup", f"--service-cidr={SERVICE_CIDR}"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CleanupFailed(f"python -m proxy --cleanup failed: {result.stderr.strip()}")


def unmount_below(folder: Path) -> int:
    """Unmount everything below a folder (emptyDirs in memory, projected tokens), the deepest first."""
    # Field 5 of mountinfo is the mount point, with spaces written as \040.
    points = [line.split()[4].replace("\\040", " ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = sorted((point for point in points if point.startswith(f"{folder}/")), key=len, reverse=True)
    for point in below:
        result = subprocess.run(["umount", "--lazy", point], capture_output=True, text=True, check=False)
        # A mount that is gone by now, or is hidden by another one, does no harm.
        if result.returncode != 0 and os.path.ismount(point):
            raise CleanupFailed(f"{result.stderr.strip()}. Unmount {point} by hand, then try again")
    return len(below)


def clear(state: State, cluster_id: str, engine: Engine) -> list[str]:
    """Remove what would prevent a start, while no supervisor runs; return what was removed, for the user.

    Containers of this cluster stay, and the kubelet uses them again.
    """
    cleared = []
    if count := end_processes():
        cleared.append(f"{count} processes ended")
    if count := remove_containers(engine, keep=cluster_id):
        cleared.append(f"{count} containers of an earlier cluster removed")
    last = lock.owner()
    if last is not None and last.id != cluster_id:
        remove_rules()
        cleared.append("KUBE chains of an earlier cluster removed")
    return cleared
