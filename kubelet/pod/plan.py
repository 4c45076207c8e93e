"""Decide what to do next for one pod. Pure: a PodState and the time go in, actions and a time to look again come out.

A pod is in one of three situations, each with a function of its own:

1. It is being deleted, or gone already (``_end``): stop its containers, let the API object go, remove every trace.
2. It has ended for good but its object stays (``_wind_down``): keep the ended containers for their logs, free the rest.
3. It ought to run (``_run``): in upstream's order (``computePodActions``) it gets its volumes and its sandbox, then its
   init containers one after the other, then all others (``_in_turn``); each container is started, restarted after a
   back-off, or stopped because a probe failed (``_advance``).

Nothing here blocks or waits. What takes time (a pull, a hook, a grace period) is begun by one action, and the worker
makes the plan anew when something has happened or when ``wake_at`` has come. So each call looks at what there is, and
names only those actions that are possible now: a plan without actions means that there is nothing to do but to wait.

A container is stopped in steps, each of which is an action (``_stop``): BeginStop runs the preStop hook, SendStopSignal
follows when the hook is done and it is the container's turn, or when the grace period is over, and Kill follows at the
end of the grace period. All containers of a pod share one grace period.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from kubelet.model import backoff, podspec
from kubelet.model.runtime import RuntimeContainer
from kubelet.pod import actions, storage
from kubelet.pod.actions import Action
from kubelet.pod.state import PodState, ended, ended_at
from machinery.objects import is_pod_terminal

# Upstream gives every container a moment to end, however long its preStop hook took.
SHORTEST_GRACE = 2.0
# An evicted pod goes on using what it should not, so it ends almost at once, whatever it asked for.
EVICTION_GRACE = 1.0
# How long, in seconds, a failed pull shows as ErrImagePull before it shows as ImagePullBackOff.
SHOWN_AS_ERROR = 2.0


@dataclass(slots=True)
class PodPlan:
    """Actions in the order in which to carry them out, and when to plan again even if nothing happens (Unix time)."""

    actions: list[Action] = field(default_factory=list)
    wake_at: float | None = None

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def wake(self, time: float) -> None:
        """Plan again at this time, or earlier if an earlier one is named as well."""
        self.wake_at = time if self.wake_at is None else min(self.wake_at, time)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A container whose turn it is. ``current`` is its newest attempt in this sandbox, if no other counts."""

    spec: podspec.Spec
    init: bool = False
    current: RuntimeContainer | None = None


def plan(state: PodState, now: float) -> PodPlan:
    """Return the plan for a pod; ``now`` is a Unix time."""
    out = PodPlan()
    if state.gone or state.released or podspec.is_deleting(state.pod):
        _end(state, now, out)
    elif state.failure or is_over(state):
        _wind_down(state, now, out)
    else:
        _run(state, now, out)
    return out


def is_over(state: PodState) -> bool:
    """Return True if the pod has ended for good: its recorded phase says so, or all its containers have and stay so."""
    if is_pod_terminal(state.pod) or _init_failed(state):
        return True
    for spec in podspec.containers(state.pod):
        newest = state.newest(spec["name"])
        if newest is None or not ended(newest) or podspec.restarts(state.pod, spec, newest.exit_code):
            return False
    return True


def _init_failed(state: PodState) -> bool:
    """Return True if an init container failed in a pod that never restarts containers."""
    if podspec.restart_policy(state.pod) != "Never":
        return False
    for spec in podspec.init_containers(state.pod):
        newest = state.newest(spec["name"])
        if newest and not podspec.is_sidecar(spec) and ended(newest) and newest.exit_code != 0:
            return True
    return False


# A pod that ends


def _end(state: PodState, now: float, out: PodPlan) -> None:
    """Stop all containers, then let the API object go, then remove every trace.

    The sandbox stays until the object is gone, so that its address is not given to another pod while the API still
    shows it here.
    """
    if any(container.running for container in state.apps()):
        _stop_all(state, now, out)
        return
    if not (state.gone or state.released):
        if not state.finishing:
            out.do(actions.Finish())
        return
    for container in sorted(state.containers.values(), key=lambda c: (not c.sandbox, c.created)):
        out.do(actions.Remove(container.id))
    out.do(actions.CleanVolumes())
    out.do(actions.Forget())


def _wind_down(state: PodState, now: float, out: PodPlan) -> None:
    """Keep the ended containers of a pod that is over, for their logs, and free the rest."""
    if any(container.running for container in state.apps()):
        _stop_all(state, now, out)
        return
    for sandbox in state.sandboxes():
        out.do(actions.Remove(sandbox.id))
    if state.volumes.phase in ("mounted", "failed"):
        out.do(actions.CleanVolumes())
    _collect_garbage(state, out)


def _stop_all(state: PodState, now: float, out: PodPlan) -> None:
    """Stop what still runs, all within one grace period that begins for all at once, and so do the preStop hooks.

    Sidecars get their stop signal after all others, one by one in reverse order, or when the grace period is over
    (upstream: terminationOrdering).
    """
    running = {c.name: c for c in state.apps() if c.running}
    sidecars = [name for name in podspec.sidecars(state.pod) if name in running]
    has_turn = [name for name in running if name not in sidecars] or sidecars[-1:]
    grace = float(podspec.grace_period(state.pod))
    if state.failure and state.failure.grace is not None:
        grace = min(grace, state.failure.grace)
    for name, container in running.items():
        waits = name not in has_turn
        _stop(state, container, f"Stopping container {name}", grace, now, out, waits=waits)


def _stop(
    state: PodState,
    container: RuntimeContainer,
    message: str,
    grace: float,
    now: float,
    out: PodPlan,
    *,
    waits: bool = False,
) -> None:
    """Plan the next step of stopping a container. If the grace period has become shorter meanwhile, that counts.

    ``waits`` tells that other containers must end before this one gets its stop signal.
    """
    stop = state.stops.get(container.id)
    if stop is None:
        out.do(actions.BeginStop(container.id, container.name, message, grace))
        return
    grace = min(grace, stop.grace)
    deadline = stop.began + grace
    if stop.signalled is None:
        if (waits or stop.hook == "running") and now < deadline:
            out.wake(deadline)
        else:
            out.do(actions.SendStopSignal(container.id))
        return
    if grace >= SHORTEST_GRACE:
        deadline = max(deadline, stop.signalled + SHORTEST_GRACE)
    if now < deadline:
        out.wake(deadline)
        if stop.repeat_at is not None and now >= stop.repeat_at:
            out.do(actions.SendStopSignal(container.id))
        elif stop.repeat_at is not None:
            out.wake(stop.repeat_at)
    elif not stop.killed:
        out.do(actions.Kill(container.id))


# A pod that runs


def _run(state: PodState, now: float, out: PodPlan) -> None:
    deadline = _active_deadline(state)
    if deadline is not None and now >= deadline:
        out.do(actions.FailPod("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
        return
    if deadline is not None:
        out.wake(deadline)
    if excess := storage.excess(state.pod, state.storage):
        out.do(actions.FailPod("Evicted", excess, event_type="Warning", grace=EVICTION_GRACE))
        return
    _measure_storage(state, now, out)
    _mount(state, now, out)
    sandbox = state.sandbox()
    if sandbox is None:
        _new_sandbox(state, now, out)
        return
    for dead in state.sandboxes():
        if not dead.running:
            out.do(actions.Remove(dead.id))
    outdated = [c for c in state.apps() if c.running and c.sandbox_id != sandbox.id]
    if outdated:
        _stop_for_new_sandbox(state, outdated, now, out)
        return
    if state.volumes.phase == "mounted":
        _start_containers(state, sandbox, now, out)
    _collect_garbage(state, out)


def _measure_storage(state: PodState, now: float, out: PodPlan) -> None:
    if state.volumes.phase != "mounted" or not storage.is_limited(state.pod):
        return
    if state.storage_due <= now:
        out.do(actions.MeasureStorage())
    elif state.storage_due < inf:
        out.wake(state.storage_due)


def _active_deadline(state: PodState) -> float | None:
    """Return when the pod will have been active for activeDeadlineSeconds, None if it has no such limit."""
    seconds = state.pod["spec"].get("activeDeadlineSeconds")
    return None if seconds is None or not state.start_time else state.start_time + int(seconds)


def _mount(state: PodState, now: float, out: PodPlan) -> None:
    volumes = state.volumes
    if volumes.phase == "unmounted" or (volumes.phase == "failed" and now >= volumes.retry_at):
        out.do(actions.MountVolumes())
    elif volumes.phase == "failed":
        out.wake(volumes.retry_at)
    elif volumes.phase == "mounted" and volumes.refresh_at is not None:
        if now >= volumes.refresh_at:
            out.do(actions.MountVolumes())
        else:
            out.wake(volumes.refresh_at)


def _new_sandbox(state: PodState, now: float, out: PodPlan) -> None:
    """Plan a sandbox. Containers that still run have lost their network with the old one, and are stopped first."""
    running = [c for c in state.apps() if c.running]
    if running:
        _stop_for_new_sandbox(state, running, now, out)
        return
    error = state.sandbox_error
    if error and now < error.retry_at:
        out.wake(error.retry_at)
        return
    out.do(actions.CreateSandbox(max((c.attempt + 1 for c in state.sandboxes()), default=0)))


def _stop_for_new_sandbox(state: PodState, containers: list[RuntimeContainer], now: float, out: PodPlan) -> None:
    """Stop containers that have lost their network with the sandbox that they run in."""
    for container in containers:
        message = "Pod sandbox changed, it will be killed and re-created."
        _stop(state, container, message, float(podspec.grace_period(state.pod)), now, out)


def _start_containers(state: PodState, sandbox: RuntimeContainer, now: float, out: PodPlan) -> None:
    for turn in _in_turn(state, sandbox):
        _advance(state, turn, now, out)


def _in_turn(state: PodState, sandbox: RuntimeContainer) -> Iterator[_Turn]:
    """Yield the containers that ought to run now: the sidecars so far and one init container, or all containers.

    Init containers count as done if they ended well in this sandbox, or if a container of the pod was started in it
    (an init container may have been removed by hand since).
    """
    started = any(
        c.sandbox_id == sandbox.id and c.name == spec["name"]
        for spec in podspec.containers(state.pod)
        for c in state.apps()
    )
    for spec in podspec.init_containers(state.pod):
        newest = next((c for c in state.attempts(spec["name"]) if c.sandbox_id == sandbox.id), None)
        if podspec.is_sidecar(spec):
            yield _Turn(spec, init=True)
            if not started and not _has_started(state, newest, spec):
                return
        elif not started and not (newest and ended(newest) and newest.exit_code == 0):
            yield _Turn(spec, init=True, current=newest)
            return
    for spec in podspec.containers(state.pod):
        yield _Turn(spec)
        if _in_post_start(state, spec):
            return  # upstream starts the next container only after the hook


def _has_started(state: PodState, container: RuntimeContainer | None, spec: podspec.Spec) -> bool:
    if container is None or not container.running or _in_post_start(state, spec):
        return False
    verdict = state.verdicts.get(container.id)
    return "startupProbe" not in spec or bool(verdict and verdict.started)


def _in_post_start(state: PodState, spec: podspec.Spec) -> bool:
    newest = state.newest(spec["name"])
    return bool(newest and newest.running and state.post_start.get(newest.id) == "running")


def _advance(state: PodState, turn: _Turn, now: float, out: PodPlan) -> None:
    """Plan the next step of a container that ought to run: leave it alone, stop it, wait, or start it (again)."""
    spec, name = turn.spec, turn.spec["name"]
    newest = turn.current or state.newest(name)
    if newest and newest.running:
        _stop_if_unfit(state, spec, newest, now, out)
        return
    if newest and ended(newest) and (turn.current or not turn.init or podspec.is_sidecar(spec)):
        if not podspec.restarts(state.pod, spec, newest.exit_code, init=turn.init):
            return
        until = backoff.waits_until(state.crash_backoffs.get(name), ended_at(newest))
        if until is not None and now < until:
            if not crash_loop_told(state, name):
                out.do(actions.AnnounceCrashLoop(name))
            out.wake(until)
            return
    if (until := _held_until(state, name, now)) is None:
        out.do(actions.StartContainer(name, _next_attempt(state, name)))
    elif until < inf:
        _announce_back_off(state, name, now, out)
        out.wake(until)


def crash_loop_told(state: PodState, name: str) -> bool:
    """Return True if the BackOff event of this container's crash loop has been announced."""
    error = state.errors.get(name)
    return error is not None and error.reason == "CrashLoopBackOff"


def _next_attempt(state: PodState, name: str) -> int:
    """Return the restart count of the container to be started now.

    A container that was created but never started does not count as an attempt. Where the runtime knows no container
    of this name, the recorded status tells whether there was one.
    """
    newest = state.newest(name)
    if newest is not None:
        return newest.attempt + 1 if ended(newest) else newest.attempt
    known = podspec.container_status(state.pod, name)
    return int(known.get("restartCount", 0)) + 1 if known.get("containerID") else 0


def _stop_if_unfit(state: PodState, spec: podspec.Spec, container: RuntimeContainer, now: float, out: PodPlan) -> None:
    """Plan to stop a running container if its image has changed, its postStart hook failed or a probe failed."""
    message, grace = _reason_to_restart(state, spec, container)
    if container.id in state.stops or message:
        _stop(state, container, message, grace, now, out)


def _reason_to_restart(state: PodState, spec: podspec.Spec, container: RuntimeContainer) -> tuple[str, float]:
    """Return the event's message and the grace period in seconds; the message is empty if there is no reason."""
    name, grace = spec["name"], float(podspec.grace_period(state.pod))
    verdict = state.verdicts.get(container.id)
    if container.image != spec["image"]:
        return f"Container {name} definition changed, will be restarted", grace
    if state.post_start.get(container.id, "done") not in ("running", "done"):
        return "FailedPostStartHook", grace
    for probe, passes in (("startup", verdict and verdict.started), ("liveness", verdict and verdict.alive)):
        if passes is False:
            own = spec.get(f"{probe}Probe", {}).get("terminationGracePeriodSeconds")
            return f"Container {name} failed {probe} probe, will be restarted", grace if own is None else float(own)
    return "", grace


def _held_until(state: PodState, name: str, now: float) -> float | None:
    """Return when a container may be started: None for now, infinity while its image is being pulled.

    It must wait if the last attempt to pull its image or to create it failed just now.
    """
    pull, error = state.pulls.get(name), state.errors.get(name)
    if pull and pull.running:
        return inf
    if pull and now < pull.retry_at:
        return pull.retry_at
    if error and error.reason != "CrashLoopBackOff" and now < error.retry_at:
        return error.retry_at
    return None


def _announce_back_off(state: PodState, name: str, now: float, out: PodPlan) -> None:
    """Plan the BackOff event of an image that could not be pulled, once for each failure."""
    pull = state.pulls.get(name)
    if pull is None or pull.told or now >= pull.retry_at:
        return
    if now >= pull.failed_at + SHOWN_AS_ERROR:
        out.do(actions.AnnounceBackOff(name))
    else:
        out.wake(pull.failed_at + SHOWN_AS_ERROR)


def _collect_garbage(state: PodState, out: PodPlan) -> None:
    """Remove ended containers but the newest two of each name, which are needed for its last state and logs."""
    for name in sorted({c.name for c in state.apps()}):
        for container in state.attempts(name)[2:]:
            if ended(container):
                out.do(actions.Remove(container.id))
