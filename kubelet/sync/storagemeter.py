"""Measure in the background what a pod uses of the node's disk."""

from __future__ import annotations

import logging
import subprocess
import time
from math import inf
from pathlib import Path

from kubelet.model import podspec
from kubelet.model.runtime import RuntimeFailure, RuntimeUnavailable
from kubelet.pod.state import PodState
from kubelet.pod.storage import StorageUsage, disk_volumes
from kubelet.sync.deps import Deps
from machinery.objects import Object

log = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds, as upstream's eviction monitor
_TIMEOUT = 60.0


class StorageMeter:
    """Measures as MeasureStorage asks for; the plan looks at the result."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def begin(self, state: PodState) -> None:
        pod, containers = state.pod, {c.id: c.name for c in state.apps()}
        state.storage_due = inf
        self._deps.pool.submit(lambda: self._measure(pod, containers))

    def _measure(self, pod: Object, containers: dict[str, str]) -> None:
        usage = None
        try:
            volumes = {name: disk_usage(self._deps.volumes.host_path(pod, name)) for name in disk_volumes(pod)}
            layers: dict[str, int] = {}
            for container_id, name in containers.items():
                layers[name] = layers.get(name, 0) + self._deps.runtime.storage(container_id)
            usage = StorageUsage(volumes, layers)
        except (OSError, subprocess.SubprocessError, RuntimeFailure, RuntimeUnavailable) as error:
            log.warning("Pod %s: its use of the disk cannot be measured: %s", podspec.path(pod), error)
        self._deps.tell(podspec.uid(pod), lambda state: _measured(state, usage))


def _measured(state: PodState, usage: StorageUsage | None) -> None:
    state.storage = usage or state.storage
    state.storage_due = time.time() + INTERVAL


def disk_usage(folder: Path) -> int:
    """Return the bytes that a directory tree takes on its own file system. Raises OSError or SubprocessError.

    ``du`` follows no symbolic link, and copes with whatever depth a container has nested.
    """
    command = ["nice", "-n", "19", "du", "--summarize", "--one-file-system", "--block-size=1", "--", str(folder)]
    # Files may go while it counts, which du reports as a failure beside its result.
    done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False)
    number = done.stdout.partition(b"\t")[0]
    if not number.isdigit():
        raise OSError(f"du: {done.stderr.decode(errors='replace').strip() or 'no answer'}")
    return int(number)
