"""What is known about each pod, and the changes that its worker has not applied yet.

Everything that happens outside of the workers (the watch, the runtime's events, probes, work in the background) comes
here and wakes the pod's worker through the work queue. Only that worker changes the pod's state: others put a function
that changes it into the inbox (``tell``), or name a container that the worker is to inspect (``look_at``).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kubelet.model import podspec
from kubelet.model.runtime import RuntimeContainer
from kubelet.pod.state import PodState
from machinery.objects import Object, is_pod_terminal, parse_time
from machinery.workqueue import WorkQueue

LONGEST_RETRY = 10.0

Change = Callable[[PodState], None]


@dataclass(slots=True)
class PodRecord:
    """One pod: its state, the changes that wait for its worker, and the ids of the containers to inspect."""

    state: PodState
    inbox: deque[Change] = field(default_factory=deque)
    dirty: set[str] = field(default_factory=set)


class PodStates:
    """The records of all pods, and the queue of those whose workers are to run. Any thread may call."""

    def __init__(self) -> None:
        self.queue = WorkQueue("pod", max_delay=LONGEST_RETRY)
        self._lock = threading.Lock()
        self._records: dict[str, PodRecord] = {}

    # For other threads

    def update(self, pod: Object, container_ids: Iterable[str] = ()) -> None:
        """Take in a pod that the API shows, new or changed. ``container_ids`` are those of its containers that ran
        before.

        They come to the worker together with the pod: it must not plan without them.
        """
        uid, ids = podspec.uid(pod), set(container_ids)
        with self._lock:
            if uid not in self._records:
                self._records[uid] = PodRecord(PodState(pod, start_time=_start_time(pod)))
        self._post(uid, lambda state: _new_object(state, pod), ids)

    def gone(self, pod: Object) -> None:
        """Take in that the API does not show this pod any more."""
        self.tell(podspec.uid(pod), lambda state: _is_gone(state, pod))

    def released(self, uid: str) -> None:
        self.tell(uid, _is_released)

    def tell(self, uid: str, change: Change) -> None:
        """Bring a change of a pod's state to its worker, which takes in all of them before it plans again."""
        self._post(uid, change, ())

    def _post(self, uid: str, change: Change, container_ids: Iterable[str]) -> None:
        with self._lock:
            record = self._records.get(uid)
            if record is None:
                return
            record.inbox.append(change)
            record.dirty.update(container_ids)
        self.queue.add(uid)

    def look_at(self, uid: str, container_id: str) -> bool:
        """Have a container looked at, because the runtime said something about it. Return False if its pod is not
        known.
        """
        with self._lock:
            record = self._records.get(uid)
            if record is None:
                return False
            record.dirty.add(container_id)
        self.queue.add(uid)
        return True

    def relist(self, uid: str, container_ids: Iterable[str]) -> None:
        """Have the containers that the runtime lists now looked at, and those that were known before."""
        with self._lock:
            record = self._records.get(uid)
            if record is None:
                return
            record.dirty.update(record.state.containers, container_ids)
        self.queue.add(uid)

    def end_orphan(self, pod: Object, container_ids: Iterable[str]) -> None:
        """Have containers whose pod is gone stopped and removed like those of any deleted pod."""
        with self._lock:
            self._records.setdefault(podspec.uid(pod), PodRecord(PodState(pod)))
        self._post(podspec.uid(pod), lambda state: _is_gone(state, pod), container_ids)

    def verdict(self, uid: str, container_id: str, probe: str, verdict: bool) -> None:
        self.tell(uid, lambda state: _probed(state, container_id, probe, verdict))

    def refresh(self, wanted: Callable[[Object], bool]) -> None:
        """Have pods read their config maps and secrets again: those for which ``wanted`` returns True."""
        for uid, pod in self._pods():
            if wanted(pod):
                self.tell(uid, _refresh)

    def wake_all(self) -> None:
        for uid, _ in self._pods():
            self.queue.add(uid)

    # Reading

    def admitted(self) -> list[Object]:
        """Return the pods that this node has taken and that have not ended: those with a claim to its resources."""
        with self._lock:
            states = [record.state for record in self._records.values()]
        return [
            state.pod
            for state in states
            if (state.admitted or state.pod.get("status", {}).get("startTime"))
            and not (state.gone or state.released or state.failure or is_pod_terminal(state.pod))
        ]

    def _pods(self) -> list[tuple[str, Object]]:
        with self._lock:
            return [(uid, record.state.pod) for uid, record in self._records.items()]

    def containers(self, uid: str) -> list[RuntimeContainer]:
        """Return a pod's containers as they were last seen, for the kubelet's server."""
        with self._lock:
            record = self._records.get(uid)
            return list(record.state.containers.values()) if record else []

    def known(self) -> set[str]:
        with self._lock:
            return set(self._records)

    # For the workers

    def record(self, uid: str) -> PodRecord | None:
        with self._lock:
            return self._records.get(uid)

    def forget(self, uid: str) -> None:
        with self._lock:
            self._records.pop(uid, None)

    def take_dirty(self, record: PodRecord) -> set[str]:
        """Return the containers that must be looked at, which the caller then does."""
        with self._lock:
            dirty = set(record.dirty)
            record.dirty.clear()
        return dirty

    def put_back(self, record: PodRecord, dirty: set[str]) -> None:
        with self._lock:
            record.dirty |= dirty


def _start_time(pod: Object) -> float:
    """Return the recorded status.startTime, or now: a restart of the kubelet does not begin activeDeadlineSeconds anew.

    Unix time.
    """
    recorded = pod.get("status", {}).get("startTime")
    return parse_time(recorded).timestamp() if recorded else time.time()


# Changes, which workers apply


def _new_object(state: PodState, pod: Object) -> None:
    """Note a newer version of the pod. If labels or annotations changed, its volumes may show them and are
    refreshed.
    """
    old, state.pod = state.pod["metadata"], pod
    new = pod["metadata"]
    if any(old.get(part) != new.get(part) for part in ("labels", "annotations")):
        _refresh(state)


def _is_gone(state: PodState, last: Object) -> None:
    state.pod, state.gone = last, True


def _is_released(state: PodState) -> None:
    state.released = True


def _refresh(state: PodState) -> None:
    if state.volumes.phase == "mounted":
        state.volumes.refresh_at = 0.0
    state.volumes.retry_at = 0.0
    for error in state.errors.values():
        if error.reason == "CreateContainerConfigError":
            error.retry_at = 0.0


def _probed(state: PodState, container_id: str, probe: str, verdict: bool) -> None:
    known = state.verdicts.get(container_id)
    if known is None:
        return
    match probe:
        case "startup":
            known.started = verdict
        case "readiness":
            known.ready = verdict
        case _:
            known.alive = verdict
