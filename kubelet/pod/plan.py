"""Decides what to do next for one pod. Pure: a PodState and the time go in, actions and a moment to wake come out.

The order follows upstream's ``computePodActions``: a pod that must go is stopped; a running one first gets its
volumes and its sandbox, then its init containers one after the other, then all others. Nothing here blocks or waits:
what takes time (a pull, a hook, a grace period) is begun by one action, and the plan is made anew when something
has happened or when ``wake_at`` comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kubelet.model import backoff, podspec
from kubelet.model.runtime import Container
from kubelet.pod.actions import (
    Action,
    AnnounceBackOff,
    AnnounceCrashLoop,
    BeginStop,
    CleanVolumes,
    CreateSandbox,
    FailPod,
    Finish,
    Forget,
    Kill,
    MountVolumes,
    Remove,
    SendStopSignal,
    StartContainer,
)
from kubelet.pod.state import PodState, ended, ended_at

# Upstream gives every container a moment to end, however long its preStop hook took.
SHORTEST_GRACE = 2.0


@dataclass(slots=True)
class Plan:
    actions: list[Action] = field(default_factory=list)
    wake_at: float | None = None

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def wake(self, moment: float) -> None:
        self.wake_at = moment if self.wake_at is None else min(self.wake_at, moment)


def plan(state: PodState, now: float) -> Plan:
    out = Plan()
    if state.gone or state.released or podspec.is_deleting(state.pod):
        _end(state, now, out)
    elif state.failure or is_over(state):
        _wind_down(state, now, out)
    else:
        _run(state, now, out)
    return out


def is_over(state: PodState) -> bool:
    """The pod has ended for good: its recorded phase says so, or all its containers did and none restarts."""
    if (state.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    if _init_failed(state):
        return True
    for spec in podspec.containers(state.pod):
        newest = state.newest(spec["name"])
        if newest is None or not ended(newest) or podspec.restarts(state.pod, spec, newest.exit_code):
            return False
    return True


def _init_failed(state: PodState) -> bool:
    """An init container failed in a pod that never restarts."""
    if podspec.restart_policy(state.pod) != "Never":
        return False
    for spec in podspec.init_containers(state.pod):
        newest = state.newest(spec["name"])
        if newest and not podspec.is_sidecar(spec) and ended(newest) and newest.exit_code != 0:
            return True
    return False


# The end of a pod.


def _end(state: PodState, now: float, out: Plan) -> None:
    """It is being deleted, or is gone already: stop all, let the object go, remove every trace, in this order.

    The sandbox goes last, so that its address is not given to another pod while the API still shows it here.
    """
    if any(container.running for container in state.apps()):
        _stop_all(state, now, out)
        return
    if not (state.gone or state.released):
        if not state.finishing:
            out.do(Finish())
        return
    for container in sorted(state.containers.values(), key=lambda c: (not c.sandbox, c.created)):
        out.do(Remove(container.id))
    out.do(CleanVolumes())
    out.do(Forget())


def _wind_down(state: PodState, now: float, out: Plan) -> None:
    """It is over but still there to be looked at: keep its ended containers (for their logs), free the rest."""
    if any(container.running for container in state.apps()):
        _stop_all(state, now, out)
        return
    for sandbox in state.sandboxes():
        out.do(Remove(sandbox.id))
    if state.volumes.phase in ("mounted", "failed"):
        out.do(CleanVolumes())
    _collect_garbage(state, out)


def _stop_all(state: PodState, now: float, out: Plan) -> None:
    """Stop what still runs: sidecars outlive the other containers and end in reverse order."""
    running = {c.name: c for c in state.apps() if c.running}
    sidecars = [s["name"] for s in podspec.init_containers(state.pod) if podspec.is_sidecar(s) and s["name"] in running]
    first = [c for name, c in running.items() if name not in sidecars]
    grace = float(podspec.grace_period(state.pod))
    for container in first or [running[name] for name in sidecars[-1:]]:
        _stop(state, container, f"Stopping container {container.name}", grace, now, out)


def _stop(state: PodState, container: Container, message: str, grace: float, now: float, out: Plan) -> None:
    """The next step on a container's way out. A grace period that became shorter meanwhile counts."""
    stop = state.stops.get(container.id)
    if stop is None:
        out.do(BeginStop(container.id, container.name, message, grace))
        return
    grace = min(grace, stop.grace)
    deadline = stop.began + grace
    if stop.signalled is None:
        if stop.hook == "running" and now < deadline:
            out.wake(deadline)
        else:
            out.do(SendStopSignal(container.id))
        return
    if grace >= SHORTEST_GRACE:
        deadline = max(deadline, stop.signalled + SHORTEST_GRACE)
    if now < deadline:
        out.wake(deadline)
        if stop.repeat_at is not None and now >= stop.repeat_at:
            out.do(SendStopSignal(container.id))
        elif stop.repeat_at is not None:
            out.wake(stop.repeat_at)
    elif not stop.killed:
        out.do(Kill(container.id))


# The life of a pod.


def _run(state: PodState, now: float, out: Plan) -> None:
    deadline = _active_deadline(state)
    if deadline is not None and now >= deadline:
        out.do(FailPod("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
        return
    if deadline is not None:
        out.wake(deadline)
    _mount(state, now, out)
    sandbox = state.sandbox()
    if sandbox is None:
        _new_sandbox(state, now, out)
        return
    for dead in state.sandboxes():
        if not dead.running:
            out.do(Remove(dead.id))
    outdated = [c for c in state.apps() if c.running and c.sandbox_id != sandbox.id]
    if outdated:
        _stop_for_new_sandbox(state, outdated, now, out)
        return
    if state.volumes.phase == "mounted":
        _start_containers(state, sandbox, now, out)
    _collect_garbage(state, out)


def _active_deadline(state: PodState) -> float | None:
    """Return when the pod has been active for activeDeadlineSeconds, None if it may be for ever."""
    seconds = state.pod["spec"].get("activeDeadlineSeconds")
    return None if seconds is None or not state.start_time else state.start_time + int(seconds)


def _mount(state: PodState, now: float, out: Plan) -> None:
    volumes = state.volumes
    if volumes.phase == "unmounted" or (volumes.phase == "failed" and now >= volumes.retry_at):
        out.do(MountVolumes())
    elif volumes.phase == "failed":
        out.wake(volumes.retry_at)
    elif volumes.phase == "mounted" and volumes.refresh_at is not None:
        if now >= volumes.refresh_at:
            out.do(MountVolumes())
        else:
            out.wake(volumes.refresh_at)


def _new_sandbox(state: PodState, now: float, out: Plan) -> None:
    """What still runs has lost its network with the old sandbox: it ends before there is a new one."""
    running = [c for c in state.apps() if c.running]
    if running:
        _stop_for_new_sandbox(state, running, now, out)
        return
    error = state.sandbox_error
    if error and now < error.retry_at:
        out.wake(error.retry_at)
        return
    out.do(CreateSandbox(max((c.attempt + 1 for c in state.sandboxes()), default=0)))


def _stop_for_new_sandbox(state: PodState, containers: list[Container], now: float, out: Plan) -> None:
    """Stop containers that have lost their network with the sandbox that they run in."""
    for container in containers:
        message = "Pod sandbox changed, it will be killed and re-created."
        _stop(state, container, message, float(podspec.grace_period(state.pod)), now, out)


def _start_containers(state: PodState, sandbox: Container, now: float, out: Plan) -> None:
    if not _advance_init_containers(state, sandbox, now, out):
        return
    for spec in podspec.containers(state.pod):
        _advance(state, spec, now, out)
        if _in_post_start(state, spec):
            return  # upstream starts the next one only after the hook


def _advance_init_containers(state: PodState, sandbox: Container, now: float, out: Plan) -> bool:
    """Plan the next step of the first init container that is not through. Return True if all are."""
    started = any(
        c.sandbox_id == sandbox.id and c.name == spec["name"]
        for spec in podspec.containers(state.pod)
        for c in state.apps()
    )
    for spec in podspec.init_containers(state.pod):
        newest = next((c for c in state.attempts(spec["name"]) if c.sandbox_id == sandbox.id), None)
        if podspec.is_sidecar(spec):
            _advance(state, spec, now, out, init=True)
            if not started and not _has_started(state, newest, spec):
                return False
        elif started or (newest and ended(newest) and newest.exit_code == 0):
            continue
        else:
            _advance(state, spec, now, out, init=True, current=newest)
            return False
    return True


def _has_started(state: PodState, container: Container | None, spec: podspec.Spec) -> bool:
    if container is None or not container.running or _in_post_start(state, spec):
        return False
    verdict = state.verdicts.get(container.id)
    return "startupProbe" not in spec or bool(verdict and verdict.started)


def _in_post_start(state: PodState, spec: podspec.Spec) -> bool:
    newest = state.newest(spec["name"])
    return bool(newest and newest.running and state.post_start.get(newest.id) == "running")


def _advance(
    state: PodState,
    spec: podspec.Spec,
    now: float,
    out: Plan,
    *,
    init: bool = False,
    current: Container | None = None,
) -> None:
    """The next step of one container that ought to run. ``current`` is set when an older attempt does not count."""
    name = spec["name"]
    newest = current or state.newest(name)
    if newest and newest.running:
        _watch_over(state, spec, newest, now, out)
        return
    restarting = bool(newest and ended(newest) and (current or not init or podspec.is_sidecar(spec)))
    if newest and restarting:
        if not podspec.restarts(state.pod, spec, newest.exit_code, init=init):
            return
        until = backoff.waits_until(state.crash_backoffs.get(name), ended_at(newest))
        if until is not None and now < until:
            if not crash_loop_told(state, name):
                out.do(AnnounceCrashLoop(name))
            out.wake(until)
            return
    if _wait_if_held(state, name, now, out):
        return
    out.do(StartContainer(name, next_attempt(state, name)))


def crash_loop_told(state: PodState, name: str) -> bool:
    error = state.errors.get(name)
    return error is not None and error.reason == "CrashLoopBackOff"


def next_attempt(state: PodState, name: str) -> int:
    """The restart count of the container to be started now. A container that was never started is used up silently."""
    newest = state.newest(name)
    if newest is not None:
        return newest.attempt + 1 if ended(newest) else newest.attempt
    known = _recorded(state, name)
    return int(known.get("restartCount", 0)) + 1 if known.get("containerID") else 0


def _recorded(state: PodState, name: str) -> dict[str, Any]:
    status = state.pod.get("status") or {}
    rows = (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
    return next((row for row in rows if row["name"] == name), {})


def _watch_over(state: PodState, spec: podspec.Spec, container: Container, now: float, out: Plan) -> None:
    """A running container is left alone unless its image changed, its hook failed or its probes gave it up."""
    message, grace = _reason_to_restart(state, spec, container)
    if container.id in state.stops or message:
        _stop(state, container, message, grace, now, out)


def _reason_to_restart(state: PodState, spec: podspec.Spec, container: Container) -> tuple[str, float]:
    name, grace = spec["name"], float(podspec.grace_period(state.pod))
    verdict = state.verdicts.get(container.id)
    if container.image != spec["image"]:
        return f"Container {name} definition changed, will be restarted", grace
    if state.post_start.get(container.id, "done") not in ("running", "done"):
        return "FailedPostStartHook", grace
    for probe, opinion in (("startup", verdict and verdict.started), ("liveness", verdict and verdict.alive)):
        if opinion is False:
            own = (spec.get(f"{probe}Probe") or {}).get("terminationGracePeriodSeconds")
            return f"Container {name} failed {probe} probe, will be restarted", grace if own is None else float(own)
    return "", grace


def _wait_if_held(state: PodState, name: str, now: float, out: Plan) -> bool:
    """Return True if the container cannot be started yet, and plan to look again when it can.

    Its image is being pulled, or the last attempt to pull the image or to create the container failed just now.
    """
    pull = state.pulls.get(name)
    if pull and (pull.running or now < pull.retry_at):
        if not pull.running:
            _announce_back_off(state, name, now, out)
            out.wake(pull.retry_at)
        return True
    error = state.errors.get(name)
    if error and error.reason != "CrashLoopBackOff" and now < error.retry_at:
        out.wake(error.retry_at)
        return True
    return False


# How long a failed pull shows as ErrImagePull before it shows as ImagePullBackOff.
SHOWN_AS_ERROR = 2.0


def _announce_back_off(state: PodState, name: str, now: float, out: Plan) -> None:
    pull = state.pulls[name]
    if pull.told:
        return
    if now >= pull.failed_at + SHOWN_AS_ERROR:
        out.do(AnnounceBackOff(name))
    else:
        out.wake(pull.failed_at + SHOWN_AS_ERROR)


def _collect_garbage(state: PodState, out: Plan) -> None:
    """Keeps the newest container of each name and the one before it, for its last state and its logs."""
    for name in sorted({c.name for c in state.apps()}):
        for container in state.attempts(name)[2:]:
            if ended(container):
                out.do(Remove(container.id))
