"""Carries out what the plan decided, one action at a time, and notes in the pod's state what came of it.

What takes long is begun in a pool and reports back through ``tell``, which hands a change of the state to the pod's
worker. Nothing is decided here but how to name what went wrong.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from kubelet import env, hairpin, hooks, imagenames, pods, signals, spec
from kubelet import plan as actions
from kubelet.backoff import after_retry
from kubelet.handlers import Outcome, Target
from kubelet.images import Images, credentials
from kubelet.mounts import Mounts
from kubelet.plan import Action
from kubelet.podevents import PodEvents
from kubelet.pool import Pool
from kubelet.prober import Prober
from kubelet.runtime.protocol import (
    Container,
    ContainerPlan,
    ContainerRuntime,
    Image,
    RuntimeFailure,
    RuntimeUnavailable,
)
from kubelet.sources import Sources
from kubelet.state import PodState, Pull, StartError, Stop, Verdict, ended, ended_at
from kubelet.status import crash_loop_message
from kubelet.volumes.errors import VolumeError
from kubelet.volumes.manager import VolumeManager
from kubelet.volumes.payload import Inputs
from machinery.errors import ApiError
from machinery.objects import Object

log = logging.getLogger(__name__)

Change = Callable[[PodState], None]
Tell = Callable[[str, Change], None]

# A host port may still be taken by a pod that is about to go, so the first tries come quickly.
FIRST_SANDBOX_RETRY, LONGEST_SANDBOX_RETRY = 0.5, 10.0
CONFIG_RETRY = 10.0
# For so long after its start a container is taken to be still on its way to a handler for its stop signal.
YOUNG, REPEAT_AFTER = 10.0, 0.2
# Volumes are tried again after 0.5 s, 1 s, … as upstream's operation executor does.
FIRST_MOUNT_RETRY, LONGEST_MOUNT_RETRY = 0.5, 122.0


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What downward API and resource settings need to know of the node."""

    ip: str
    memory: int
    allocatable: dict[str, str]


@dataclass(frozen=True)
class Executor:
    runtime: ContainerRuntime
    images: Images
    volumes: VolumeManager
    mounts: Mounts
    sources: Sources
    events: PodEvents
    prober: Prober
    pool: Pool
    tell: Tell
    node: NodeLimits
    sandbox_image: str

    def execute(self, state: PodState, action: Action) -> None:
        log.debug("Pod %s: %s", pods.path(state.pod), action)
        match action:
            case actions.MountVolumes():
                self._mount_volumes(state)
            case actions.CleanVolumes():
                self._clean_volumes(state)
            case actions.CreateSandbox(attempt):
                self._create_sandbox(state, attempt)
            case actions.StartContainer(name, attempt):
                self._start_container(state, name, attempt)
            case actions.BeginStop(id, name, message, grace):
                self._begin_stop(state, state.containers[id], name, message, grace)
            case actions.SendStopSignal(id):
                self._send_stop_signal(state, id)
            case actions.Kill(id):
                self.runtime.signal(id, "SIGKILL")
                state.stops[id].killed = True
            case actions.Remove(id):
                self._remove(state, id)
            case actions.AnnounceBackOff(name):
                self._announce_back_off(state, name)
            case actions.AnnounceCrashLoop(name):
                self._announce_crash_loop(state, name)
            case actions.FailPod(reason, message):
                self.events.pod(state.pod, "Normal", reason, message)
            case _:
                pass  # Finish and Forget are the worker's

    # Volumes

    def _mount_volumes(self, state: PodState) -> None:
        pod, again = state.pod, state.volumes.phase == "mounted"
        if not pod["spec"].get("volumes"):
            state.volumes.phase, state.volumes.refresh_at = "mounted", None
            return
        if again:
            state.volumes.refresh_at = None
        else:
            state.volumes.phase = "mounting"
        self.pool.submit(lambda: self._set_up_volumes(pod, again))

    def _set_up_volumes(self, pod: Object, again: bool) -> None:
        inputs = Inputs(
            pod=pod,
            lookup=self.sources.lookup,
            token=self.volumes.tokens.get,
            addresses=(),
            host_ip=self.node.ip,
            allocatable=self.node.allocatable,
        )
        try:
            refresh_at = self.volumes.set_up(inputs)
        except Exception as error:
            if not isinstance(error, VolumeError):
                log.exception("Volumes of pod %s", pods.path(pod))
            self.events.pod(pod, "Warning", "FailedMount", str(error))
            message = str(error)
            self.tell(pods.uid(pod), lambda state: _volumes_failed(state, message, again))
        else:
            self.tell(pods.uid(pod), lambda state: _volumes_mounted(state, refresh_at))

    def _clean_volumes(self, state: PodState) -> None:
        try:
            self.volumes.clean_up(state.uid)
        except (VolumeError, OSError) as error:
            log.error("Volumes of pod %s stay on the disk: %s", pods.path(state.pod), error)
        state.volumes.phase, state.volumes.refresh_at = "unmounted", None

    # Sandbox

    def _create_sandbox(self, state: PodState, attempt: int) -> None:
        pod = state.pod
        if attempt > 0:
            message = "Pod sandbox changed, it will be killed and re-created."
            self.events.pod(pod, "Normal", "SandboxChanged", message)
        plan = spec.sandbox_plan(pod, attempt, self.sandbox_image, self.mounts.dns)
        sandbox_id = ""
        try:
            sandbox_id = self.runtime.create_sandbox(plan)
            self.runtime.start(sandbox_id)
            found = self.runtime.inspect(sandbox_id)
            if found is None or not found.running:
                raise RuntimeFailure("the sandbox container ended at once; look at the image given as sandbox")
            self._complete_sandbox(pod, found)
        except (RuntimeFailure, OSError) as error:
            log.warning("Sandbox of pod %s: %s", pods.path(pod), error)
            self.events.pod(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            delay = min(FIRST_SANDBOX_RETRY * 2.0**state.sandbox_failures, LONGEST_SANDBOX_RETRY)
            state.sandbox_failures += 1
            state.sandbox_error = StartError("FailedCreatePodSandBox", str(error), time.time() + delay)
            if sandbox_id:
                self.runtime.remove(sandbox_id)
            return
        state.sandbox_error, state.sandbox_failures = None, 0
        self.see(state, found)

    def _complete_sandbox(self, pod: Object, sandbox: Container) -> None:
        """What a running sandbox needs before its pod's containers start; the names are written last."""
        if not pods.is_host_network(pod):
            hairpin.enable(sandbox.pid)
        self.mounts.write_names(pod, sandbox.ip)

    # Containers

    def _start_container(self, state: PodState, name: str, attempt: int) -> None:
        container, sandbox = pods.container(state.pod, name), state.sandbox()
        if container is None or sandbox is None:
            return
        image = self._image(state, container)
        if image is None:
            return
        try:
            if not self.mounts.has_names(state.pod):  # an earlier kubelet was killed before it came to them
                self._complete_sandbox(state.pod, sandbox)
            plan = self._plan(state, container, sandbox, attempt, image)
        except (env.ConfigError, ApiError) as error:
            self._failed(state, name, "CreateContainerConfigError", str(error), CONFIG_RETRY)
            return
        try:
            container_id = self.runtime.create_container(plan)
        except RuntimeFailure as error:
            self.images.changed()  # it may be the image that is gone
            self._failed(state, name, "CreateContainerError", str(error), CONFIG_RETRY)
            return
        self.events.container(state.pod, name, "Normal", "Created", f"Created container: {name}")
        self._run(state, container, container_id)

    def _run(self, state: PodState, container: pods.Spec, container_id: str) -> None:
        name = container["name"]
        before = state.newest(name)
        if before is not None and ended(before):
            backoff = after_retry(state.crash_backoffs.get(name), ended_at(before), time.time())
            state.crash_backoffs[name] = backoff
        state.errors.pop(name, None)
        state.pulls.pop(name, None)
        try:
            self.runtime.start(container_id)
        except RuntimeFailure as error:
            self._failed(state, name, "RunContainerError", f'failed to start container "{name}": {error}', 0.0)
            if found := self.runtime.inspect(container_id):
                self.see(state, found)
            return
        found = self.runtime.inspect(container_id)
        if found is None:
            return
        self.events.container(state.pod, name, "Normal", "Started", f"Started container {name}")
        log.info("Pod %s: started container %s", pods.path(state.pod), name)
        self.see(state, found)
        if found.running:
            self.attend(state, container, found)
            self._post_start(state, container, found)

    def attend(self, state: PodState, container: pods.Spec, found: Container, recorded: Verdict | None = None) -> None:
        """Begins to probe a running container; ``recorded``: what an earlier kubelet had found out about it."""
        verdict = recorded or Verdict()
        if "startupProbe" not in container:
            verdict.started = True
        state.verdicts[found.id] = verdict
        self.prober.watch(state.pod, container, found, self._address(state), started=bool(verdict.started))

    def _address(self, state: PodState) -> str:
        sandbox = state.sandbox()
        if pods.is_host_network(state.pod) or sandbox is None:
            return self.node.ip
        return sandbox.ip

    def _plan(
        self, state: PodState, container: pods.Spec, sandbox: Container, attempt: int, image: Image
    ) -> ContainerPlan:
        context = env.Context(
            pod=state.pod,
            lookup=self.sources.lookup,
            services=self.sources.services(),
            addresses=(self._address(state),),
            host_ip=self.node.ip,
            allocatable=self.node.allocatable,
        )
        variables = env.environment(context, container)
        around = spec.Surroundings(
            sandbox_id=sandbox.id,
            attempt=attempt,
            image=image,
            environment=variables,
            mounts=self.mounts.of(state.pod, container, attempt, variables),
            node_memory=self.node.memory,
        )
        return spec.container_plan(state.pod, container, around)

    def _failed(
        self, state: PodState, name: str, reason: str, message: str, retry: float, shown: str = ""
    ) -> None:
        log.warning("Pod %s, container %s: %s: %s", pods.path(state.pod), name, reason, message)
        self.events.container(state.pod, name, "Warning", "Failed", f"Error: {shown or message}")
        state.errors[name] = StartError(reason, message, time.time() + retry)

    # Images

    def _image(self, state: PodState, container: pods.Spec) -> Image | None:
        """The image to start from; None when it must be pulled first or cannot be had, which is then noted."""
        name, reference = container["name"], str(container["image"])
        if complaint := imagenames.complaint(reference):
            self.events.container(state.pod, name, "Warning", "InspectFailed", complaint)
            self._failed(state, name, "InvalidImageName", complaint, CONFIG_RETRY, "InvalidImageName")
            return None
        policy, found = imagenames.policy(container), self.images.get(reference)
        pull = state.pulls.get(name)
        if found and pull and pull.done and pull.image == reference:
            return found  # its pull has been announced
        if found and policy != "Always":
            message = f'Container image "{reference}" already present on machine'
            self.events.container(state.pod, name, "Normal", "Pulled", message)
            return found
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            self.events.container(state.pod, name, "Warning", "ErrImageNeverPull", message)
            self._failed(state, name, "ErrImageNeverPull", message, CONFIG_RETRY, "ErrImageNeverPull")
            return None
        self._begin_pull(state, name, reference)
        return None

    def _begin_pull(self, state: PodState, name: str, reference: str) -> None:
        pod = state.pod
        state.pulls[name] = Pull(reference)
        state.errors.pop(name, None)
        self.events.container(pod, name, "Normal", "Pulling", f'Pulling image "{reference}"')
        self.pool.submit(lambda: self._pull(pod, name, reference))

    def _pull(self, pod: Object, name: str, reference: str) -> None:
        began = time.monotonic()
        try:
            self.runtime.pull(reference, credentials(reference, self._pull_secrets(pod)))
            self.images.changed()
            image = self.images.get(reference)
        except (RuntimeFailure, RuntimeUnavailable, ApiError, ValueError) as error:
            message = str(error)
            self.events.container(pod, name, "Warning", "Failed", f'Failed to pull image "{reference}": {message}')
            self.events.container(pod, name, "Warning", "Failed", "Error: ErrImagePull")
            self.tell(pods.uid(pod), lambda state: _pull_failed(state, name, message))
            return
        took = f"{time.monotonic() - began:.3f}s"
        size = image.size if image else 0
        message = f'Successfully pulled image "{reference}" in {took} ({took} including waiting).'
        self.events.container(pod, name, "Normal", "Pulled", f"{message} Image size: {size} bytes.")
        self.tell(pods.uid(pod), lambda state: _pull_done(state, name))

    def _pull_secrets(self, pod: Object) -> list[Object]:
        namespace = pod["metadata"]["namespace"]
        names = [entry.get("name", "") for entry in pod["spec"].get("imagePullSecrets") or []]
        found = [self.sources.lookup("secret", namespace, name) for name in names]
        return [secret for secret in found if secret]

    def _announce_back_off(self, state: PodState, name: str) -> None:
        pull = state.pulls[name]
        pull.told = True
        message = f'Back-off pulling image "{pull.image}"'
        self.events.container(state.pod, name, "Normal", "BackOff", message)
        self.events.container(state.pod, name, "Warning", "Failed", "Error: ImagePullBackOff")

    def _announce_crash_loop(self, state: PodState, name: str) -> None:
        entry = state.crash_backoffs[name]
        message = crash_loop_message(state.pod, name, entry.delay)
        log.info("Pod %s: %s", pods.path(state.pod), message)
        state.errors[name] = StartError("CrashLoopBackOff", message, 0.0)
        text = f"Back-off restarting failed container {name} in pod {pods.title(state.pod)}"
        self.events.container(state.pod, name, "Warning", "BackOff", text)

    # Hooks and the end

    def _post_start(self, state: PodState, container: pods.Spec, found: Container) -> None:
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        pod, name, target = state.pod, container["name"], self._target(state, container, found)
        state.post_start[found.id] = "running"

        def call() -> None:
            outcome = hooks.run(self.runtime, target, hook, hooks.POST_START_TIMEOUT)
            if not outcome.success:
                log.warning("postStart hook of %s in %s: %s", name, pods.path(pod), outcome.message)
                self.events.container(pod, name, "Warning", "FailedPostStartHook", "PostStartHook failed")
            self.tell(pods.uid(pod), lambda state: _post_start_done(state, found.id, outcome))

        self.pool.submit(call)

    def _begin_stop(self, state: PodState, found: Container, name: str, message: str, grace: float) -> None:
        stop = state.stops[found.id] = Stop(time.time(), grace)
        self.prober.stop_restarting(found.id)
        self.events.container(state.pod, name, "Normal", "Killing", message)
        log.info("Pod %s: %s", pods.path(state.pod), message)
        container = pods.container(state.pod, name)
        hook = ((container or {}).get("lifecycle") or {}).get("preStop")
        if container is None or not hook or grace <= 0:
            self._send_stop_signal(state, found.id)
            return
        stop.hook = "running"
        pod, target = state.pod, self._target(state, container, found)

        def call() -> None:
            outcome = hooks.run(self.runtime, target, hook, grace)
            if not outcome.success:
                log.warning("preStop hook of %s in %s: %s", name, pods.path(pod), outcome.message)
                self.events.container(pod, name, "Warning", "FailedPreStopHook", "PreStopHook failed")
            self.tell(pods.uid(pod), lambda state: _pre_stop_done(state, found.id))

        self.pool.submit(call)

    def _send_stop_signal(self, state: PodState, container_id: str) -> None:
        """Again, if it was so young that it had no handler for the signal yet (see signals.py)."""
        found, stop, now = state.containers[container_id], state.stops[container_id], time.time()
        heard = signals.is_heard(found.pid, found.stop_signal)
        if heard or stop.signalled is None:
            self.runtime.signal(container_id, found.stop_signal)
        young = now - (found.started or now) < YOUNG
        stop.repeat_at = now + REPEAT_AFTER if young and not heard else None
        stop.signalled = stop.signalled or now

    def _remove(self, state: PodState, container_id: str) -> None:
        self.prober.forget(container_id)
        self.runtime.remove(container_id)
        state.forget_container(container_id)

    def _target(self, state: PodState, container: pods.Spec, found: Container) -> Target:
        return Target(found.id, self._address(state), container)

    def see(self, state: PodState, found: Container) -> None:
        """Takes in what the runtime says of a container; when it has ended, its probes stop and its last words are
        read."""
        if not state.see(found):
            return
        self.prober.forget(found.id)
        if found.sandbox:
            log.warning("Pod %s: its sandbox has ended", pods.path(state.pod))
            return
        state.messages[found.id] = self._last_words(state, found)
        log.info("Pod %s: container %s ended with %d", pods.path(state.pod), found.name, found.exit_code)

    def _last_words(self, state: PodState, found: Container) -> str:
        container = pods.container(state.pod, found.name)
        if container is None:
            return ""
        words = self.mounts.last_words(state.pod, container, found.attempt)
        if not words and found.exit_code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            words = self.runtime.log_tail(found.id, 80, 2048)
        return words


# Changes that background work brings back to the state.


def _volumes_mounted(state: PodState, refresh_at: float | None) -> None:
    volumes = state.volumes
    volumes.phase, volumes.message, volumes.attempts, volumes.refresh_at = "mounted", "", 0, refresh_at


def _volumes_failed(state: PodState, message: str, again: bool) -> None:
    """Volumes that were there stay as they are; the next try comes later each time."""
    volumes = state.volumes
    delay = min(FIRST_MOUNT_RETRY * 2.0**volumes.attempts, LONGEST_MOUNT_RETRY)
    volumes.attempts += 1
    volumes.message = message
    if again:
        volumes.refresh_at = time.time() + delay
    else:
        volumes.phase, volumes.retry_at = "failed", time.time() + delay


def _pull_failed(state: PodState, name: str, message: str) -> None:
    pull = state.pulls.get(name)
    if pull is None:
        return
    now = time.time()
    entry = state.pull_backoffs[name] = after_retry(state.pull_backoffs.get(name), now, now)
    pull.running, pull.message = False, message
    pull.failed_at, pull.retry_at = now, now + entry.delay


def _pull_done(state: PodState, name: str) -> None:
    if pull := state.pulls.get(name):
        pull.running, pull.done = False, True


def _post_start_done(state: PodState, container_id: str, outcome: Outcome) -> None:
    if container_id in state.containers:
        state.post_start[container_id] = "done" if outcome.success else outcome.message or "failed"


def _pre_stop_done(state: PodState, container_id: str) -> None:
    if stop := state.stops.get(container_id):
        stop.hook = "done"


