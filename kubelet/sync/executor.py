"""Carries out what the plan decided, one action at a time.

Each part notes in the pod's state what came of it; what takes long is begun in a pool and reports back later. Nothing
is decided here: that is plan.py's.
"""

from __future__ import annotations

import logging

from kubelet.model import podspec
from kubelet.model.runtime import Container
from kubelet.pod import actions
from kubelet.pod.actions import Action
from kubelet.pod.state import PodState, Verdict
from kubelet.sync.containerstart import ContainerStart
from kubelet.sync.containerstop import ContainerStop
from kubelet.sync.deps import Deps
from kubelet.sync.imagepuller import ImageSupply
from kubelet.sync.sandbox import SandboxStart
from kubelet.sync.volumes import VolumeSetup

log = logging.getLogger(__name__)


class Executor:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._volumes = VolumeSetup(deps)
        self._images = ImageSupply(deps)
        self._sandboxes = SandboxStart(deps)
        self._starts = ContainerStart(deps, self._images, self._sandboxes)
        self._stops = ContainerStop(deps)

    def execute(self, state: PodState, action: Action) -> None:
        log.debug("Pod %s: %s", podspec.path(state.pod), action)
        match action:
            case actions.MountVolumes():
                self._volumes.begin(state)
            case actions.CleanVolumes():
                self._volumes.clean(state)
            case actions.CreateSandbox(attempt):
                if found := self._sandboxes.create(state, attempt):
                    self.see(state, found)
            case actions.StartContainer(name, attempt):
                self._start(state, name, attempt)
            case actions.BeginStop(id, _, message, grace):
                self._stops.begin(state, state.containers[id], message, grace)
            case actions.SendStopSignal(id):
                self._stops.signal(state, id)
            case actions.Kill(id):
                self._stops.kill(state, id)
            case actions.Remove(id):
                self._remove(state, id)
            case actions.AnnounceBackOff(name):
                self._images.announce_back_off(state, name)
            case actions.AnnounceCrashLoop(name):
                self._starts.announce_crash_loop(state, name)
            case actions.FailPod(reason, message):
                self._deps.events.pod(state.pod, "Normal", reason, message)
            case actions.Finish() | actions.Forget():
                raise AssertionError(f"{action} is the worker's own")

    def _start(self, state: PodState, name: str, attempt: int) -> None:
        found = self._starts.start(state, name, attempt)
        if found is None:
            return
        self.see(state, found)
        if found.running:
            self._starts.attend(state, found)
            self._starts.post_start(state, found)

    def _remove(self, state: PodState, container_id: str) -> None:
        self._deps.prober.forget(container_id)
        self._deps.runtime.remove(container_id)
        state.forget_container(container_id)

    # What the worker sees

    def look(self, state: PodState, container_id: str) -> None:
        """Asks the runtime about a container anew."""
        found = self._deps.runtime.inspect(container_id)
        if found is None:
            self.lose(state, container_id)
        else:
            self.see(state, found)

    def lose(self, state: PodState, container_id: str) -> None:
        """The runtime does not know it any more."""
        self._deps.prober.forget(container_id)
        state.forget_container(container_id)

    def see(self, state: PodState, found: Container) -> None:
        """Take in what the runtime says of a container.

        When it has ended, its probes stop and its termination message is read.
        """
        if not state.see(found):
            return
        self._deps.prober.forget(found.id)
        if found.sandbox:
            log.warning("Pod %s: its sandbox has ended", podspec.path(state.pod))
            return
        state.messages[found.id] = self._termination_message(state, found)
        log.info("Pod %s: container %s ended with %d", podspec.path(state.pod), found.name, found.exit_code)

    def attend(self, state: PodState, found: Container, recorded: Verdict) -> None:
        """Probes a container that an earlier kubelet had started."""
        self._starts.attend(state, found, recorded)

    def _termination_message(self, state: PodState, found: Container) -> str:
        """The termination message: what the container wrote to its file, or the end of its log if it asked for that."""
        container = podspec.container(state.pod, found.name)
        if container is None:
            return ""
        words = self._deps.mounts.termination_message(state.pod, container, found.attempt)
        if not words and found.exit_code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            words = self._deps.runtime.log_tail(found.id, 80, 2048)
        return words
