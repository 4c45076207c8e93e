"""Creates and starts a pod's sandbox: the container that holds its network."""

from __future__ import annotations

import logging
import time

from kubelet.container import config
from kubelet.model import podspec
from kubelet.model.runtime import Container, RuntimeFailure
from kubelet.pod.state import PodState, StartError
from kubelet.sync import hairpin
from kubelet.sync.deps import Deps
from machinery.errors import ApiError
from machinery.objects import Object

log = logging.getLogger(__name__)

# A host port may still be taken by a pod that is about to go, so the first tries come quickly.
FIRST_RETRY, LONGEST_RETRY = 0.5, 10.0


class SandboxStart:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def create(self, state: PodState, attempt: int) -> Container | None:
        """The running sandbox; None when there is none, which is then noted."""
        pod, events = state.pod, self._deps.events
        if attempt > 0:
            events.pod(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        try:
            found = self._start(pod, attempt)
        except (RuntimeFailure, OSError, ApiError) as error:
            log.warning("Sandbox of pod %s: %s", podspec.path(pod), error)
            events.pod(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            delay = min(FIRST_RETRY * 2.0**state.sandbox_failures, LONGEST_RETRY)
            state.sandbox_failures += 1
            state.sandbox_error = StartError("FailedCreatePodSandBox", str(error), time.time() + delay)
            return None
        state.sandbox_error, state.sandbox_failures = None, 0
        return found

    def _start(self, pod: Object, attempt: int) -> Container:
        deps = self._deps
        runtime_class = pod["spec"].get("runtimeClassName")
        runtime = deps.sources.runtime_handler(runtime_class) if runtime_class else ""
        plan = config.sandbox_plan(pod, attempt, deps.sandbox_image, deps.mounts.dns, runtime)
        sandbox_id = deps.runtime.create_sandbox(plan)
        try:
            deps.runtime.start(sandbox_id)
            found = deps.runtime.inspect(sandbox_id)
            if found is None or not found.running:
                raise RuntimeFailure("the sandbox container ended at once; look at the image given as sandbox")
            self.complete(pod, found)
        except (RuntimeFailure, OSError):
            deps.runtime.remove(sandbox_id)
            raise
        return found

    def complete(self, pod: Object, sandbox: Container) -> None:
        """What a running sandbox needs before its pod's containers start; the names are written last."""
        if not podspec.is_host_network(pod):
            hairpin.enable(sandbox.pid)
        self._deps.mounts.write_names(pod, sandbox.ip)
