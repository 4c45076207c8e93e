"""Creates and starts one container of a pod, and notes in the pod's state what came of it."""

from __future__ import annotations

import logging
import time

from kubelet.container import config, env
from kubelet.model import podspec
from kubelet.model.backoff import after_retry
from kubelet.model.runtime import Container, ContainerPlan, Image, RuntimeFailure
from kubelet.pod.state import PodState, StartError, Verdict, ended, ended_at
from kubelet.pod.status import crash_loop_message
from kubelet.probes import hooks
from kubelet.probes.handlers import Outcome, Target
from kubelet.sync.deps import Deps
from kubelet.sync.imagepuller import ImagePuller, ImageRefused
from kubelet.sync.sandbox import SandboxStart
from machinery.errors import ApiError

log = logging.getLogger(__name__)

# A config map that appears wakes the pod at once; this is for all else that may have been put right.
CONFIG_RETRY = 10.0


class ContainerStart:
    def __init__(self, deps: Deps, images: ImagePuller, sandboxes: SandboxStart) -> None:
        self._deps = deps
        self._images = images
        self._sandboxes = sandboxes

    def start(self, state: PodState, name: str, attempt: int) -> Container | None:
        """The container, as it is right after its start; None when it did not come to that."""
        container, sandbox = podspec.container(state.pod, name), state.sandbox()
        if container is None or sandbox is None:
            return None
        plan = self._planned(state, container, sandbox, attempt)
        if plan is None:
            return None
        try:
            container_id = self._deps.runtime.create_container(plan)
        except RuntimeFailure as error:
            self._deps.images.changed()  # it may be the image that is gone
            self._failed(state, name, "CreateContainerError", str(error), CONFIG_RETRY)
            return None
        self._deps.events.container(state.pod, name, "Normal", "Created", f"Created container: {name}")
        return self._run(state, name, container_id)

    def attend(self, state: PodState, found: Container, recorded: Verdict | None = None) -> None:
        """Begins to probe a running container; ``recorded``: what an earlier kubelet had found out about it."""
        container = podspec.container(state.pod, found.name)
        if container is None:
            return
        verdict = recorded or Verdict()
        if "startupProbe" not in container:
            verdict.started = True
        state.verdicts[found.id] = verdict
        address = self._deps.address(state)
        self._deps.prober.watch(state.pod, container, found, address, started=bool(verdict.started))

    def post_start(self, state: PodState, found: Container) -> None:
        """Calls the postStart hook, if there is one, in the background."""
        container = podspec.container(state.pod, found.name) or {}
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        deps, pod, name = self._deps, state.pod, found.name
        target = Target(found.id, deps.address(state), container)
        state.post_start[found.id] = "running"

        def call() -> None:
            outcome = hooks.run(deps.runtime, target, hook, hooks.POST_START_TIMEOUT)
            if not outcome.success:
                log.warning("postStart hook of %s in %s: %s", name, podspec.path(pod), outcome.message)
                deps.events.container(pod, name, "Warning", "FailedPostStartHook", "PostStartHook failed")
            deps.tell(podspec.uid(pod), lambda state: _post_start_done(state, found.id, outcome))

        deps.pool.submit(call)

    def announce_crash_loop(self, state: PodState, name: str) -> None:
        message = crash_loop_message(state.pod, name, state.crash_backoffs[name].delay)
        log.info("Pod %s: %s", podspec.path(state.pod), message)
        state.errors[name] = StartError("CrashLoopBackOff", message, 0.0)
        text = f"Back-off restarting failed container {name} in pod {podspec.title(state.pod)}"
        self._deps.events.container(state.pod, name, "Warning", "BackOff", text)

    def _planned(
        self, state: PodState, container: podspec.Spec, sandbox: Container, attempt: int
    ) -> ContainerPlan | None:
        name = container["name"]
        try:
            image = self._images.get(state, container)
            if image is None:
                return None
            if not self._deps.mounts.has_names(state.pod):  # an earlier kubelet was killed before it came to them
                self._sandboxes.complete(state.pod, sandbox)
            return self._plan(state, container, sandbox, attempt, image)
        except ImageRefused as error:
            self._failed(state, name, error.reason, str(error), CONFIG_RETRY, shown=error.reason)
        except (env.ConfigError, ApiError) as error:
            self._failed(state, name, "CreateContainerConfigError", str(error), CONFIG_RETRY)
        return None

    def _plan(
        self, state: PodState, container: podspec.Spec, sandbox: Container, attempt: int, image: Image
    ) -> ContainerPlan:
        deps = self._deps
        context = env.Context(
            pod=state.pod,
            lookup=deps.sources.lookup,
            services=deps.sources.services(),
            addresses=(deps.address(state),),
            host_ip=deps.node.ip,
            allocatable=deps.node.allocatable,
        )
        variables = env.environment(context, container)
        around = config.Surroundings(
            sandbox_id=sandbox.id,
            attempt=attempt,
            image=image,
            environment=variables,
            mounts=deps.mounts.of(state.pod, container, attempt, variables),
            node_memory=deps.node.memory,
            runtime=sandbox.runtime,
        )
        return config.container_plan(state.pod, container, around)

    def _run(self, state: PodState, name: str, container_id: str) -> Container | None:
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
