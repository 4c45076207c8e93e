"""The status of a pod, computed from its PodState. Pure; the rules are upstream's (``generateAPIPodStatus``).

The status is computed as a whole each time. Only what cannot be seen any more is taken from the status recorded in the
API object: the last state of a container whose predecessor was removed, transition times, the IP of an ended pod, and
termination messages that an earlier kubelet has read.

A container's status has three cases: the runtime knows no container of this name (``_absent``), or its newest attempt
runs, waits or has ended (``container_status``). A container that has ended but will be started again shows as waiting,
with its end in ``lastState`` (``_waiting``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubelet.model import podspec
from kubelet.model.backoff import waits_until
from kubelet.model.runtime import RuntimeContainer
from kubelet.pod import phase
from kubelet.pod.conditions import conditions
from kubelet.pod.plan import SHOWN_AS_ERROR, crash_loop_told
from kubelet.pod.state import Failure, PodState, ended, ended_at
from machinery.objects import Object, format_time
from machinery.pods import qos_class

Status = dict[str, Any]


def status(state: PodState, host_ip: str, now: float) -> Status:
    """Return the status of a pod on the node with this IP; ``now`` is a Unix time."""
    pod = state.pod
    recorded: Status = pod.get("status", {})
    if state.failure and state.failure.rejected:
        return _rejected(state, state.failure, now)
    init = [container_status(state, spec, now, init=True) for spec in podspec.init_containers(pod)]
    apps = [container_status(state, spec, now) for spec in podspec.containers(pod)]
    failed = bool(state.failure) and not any(
        c.running for c in state.apps()
    )  # as upstream, not before the last container has stopped
    over = failed or _all_stopped_for_good(state)
    out: Status = {
        "phase": phase.of(pod, init, apps, over=over, failed=failed),
        "conditions": [],
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": recorded.get("startTime") or time_text(state.start_time or now),
        **_addresses(state, host_ip, recorded),
        "qosClass": recorded.get("qosClass") or qos_class(pod["spec"]),
    }
    if state.failure and failed:
        out |= {"reason": state.failure.reason, "message": state.failure.message}
    elif recorded.get("phase") == "Failed":  # an earlier kubelet may have ended the pod
        out |= {field: recorded[field] for field in ("reason", "message") if field in recorded}
    if init:
        out["initContainerStatuses"] = init
    out["containerStatuses"] = apps
    if out["phase"] in ("Succeeded", "Failed") and not any(c.running for c in state.apps()):
        _terminate(init, apps)
    has_sandbox = state.sandbox() is not None
    out["conditions"] = conditions(pod, out["phase"], init, apps, has_sandbox=has_sandbox, now=time_text(now))
    return out


def _rejected(state: PodState, failure: Failure, now: float) -> Status:
    return {
        "phase": "Failed",
        "reason": failure.reason,
        "message": f"Pod was rejected: {failure.message}",
        "startTime": time_text(state.start_time or now),
        "qosClass": state.pod.get("status", {}).get("qosClass") or qos_class(state.pod["spec"]),
    }


def _terminate(init: list[Status], apps: list[Status]) -> None:
    """Give every container of a pod that has ended a terminated state, as upstream's ``TerminatePod`` does.

    Containers of which nothing is known any more failed. Those that the pod never came to keep waiting: all containers
    if its init containers did not succeed, and the init containers after the last that was tried.
    """
    tried = max(
        (number for number, row in enumerate(init) if "waiting" not in row["state"] or row["lastState"]), default=0
    )
    for row in init[: tried + 1] + (apps if _initialized(init, apps) else []):
        if "terminated" not in row["state"]:
            row["state"] = {
                "terminated": _unknown_end("The container could not be located when the pod was terminated")
            }


def _initialized(init: list[Status], apps: list[Status]) -> bool:
    """Return True if the init containers have succeeded once (upstream: ``hasPodInitialized``)."""
    if not init or any("waiting" not in row["state"] or row["lastState"] for row in apps):
        return True
    last = init[-1]
    ends = [last[field]["terminated"] for field in ("state", "lastState") if "terminated" in last[field]]
    return any(end["exitCode"] == 0 for end in ends)


def _all_stopped_for_good(state: PodState) -> bool:
    """Return True if the pod is being deleted and nothing runs any more: it has ended, whatever its restart policy."""
    leaving = state.gone or state.released or podspec.is_deleting(state.pod)
    return leaving and not any(c.running for c in state.apps())


def _addresses(state: PodState, host_ip: str, recorded: Status) -> Status:
    """Return podIP and podIPs. An address stays in the status until there is another, even if the sandbox is gone."""
    address = host_ip if podspec.is_host_network(state.pod) else state.address or recorded.get("podIP", "")
    return {"podIP": address, "podIPs": [{"ip": address}]} if address else {}


def container_status(state: PodState, spec: podspec.Spec, now: float, *, init: bool = False) -> Status:
    name = spec["name"]
    recorded = podspec.container_status(state.pod, name)
    attempts = state.attempts(name)
    newest = attempts[0] if attempts else None
    held = _waiting(state, spec, newest, now, init=init)
    if newest is None:
        return _absent(state, spec, recorded, held)
    out: Status = {
        "name": name,
        "state": {},
        "lastState": {},
        "ready": False,
        "restartCount": newest.attempt,
        "image": newest.image,
        "imageID": f"docker://{newest.image_id}",
        "containerID": f"docker://{newest.id}",
        "started": False,
    }
    if newest.running:
        out["state"] = {"running": {"startedAt": time_text(newest.started)}}
        out["lastState"] = _last_state(state, attempts, recorded)
        out["started"] = _started(state, spec, newest)
        # An init container is ready once it has succeeded, a sidecar while it runs.
        out["ready"] = out["started"] and _ready(state, spec, newest) and (not init or podspec.is_sidecar(spec))
    elif not ended(newest):
        out["state"] = held or _waiting_for_start(state)
        out["lastState"] = _last_state(state, attempts, recorded)
    elif held:
        out["state"], out["lastState"] = held, {"terminated": terminated(state, newest)}
    else:
        out["state"] = {"terminated": terminated(state, newest)}
        out["lastState"] = _last_state(state, attempts, recorded)
        if init and not podspec.is_sidecar(spec):
            out["ready"] = newest.exit_code == 0
    return out


def _absent(state: PodState, spec: podspec.Spec, recorded: Status, held: Status | None) -> Status:
    """Return the status of a container that the runtime does not know: never started, or removed by somebody else."""
    out: Status = {
        "name": spec["name"],
        "state": held or _waiting_for_start(state),
        "lastState": recorded.get("lastState", {}),
        "ready": False,
        "restartCount": int(recorded.get("restartCount", 0)),
        "image": spec["image"],
        "imageID": "",
        "started": False,
    }
    if "terminated" in recorded.get("state", {}):
        return {**recorded, "ready": bool(recorded.get("ready")) and spec in podspec.init_containers(state.pod)}
    if "running" in recorded.get("state", {}):
        lost = _lost(podspec.is_deleting(state.pod), recorded)
        if podspec.is_deleting(state.pod):
            out |= {"state": lost}
        else:
            out |= {"lastState": lost}
        out |= {"imageID": recorded.get("imageID", ""), "containerID": recorded.get("containerID", "")}
    elif recorded.get("containerID"):
        out |= {"containerID": recorded["containerID"]}
    return out


def _lost(deleting: bool, recorded: Status) -> Status:
    when = "when the pod was deleted" if deleting else "when the pod was terminated"
    return {
        "terminated": {
            **_unknown_end(f"The container could not be located {when}.  The container used to be Running"),
            "containerID": recorded.get("containerID", ""),
        }
    }


def _unknown_end(message: str) -> Status:
    """Return the terminated state of a container that neither the runtime nor the status can tell about."""
    return {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": message,
        "startedAt": None,
        "finishedAt": None,
    }


def _waiting(
    state: PodState, spec: podspec.Spec, newest: RuntimeContainer | None, now: float, *, init: bool
) -> Status | None:
    """Return the waiting state of a container that the kubelet does not start yet.

    None if there is no reason to wait, or if the container is not going to be started again: then its end shows, also
    where the runtime could not even start it.
    """
    name = spec["name"]
    if newest is not None and (newest.running or (ended(newest) and not _restarts(state, spec, newest, init=init))):
        return None
    pull = state.pulls.get(name)
    if pull and not pull.running and not pull.done:
        return {"waiting": _pull_reason(pull.reason, pull.image, pull.message, now - pull.failed_at)}
    error = state.errors.get(name)
    if error and error.reason != "CrashLoopBackOff":
        return {"waiting": {"reason": error.reason, "message": error.message}}
    entry = state.crash_backoffs.get(name)
    if newest is None or entry is None or not ended(newest) or not crash_loop_told(state, name):
        return None
    if (waits_until(entry, ended_at(newest)) or 0) <= now:
        return None
    message = crash_loop_message(state.pod, name, entry.delay)
    return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}


def _restarts(state: PodState, spec: podspec.Spec, newest: RuntimeContainer, *, init: bool) -> bool:
    if state.failure or state.gone or state.released or podspec.is_deleting(state.pod):
        return False
    return podspec.restarts(state.pod, spec, newest.exit_code, init=init)


def crash_loop_message(pod: Object, name: str, delay: float) -> str:
    seconds = f"{int(delay) // 60}m{int(delay) % 60}s" if delay >= 60 else f"{int(delay)}s"
    return f"back-off {seconds} restarting failed container={name} pod={podspec.title(pod)}"


def _pull_reason(reason: str, image: str, message: str, age: float) -> Status:
    """Return the waiting state after a failed pull: for SHOWN_AS_ERROR seconds its error, then ImagePullBackOff."""
    if reason == "ErrImagePull" and age >= SHOWN_AS_ERROR:
        return {
            "reason": "ImagePullBackOff",
            "message": f'Back-off pulling image "{image}": {reason}: {message}',
        }
    return {"reason": reason, "message": message}


def _waiting_for_start(state: PodState) -> Status:
    return {"waiting": {"reason": "PodInitializing" if podspec.init_containers(state.pod) else "ContainerCreating"}}


def _last_state(state: PodState, attempts: list[RuntimeContainer], recorded: Status) -> Status:
    newest, before = attempts[0], next((c for c in attempts[1:] if ended(c)), None)
    if before:
        return {"terminated": terminated(state, before)}
    if recorded.get("restartCount") == newest.attempt and recorded.get("containerID") == f"docker://{newest.id}":
        return dict(recorded.get("lastState", {}))
    return {}


def terminated(state: PodState, container: RuntimeContainer) -> Status:
    if (known := _recorded_end(state, container)) and container.id not in state.messages:
        return known  # an earlier kubelet has read its termination message
    out: Status = {
        "exitCode": container.exit_code,
        "reason": _end_reason(container),
        "startedAt": time_text(container.started or container.created),
        "finishedAt": time_text(ended_at(container)),
        "containerID": f"docker://{container.id}",
    }
    if message := state.messages.get(container.id) or container.error:
        out["message"] = message
    return out


def _recorded_end(state: PodState, container: RuntimeContainer) -> Status:
    row = podspec.container_status(state.pod, container.name)
    for field in ("state", "lastState"):
        end = (row.get(field) or {}).get("terminated") or {}
        if end.get("containerID") == f"docker://{container.id}":
            return dict(end)
    return {}


def _end_reason(container: RuntimeContainer) -> str:
    if container.state == "created":
        return "StartError"
    if container.oom_killed:
        return "OOMKilled"
    return "Completed" if container.exit_code == 0 else "Error"


def _started(state: PodState, spec: podspec.Spec, container: RuntimeContainer) -> bool:
    if "startupProbe" not in spec:
        return True
    verdict = state.verdicts.get(container.id)
    return bool(verdict and verdict.started)


def _ready(state: PodState, spec: podspec.Spec, container: RuntimeContainer) -> bool:
    if "readinessProbe" not in spec:
        return True
    verdict = state.verdicts.get(container.id)
    return bool(verdict and verdict.ready)


def time_text(seconds: float | None) -> str:
    """Return a Unix time as metav1.Time. Fractions are cut off, as upstream does, so that no time is in the future."""
    return format_time(datetime.fromtimestamp(int(seconds or 0), UTC))
