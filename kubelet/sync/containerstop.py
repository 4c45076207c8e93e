"""A container's way out: preStop hook, stop signal, SIGKILL. Each step is one action of the plan."""

from __future__ import annotations

import logging
import time

from kubelet.model import podspec
from kubelet.model.runtime import Container
from kubelet.pod.state import PodState, Stop
from kubelet.probes import hooks
from kubelet.probes.handlers import Target
from kubelet.sync import signals
from kubelet.sync.deps import Deps

log = logging.getLogger(__name__)

# For so long after its start a container is taken to be still on its way to a handler for its stop signal.
YOUNG, REPEAT_AFTER = 10.0, 0.2


class ContainerStop:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def begin(self, state: PodState, found: Container, message: str, grace: float) -> None:
        """Calls the preStop hook in the background, or goes straight on to the signal."""
        stop = state.stops[found.id] = Stop(time.time(), grace)
        self._deps.prober.stop_restarting(found.id)
        self._deps.events.container(state.pod, found.name, "Normal", "Killing", message)
        log.info("Pod %s: %s", podspec.path(state.pod), message)
        container = podspec.container(state.pod, found.name) or {}
        hook = (container.get("lifecycle") or {}).get("preStop")
        if not hook or grace <= 0:
            self.signal(state, found.id)
            return
        stop.hook = "running"
        deps, pod, name = self._deps, state.pod, found.name
        target = Target(found.id, deps.address(state), container)

        def call() -> None:
            outcome = hooks.run(deps.runtime, target, hook, grace)
            if not outcome.success:
                log.warning("preStop hook of %s in %s: %s", name, podspec.path(pod), outcome.message)
                deps.events.container(pod, name, "Warning", "FailedPreStopHook", "PreStopHook failed")
            deps.tell(podspec.uid(pod), lambda state: _pre_stop_done(state, found.id))

        deps.pool.submit(call)

    def signal(self, state: PodState, container_id: str) -> None:
        """Again, if it was so young that it had no handler for the signal yet (see signals.py)."""
        found, stop, now = state.containers[container_id], state.stops[container_id], time.time()
        heard = signals.is_heard(found.pid, found.stop_signal)
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
