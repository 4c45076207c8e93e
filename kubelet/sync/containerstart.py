"""Create and start one container of a pod, and note the result in the pod's state."""

from __future__ import annotations

import logging
import time

from kubelet.container import config, env
from kubelet.container.fieldref import DownwardApi
from kubelet.model import podspec
from kubelet.model.backoff import after_retry
from kubelet.model.runtime import ContainerConfig, RuntimeContainer, RuntimeFailure, RuntimeImage
from kubelet.pod.state import PodState, ProbeResults, StartError, ended, ended_at
from kubelet.pod.status import crash_loop_message
from kubelet.probes.handlers import Outcome
from kubelet.sync.deps import Deps
from kubelet.sync.hooks import begin_hook
from kubelet.sync.imagepuller import ImagePuller, ImageRefused
from kubelet.sync.sandbox import SandboxStart
from machinery.errors import ApiError

log = logging.getLogger(__name__)

# Seconds to the next try. A config map that appears wakes the pod at once, other causes may be gone without a sign.
CONFIG_RETRY = 10.0
POST_START_TIMEOUT = 120.0


class ContainerStart:
    """Creates and starts containers, as StartContainer asks for."""

    def __init__(self, deps: Deps, images: ImagePuller, sandboxes: SandboxStart) -> None:
        self._deps = deps
        self._images = images
        self._sandboxes = sandboxes

    def start(self, state: PodState, name: str, attempt: int) -> RuntimeContainer | None:
        """Start a container. Return it as it is right after its start, None if it could not be created yet."""
        container, sandbox = podspec.container(state.pod, name), state.sandbox()
        if container is None or sandbox is None:
            return None
        prepared = self._prepared(state, container, sandbox, attempt)
        if prepared is None:
            return None
        try:
            container_id = self._deps.runtime.create_container(prepared)
        except RuntimeFailure as error:
            self._deps.images.changed()  # it may be the image that is gone
            self._failed(state, name, "CreateContainerError", str(error), CONFIG_RETRY)
            return None
        self._deps.events.container(state.pod, name, "Normal", "Created", f"Created container: {name}")
        return self._run(state, name, container_id)

    def attend(self, state: PodState, found: RuntimeContainer, recorded: ProbeResults | None = None) -> None:
        """Begin to probe a running container. ``recorded`` is what an earlier kubelet had written about it."""
        container = podspec.container(state.pod, found.name)
        if container is None:
            return
        verdict = recorded or ProbeResults()
        if "startupProbe" not in container:
            verdict.started = True
        state.verdicts[found.id] = verdict
        address = self._deps.address(state)
        self._deps.prober.watch(state.pod, container, found, address, started=bool(verdict.started))

    def post_start(self, state: PodState, found: RuntimeContainer) -> None:
        """Call the postStart hook in the background, if there is one."""
        done = lambda state, outcome: _post_start_done(state, found.id, outcome)  # noqa: E731
        if begin_hook(self._deps, state, found, "postStart", POST_START_TIMEOUT, done):
            state.post_start[found.id] = "running"

    def announce_crash_loop(self, state: PodState, name: str) -> None:
        message = crash_loop_message(state.pod, name, state.crash_backoffs[name].delay)
        log.info("Pod %s: %s", podspec.path(state.pod), message)
        state.errors[name] = StartError("CrashLoopBackOff", message, 0.0)
        text = f"Back-off restarting failed container {name} in pod {podspec.title(state.pod)}"
        self._deps.events.container(state.pod, name, "Warning", "BackOff", text)

    def _prepared(
        self, state: PodState, container: podspec.Spec, sandbox: RuntimeContainer, attempt: int
    ) -> ContainerConfig | None:
        name = container["name"]
        try:
            image = self._images.get(state, container)
            if image is None:
                return None
            if not self._deps.mounts.has_names(state.pod):  # an earlier kubelet was killed before it came to them
                self._sandboxes.complete(state.pod, sandbox)
            return self._configured(state, container, sandbox, attempt, image)
        except ImageRefused as error:
            self._failed(state, name, error.reason, str(error), CONFIG_RETRY, shown=error.reason)
        except (env.ConfigError, ApiError) as error:
            self._failed(state, name, "CreateContainerConfigError", str(error), CONFIG_RETRY)
        return None

    def _configured(
        self, state: PodState, container: podspec.Spec, sandbox: RuntimeContainer, attempt: int, image: RuntimeImage
    ) -> ContainerConfig:
        deps = self._deps
        downward = DownwardApi(state.pod, (deps.address(state),), deps.node.ip, deps.node.allocatable)
        sources = env.VariableSources(downward, deps.sources.lookup, deps.sources.services())
        variables = env.environment(sources, container)
        inputs = config.ContainerInputs(
            sandbox_id=sandbox.id,
            attempt=attempt,
            image=image,
            environment=variables,
            mounts=deps.mounts.of(state.pod, container, attempt, variables),
            node_memory=deps.node.memory,
            runtime=sandbox.runtime,
        )
        return config.container_config(state.pod, container, inputs)

    def _run(self, state: PodState, name: str, container_id: str) -> RuntimeContainer | None:
        before, deps = state.newest(name), self._deps
        if before is not None and ended(before):
            backoff = after_retry(state.crash_backoffs.get(name), ended_at(before), time.time())
            state.crash_backoffs[name] = backoff
        state.errors.pop(name, None)
        state.pulls.pop(name, None)
        try:
            deps.runtime.start(container_id)
        except RuntimeFailure as error:
            self._failed(state, name, "RunContainerError", f'failed to start container "{name}": {error}', 0.0)
        else:
            deps.events.container(state.pod, name, "Normal", "Started", f"Started container {name}")
            log.info("Pod %s: started container %s", podspec.path(state.pod), name)
        return deps.runtime.inspect(container_id)

    def _failed(self, state: PodState, name: str, reason: str, message: str, retry: float, *, shown: str = "") -> None:
        log.warning("Pod %s, container %s: %s: %s", podspec.path(state.pod), name, reason, message)
        self._deps.events.container(state.pod, name, "Warning", "Failed", f"Error: {shown or message}")
        state.errors[name] = StartError(reason, message, time.time() + retry)


def _post_start_done(state: PodState, container_id: str, outcome: Outcome) -> None:
    if container_id in state.containers:
        state.post_start[container_id] = "done" if outcome.success else outcome.message or "failed"
