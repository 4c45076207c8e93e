"""Runs the pods of this node: one worker at a time for each, for as long as there is something to do.

A worker takes in what was told about its pod, looks again at containers of which Docker said something, then plans,
acts and plans again until nothing is left to do, publishes the status, and goes. It is woken by the watch, by Docker's
event stream, by background work that has ended, by probes, and by the moment that the plan named.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kubelet.model import podspec
from kubelet.model.runtime import Container, RuntimeUnavailable
from kubelet.pod import actions
from kubelet.pod.plan import plan
from kubelet.pod.state import Failure, PodState, Verdict
from kubelet.pod.status import NodeFacts, status
from kubelet.sync.executor import Executor
from kubelet.sync.limiter import Starts, Turns
from kubelet.sync.metrics import SYNCS
from kubelet.sync.statusmanager import StatusWriter
from machinery.controller import Controller
from machinery.objects import Object
from machinery.workqueue import WorkQueue

log = logging.getLogger(__name__)

WORKERS = 10
# Pods that have left the API and are swept away at once. Docker is busy with each for a good while, in which the pods
# that people wait for would start later.
SWEEPS = 2
# A sweep also waits so long for starts that are going on, for each container again.
SWEEP_PATIENCE = 2.0
LONGEST_RETRY = 10.0
# A plan that has not come to rest after so many rounds is made again later, so that no pod can hold a worker for ever.
MOST_ROUNDS = 20

Change = Callable[[PodState], None]


@dataclass(slots=True)
class _Record:
    state: PodState
    inbox: deque[Change] = field(default_factory=deque)
    dirty: set[str] = field(default_factory=set)  # containers to look at again


class PodWorkers:
    def __init__(self, node: NodeFacts) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}
        self._controller = Controller(
            "pod", self._sync, workers=WORKERS, queue=WorkQueue("pod", max_delay=LONGEST_RETRY)
        )
        self._starts = Starts()
        self._sweeps = Turns(SWEEPS, self._controller.enqueue)
        self.executor: Executor
        self.statuses: StatusWriter

    def connect(self, executor: Executor, statuses: StatusWriter) -> None:
        """They need ``tell`` and ``released`` of this object, so they come after it."""
        self.executor, self.statuses = executor, statuses

    def start(self, stop: threading.Event) -> None:
        self._controller.start(stop)

    # What happens outside

    def update(self, pod: Object, container_ids: Iterable[str] = ()) -> None:
        """The API shows this pod (again); ``container_ids``: containers of its that were there before this kubelet.

        They come to the worker together with the pod: it must not plan without them.
        """
        uid, ids = podspec.uid(pod), list(container_ids)
        with self._lock:
            if uid not in self._records:
                self._records[uid] = _Record(PodState(pod, start_time=time.time()))
        self.tell(uid, lambda state: _new_object(state, pod), lambda state: self._look_at_all(state, ids))

    def gone(self, pod: Object) -> None:
        """The API shows it no more."""
        self.tell(podspec.uid(pod), lambda state: _is_gone(state, pod))

    def released(self, uid: str) -> None:
        self.tell(uid, _is_released)

    def tell(self, uid: str, *changes: Change) -> None:
        """Brings changes of a pod's state to its worker, which takes in all of them before it plans again."""
        with self._lock:
            record = self._records.get(uid)
            if record is None:
                return
            record.inbox.extend(changes)
        self._controller.enqueue(uid)

    def look_at(self, uid: str, container_id: str) -> bool:
        """Docker said something about a container; tells whether its pod is known here."""
        with self._lock:
            record = self._records.get(uid)
            if record is None:
                return False
            record.dirty.add(container_id)
        self._controller.enqueue(uid)
        return True

    def relist(self, uid: str, container_ids: Iterable[str]) -> None:
        """Docker has named its containers anew: those and the ones known before are looked at again."""
        ids = list(container_ids)
        self.tell(uid, lambda state: self._look_at_all(state, [*state.containers, *ids]))

    def end_orphan(self, pod: Object, container_ids: Iterable[str]) -> None:
        """Containers whose pod is gone: they are stopped and removed as those of any deleted pod."""
        ids = list(container_ids)
        with self._lock:
            self._records.setdefault(podspec.uid(pod), _Record(PodState(pod)))
        self.tell(podspec.uid(pod), lambda state: self._look_at_all(state, ids), lambda state: _is_gone(state, pod))

    def verdict(self, uid: str, container_id: str, probe: str, verdict: bool) -> None:
        self.tell(uid, lambda state: _probed(state, container_id, probe, verdict))

    def refresh(self, wanted: Callable[[Object], bool]) -> None:
        """Something that pods refer to has changed: those for which ``wanted`` is true look at it again."""
        for uid, pod in self._pods():
            if wanted(pod):
                self.tell(uid, _refresh)

    def wake_all(self) -> None:
        for uid, _ in self._pods():
            self._controller.enqueue(uid)

    # Reading

    def _pods(self) -> list[tuple[str, Object]]:
        with self._lock:
            return [(uid, record.state.pod) for uid, record in self._records.items()]

    def containers(self, uid: str) -> list[Container]:
        """As last seen; for the kubelet's server."""
        with self._lock:
            record = self._records.get(uid)
            return list(record.state.containers.values()) if record else []

    def known(self) -> set[str]:
        with self._lock:
            return set(self._records)

    # The worker

    def _sync(self, uid: str) -> float | None:
        with self._lock:
            record = self._records.get(uid)
        if record is None:
            return None
        since = time.perf_counter()
        try:
            return self._advance(uid, record)
        except RuntimeUnavailable as error:
            # When Docker is back everything is looked at again; until then there is nothing to do.
            log.debug("Pod %s waits for Docker: %s", podspec.path(record.state.pod), error)
            return LONGEST_RETRY
        finally:
            self._sweeps.give_back(uid)
            SYNCS.observe(time.perf_counter() - since, ("sync",))

    def _advance(self, uid: str, record: _Record) -> float | None:
        state = record.state
        for _ in range(MOST_ROUNDS):
            self._take_in(record)
            decision = plan(state, time.time())
            if not decision.actions:
                self._publish(state)
                return None if decision.wake_at is None else max(decision.wake_at - time.time(), 0.0)
            if _is_sweep(state, decision.actions) and not self._sweeps.take(uid):
                return None
            for action in decision.actions:
                if self._act(uid, state, action):
                    return None
        self._publish(state)
        log.warning("The plan of pod %s does not come to rest; going on in a moment", podspec.path(state.pod))
        return 1.0

    def _act(self, uid: str, state: PodState, action: actions.Action) -> bool:
        """Whether this was the last that had to be done for the pod."""
        match action:
            case actions.Finish():
                state.finishing = True
                self._publish(state)
                self.statuses.finish(uid)
            case actions.FailPod(reason, message):
                state.failure = Failure(reason, message)
                self.executor.execute(state, action)
            case actions.Forget():
                self.statuses.forget(uid)
                with self._lock:
                    self._records.pop(uid, None)
                return True
            case actions.CreateSandbox() | actions.StartContainer():
                with self._starts.going_on():
                    self.executor.execute(state, action)
            case actions.Remove() if state.gone or state.released:
                self._starts.wait(SWEEP_PATIENCE)
                self.executor.execute(state, action)
            case actions.Remove(container_id) if state.containers[container_id].running:
                self._publish(state)  # that the pod has ended is told before its address is free for another
                self.executor.execute(state, action)
            case _:
                self.executor.execute(state, action)
        return False

    def _take_in(self, record: _Record) -> None:
        """What was told, in order. What fails stays, and is tried again with the worker's next attempt."""
        while record.inbox:  # only this worker takes out
            record.inbox[0](record.state)
            record.inbox.popleft()
        record.state.pod = self.statuses.newest(record.state.pod)
        with self._lock:
            dirty = set(record.dirty)
            record.dirty -= dirty
        try:
            self._look_at_all(record.state, dirty)
        except Exception:
            with self._lock:
                record.dirty |= dirty
            raise

    def _look_at_all(self, state: PodState, container_ids: Iterable[str]) -> None:
        """A list is old when it arrives, so each is looked at afresh; what runs and is not probed yet will be."""
        for container_id in dict.fromkeys(container_ids):
            self.executor.look(state, container_id)
        for found in state.apps():
            if found.running and found.id not in state.verdicts:
                self.executor.attend(state, found, _recorded_verdict(state.pod, found))

    def _publish(self, state: PodState) -> None:
        if not state.gone and not state.released:
            self.statuses.publish(state.uid, status(state, self._node, time.time()))


def _is_sweep(state: PodState, planned: list[actions.Action]) -> bool:
    """All that is left is to remove the traces of a pod that the API shows no more."""
    return (state.gone or state.released) and any(isinstance(action, actions.Forget) for action in planned)


# Changes of the state


def _new_object(state: PodState, pod: Object) -> None:
    """Labels and annotations may show in a volume: what the pod says of itself is written anew if they changed."""
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


def _recorded_verdict(pod: Object, found: Container) -> Verdict:
    """A kubelet that was restarted believes what it had written down until its own probes say otherwise."""
    recorded = pod.get("status") or {}
    for row in (recorded.get("initContainerStatuses") or []) + (recorded.get("containerStatuses") or []):
        if row.get("containerID") == f"docker://{found.id}":
            return Verdict(started=row.get("started") or None, ready=row.get("ready"))
    return Verdict()
