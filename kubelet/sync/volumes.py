"""Set a pod's volumes up in the background, and note the result in its state."""

from __future__ import annotations

import logging
import time

from kubelet.container.fieldref import DownwardApi
from kubelet.model import podspec
from kubelet.pod.state import PodState
from kubelet.sync.deps import Deps
from kubelet.volumes.mounting import VolumeError
from kubelet.volumes.payload import Inputs
from machinery.objects import Object

log = logging.getLogger(__name__)

# Seconds: the next tries come after 0.5 s, 1 s, 2 s …, as those of upstream's operation executor.
FIRST_RETRY, LONGEST_RETRY = 0.5, 122.0


class VolumeSetup:
    """Sets volumes up and removes them, as MountVolumes and CleanVolumes ask for."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def begin(self, state: PodState) -> None:
        """Begin to set the volumes up, or to bring them up to date if they are mounted already."""
        pod, again = state.pod, state.volumes.phase == "mounted"
        if not pod["spec"].get("volumes"):
            state.volumes.phase, state.volumes.refresh_at = "mounted", None
            return
        if again:
            state.volumes.refresh_at = None
        else:
            state.volumes.phase = "mounting"
        self._deps.pool.submit(lambda: self._set_up(pod, again))

    def clean(self, state: PodState) -> None:
        try:
            self._deps.volumes.clean_up(state.uid)
        except (VolumeError, OSError) as error:
            log.error("Volumes of pod %s stay on the disk: %s", podspec.path(state.pod), error)
        state.volumes.phase, state.volumes.refresh_at = "unmounted", None

    def _set_up(self, pod: Object, again: bool) -> None:
        deps = self._deps
        downward = DownwardApi(pod, (), deps.node.ip, deps.node.allocatable)
        inputs = Inputs(downward, deps.sources.lookup, deps.volumes.tokens.get)
        try:
            refresh_at = deps.volumes.set_up(inputs)
        except Exception as error:
            if not isinstance(error, VolumeError):
                log.exception("Volumes of pod %s", podspec.path(pod))
            message = str(error)
            deps.events.pod(pod, "Warning", "FailedMount", message)
            deps.tell(podspec.uid(pod), lambda state: _failed(state, message, again))
        else:
            deps.tell(podspec.uid(pod), lambda state: _mounted(state, refresh_at))


def _mounted(state: PodState, refresh_at: float | None) -> None:
    volumes = state.volumes
    volumes.phase, volumes.message, volumes.attempts, volumes.refresh_at = "mounted", "", 0, refresh_at


def _failed(state: PodState, message: str, again: bool) -> None:
    """Note a failure. Volumes that are mounted stay as they are; each further try comes after a longer time."""
    volumes = state.volumes
    delay = min(FIRST_RETRY * 2.0**volumes.attempts, LONGEST_RETRY)
    volumes.attempts += 1
    volumes.message = message
    if again:
        volumes.refresh_at = time.time() + delay
    else:
        volumes.phase, volumes.retry_at = "failed", time.time() + delay
