"""Stop a container: preStop hook, stop signal, SIGKILL. Each step is one action of the plan.

The kernel drops a signal to process 1 of a container that has no handler for it (yet). A container that is stopped in
its first moments would so miss its SIGTERM and live until SIGKILL, half a minute later by default. So the
signal is repeated as long as the container is young and has no handler (``is_heard``).
"""

from __future__ import annotations

import logging
import signal
import time
from pathlib import Path

from kubelet.model import podspec
from kubelet.model.runtime import RuntimeContainer
from kubelet.pod.state import PodState, Stop
from kubelet.sync.deps import Deps
from kubelet.sync.hooks import begin_hook
from machinery.digits import is_number

log = logging.getLogger(__name__)

# For YOUNG seconds after its start a container may still be about to install a handler for its stop signal.
YOUNG, REPEAT_AFTER = 10.0, 0.2
_RUNC = "runc:["  # what runc calls itself inside a container: runc:[2:INIT]


class ContainerStop:
    """Stops containers, as BeginStop, SendStopSignal and Kill ask for."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def begin(self, state: PodState, found: RuntimeContainer, message: str, grace: float) -> None:
        """Call the preStop hook in the background, if there is one and time for it. The signal is a step of its own."""
        stop = state.stops[found.id] = Stop(time.time(), grace)
        self._deps.prober.stop_restarting(found.id)
        self._deps.events.container(state.pod, found.name, "Normal", "Killing", message)
        log.info("Pod %s: %s", podspec.path(state.pod), message)
        done = lambda state, outcome: _pre_stop_done(state, found.id)  # noqa: E731
        if grace > 0 and begin_hook(self._deps, state, found, "preStop", grace, done):
            stop.hook = "running"

    def signal(self, state: PodState, container_id: str) -> None:
        """Send the stop signal, or repeat it if the container had no handler for it the last time."""
        found, stop, now = state.containers[container_id], state.stops[container_id], time.time()
        heard = is_heard(found.pid, found.stop_signal)
        if heard or stop.signalled is None:
            self._deps.runtime.signal(container_id, found.stop_signal)
        young = now - (found.started or now) < YOUNG
        stop.repeat_at = now + REPEAT_AFTER if young and not heard else None
        stop.signalled = stop.signalled or now

    def kill(self, state: PodState, container_id: str) -> None:
        self._deps.runtime.signal(container_id, "SIGKILL")
        state.stops[container_id].killed = True


def _pre_stop_done(state: PodState, container_id: str) -> None:
    if stop := state.stops.get(container_id):
        stop.hook = "done"


def is_heard(pid: int, name: str) -> bool:
    """Return True if a process has a handler for a signal (``SIGTERM``, ``TERM`` or ``15``).

    True also if that cannot be told: the process is gone, or this kernel has no such signal. False as long as the
    process is still runc, which takes every signal, but whose handlers end when it becomes the container's program.
    """
    try:
        number = int(name) if is_number(name) else signal.Signals["SIG" + name.upper().removeprefix("SIG")].value
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (KeyError, OSError):
        return True
    if lines[0].partition("\t")[2].startswith(_RUNC):
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "")
    return not caught or bool(int(caught, 16) >> (number - 1) & 1)
