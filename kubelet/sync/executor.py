"""Carry out the actions of a plan, one at a time. This is the one place that knows what each action does.

An action notes in the pod's state what came of it. What takes long (a pull, a hook, setting up volumes) is only begun
here, in a pool, and reports back through ``PodStates.tell``. Nothing is decided here: plan.py decides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from kubelet.model import podspec
from kubelet.model.runtime import RuntimeContainer
from kubelet.pod import actions
from kubelet.pod.actions import Action
from kubelet.pod.state import Failure, PodState, ProbeResults
from kubelet.pod.status import status
from kubelet.sync.containerstart import ContainerStart
from kubelet.sync.containerstop import ContainerStop
from kubelet.sync.deps import Deps
from kubelet.sync.imagepuller import ImagePuller
from kubelet.sync.limiter import Starts
from kubelet.sync.podstates import PodStates
from kubelet.sync.sandbox import SandboxStart
from kubelet.sync.statusmanager import StatusManager
from kubelet.sync.storagemeter import StorageMeter
from kubelet.sync.volumes import VolumeSetup
from machinery.objects import Object

log = logging.getLogger(__name__)

# How long, in seconds, the removal of a container of a pod that is gone waits for starts that are going on.
REMOVAL_DELAY = 2.0


class Executor:
    """Carries out actions. Called by the pod's worker only, so that a state is never changed by two threads."""

    def __init__(self, deps: Deps, states: PodStates, statuses: StatusManager) -> None:
        self._deps = deps
        self._states = states
        self._statuses = statuses
        self._volumes = VolumeSetup(deps)
        self._storage = StorageMeter(deps)
        self._images = ImagePuller(deps)
        self._sandboxes = SandboxStart(deps)
        self._container_start = ContainerStart(deps, self._images, self._sandboxes)
        self._container_stop = ContainerStop(deps)
        self._starts = Starts()

    def execute(self, state: PodState, action: Action) -> None:
        log.debug("Pod %s: %s", podspec.path(state.pod), action)
        match action:
            case actions.MountVolumes():
                self._volumes.begin(state)
            case actions.CleanVolumes():
                self._volumes.clean(state)
            case actions.CreateSandbox(attempt):
                with self._starts.going_on():
                    if found := self._sandboxes.create(state, attempt):
                        self._take_in(state, found)
            case actions.StartContainer(name, attempt):
                with self._starts.going_on():
                    self._start(state, name, attempt)
            case actions.BeginStop(id, _, message, grace):
                self._container_stop.begin(state, state.containers[id], message, grace)
            case actions.SendStopSignal(id):
                self._container_stop.signal(state, id)
            case actions.Kill(id):
                self._container_stop.kill(state, id)
            case actions.Remove(id):
                self._remove(state, id)
            case actions.AnnounceBackOff(name):
                self._images.announce_back_off(state, name)
            case actions.AnnounceCrashLoop(name):
                self._container_start.announce_crash_loop(state, name)
            case actions.FailPod(reason, message, event_type, grace):
                state.failure = Failure(reason, message, grace=grace)
                self._deps.events.pod(state.pod, event_type, reason, message)
            case actions.MeasureStorage():
                self._storage.begin(state)
            case actions.Finish():
                state.finishing = True
                self.publish(state)
                self._statuses.finish(state.uid)
            case actions.Forget():
                self._statuses.forget(state.uid)
                self._states.forget(state.uid)

    def publish(self, state: PodState) -> None:
        """Hand the pod's status to the status manager, unless the API server has let the pod go."""
        if not state.gone and not state.released:
            self._statuses.publish(state.uid, status(state, self._deps.node.ip, time.time()))

    def look(self, state: PodState, container_ids: Iterable[str]) -> None:
        """Ask the runtime about these containers, and begin to probe what runs and is not probed yet.

        Each container is inspected anew, because a list of the runtime may be out of date when it arrives.
        """
        for container_id in dict.fromkeys(container_ids):
            found = self._deps.runtime.inspect(container_id)
            if found is None:
                self._forget(state, container_id)
            else:
                self._take_in(state, found)
        for found in state.apps():
            if found.running and found.id not in state.verdicts:
                self._container_start.attend(state, found, _recorded_verdict(state.pod, found))

    def _start(self, state: PodState, name: str, attempt: int) -> None:
        found = self._container_start.start(state, name, attempt)
        if found is None:
            return
        self._take_in(state, found)
        if found.running:
            self._container_start.attend(state, found)
            self._container_start.post_start(state, found)

    def _remove(self, state: PodState, container_id: str) -> None:
        if state.gone or state.released:
            self._starts.wait(REMOVAL_DELAY)
        elif state.containers[container_id].running:
            self.publish(state)  # the status says that the pod has ended before its address is free for another pod
        self._deps.runtime.remove(container_id)
        self._forget(state, container_id)

    def _forget(self, state: PodState, container_id: str) -> None:
        self._deps.prober.forget(container_id)
        state.forget_container(container_id)

    def _take_in(self, state: PodState, found: RuntimeContainer) -> None:
        """Note what the runtime says of a container. If it has ended, stop its probes and read its last message."""
        if not state.see(found):
            return
        self._deps.prober.forget(found.id)
        if found.sandbox:
            log.warning("Pod %s: its sandbox has ended", podspec.path(state.pod))
            return
        state.messages[found.id] = self._termination_message(state, found)
        log.info("Pod %s: container %s ended with %d", podspec.path(state.pod), found.name, found.exit_code)

    def _termination_message(self, state: PodState, found: RuntimeContainer) -> str:
        """Return what the container wrote to its message file, or the end of its log if the pod asks for that."""
        container = podspec.container(state.pod, found.name)
        if container is None:
            return ""
        message = self._deps.mounts.termination_message(state.pod, container, found.attempt)
        fallback = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not message and found.exit_code != 0 and fallback:
            message = self._deps.runtime.log_tail(found.id, 80, 2048)
        return message


def _recorded_verdict(pod: Object, found: RuntimeContainer) -> ProbeResults:
    """Return what an earlier kubelet had written into the status: it holds until this one's own probes answer."""
    for row in podspec.container_statuses(pod):
        if row.get("containerID") == f"docker://{found.id}":
            return ProbeResults(started=row.get("started") or None, ready=row.get("ready"))
    return ProbeResults()
