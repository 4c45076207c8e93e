"""Runs the pods of this node: one worker at a time for each, for as long as there is something to do.

A worker takes in what was told about its pod, looks again at containers of which Docker said something, then plans,
acts and plans again until nothing is left to do, publishes the status, and goes. It is woken by the watch, by Docker's
event stream, by background work that has ended, by probes, and by the moment that the plan named.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from kubelet.model import podspec
from kubelet.model.runtime import Container, RuntimeUnavailable
from kubelet.pod import actions
from kubelet.pod.plan import plan
from kubelet.pod.state import Failure, PodState, Verdict
from kubelet.pod.status import NodeFacts, status
from kubelet.sync.executor import Executor
from kubelet.sync.limiter import Limiter, Starts
from kubelet.sync.metrics import SYNCS
from kubelet.sync.podstates import LONGEST_RETRY, PodStates, Record
from kubelet.sync.statusmanager import StatusManager
from machinery.controller import Controller
from machinery.objects import Object

log = logging.getLogger(__name__)

WORKERS = 10
# Pods that have left the API and are swept away at once. Docker is busy with each for a good while, in which the pods
# that people wait for would start later.
SWEEPS = 2
# A sweep also waits so long for starts that are going on, for each container again.
SWEEP_TIMEOUT = 2.0
# A plan that has not come to rest after so many rounds is made again later, so that no pod can hold a worker for ever.
MOST_ROUNDS = 20


class PodWorkers:
    """The workers of all pods: one at a time for each, ``WORKERS`` in all."""

    def __init__(self, states: PodStates, executor: Executor, statuses: StatusManager, node: NodeFacts) -> None:
        self._states = states
        self._executor = executor
        self._statuses = statuses
        self._node = node
        self._controller = Controller("pod", self._sync, workers=WORKERS, queue=states.queue)
        self._starts = Starts()
        self._sweeps = Limiter(SWEEPS, self._controller.enqueue)

    def start(self, stop: threading.Event) -> None:
        self._controller.start(stop)

    # The worker

    def _sync(self, uid: str) -> float | None:
        record = self._states.record(uid)
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
            self._sweeps.release(uid)
            SYNCS.observe(time.perf_counter() - since, ("sync",))

    def _advance(self, uid: str, record: Record) -> float | None:
        state = record.state
        for _ in range(MOST_ROUNDS):
            self._take_in(record)
            decision = plan(state, time.time())
            if not decision.actions:
                self._publish(state)
                return None if decision.wake_at is None else max(decision.wake_at - time.time(), 0.0)
            if _is_sweep(state, decision.actions) and not self._sweeps.acquire(uid):
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
                self._statuses.finish(uid)
            case actions.FailPod(reason, message):
                state.failure = Failure(reason, message)
                self._executor.execute(state, action)
            case actions.Forget():
                self._statuses.forget(uid)
                self._states.forget(uid)
                return True
            case actions.CreateSandbox() | actions.StartContainer():
                with self._starts.going_on():
                    self._executor.execute(state, action)
            case actions.Remove() if state.gone or state.released:
                self._starts.wait(SWEEP_TIMEOUT)
                self._executor.execute(state, action)
            case actions.Remove(container_id) if state.containers[container_id].running:
                self._publish(state)  # that the pod has ended is told before its address is free for another
                self._executor.execute(state, action)
            case _:
                self._executor.execute(state, action)
        return False

    def _take_in(self, record: Record) -> None:
        """What was told, in order. What fails stays, and is tried again with the worker's next attempt."""
        while record.inbox:  # only this worker takes out
            record.inbox[0](record.state)
            record.inbox.popleft()
        record.state.pod = self._statuses.newest(record.state.pod)
        dirty = self._states.take_dirty(record)
        try:
            self._look_at_all(record.state, dirty)
        except Exception:
            self._states.put_back(record, dirty)
            raise

    def _look_at_all(self, state: PodState, container_ids: Iterable[str]) -> None:
        """A list is old when it arrives, so each is looked at afresh; what runs and is not probed yet will be."""
        for container_id in dict.fromkeys(container_ids):
            self._executor.look(state, container_id)
        for found in state.apps():
            if found.running and found.id not in state.verdicts:
                self._executor.attend(state, found, _recorded_verdict(state.pod, found))

    def _publish(self, state: PodState) -> None:
        if not state.gone and not state.released:
            self._statuses.publish(state.uid, status(state, self._node, time.time()))


def _is_sweep(state: PodState, planned: list[actions.Action]) -> bool:
    """All that is left is to remove the traces of a pod that the API shows no more."""
    return (state.gone or state.released) and any(isinstance(action, actions.Forget) for action in planned)


def _recorded_verdict(pod: Object, found: Container) -> Verdict:
    """A kubelet that was restarted believes what it had written down until its own probes say otherwise."""
    recorded = pod.get("status") or {}
    for row in (recorded.get("initContainerStatuses") or []) + (recorded.get("containerStatuses") or []):
        if row.get("containerID") == f"docker://{found.id}":
            return Verdict(started=row.get("started") or None, ready=row.get("ready"))
    return Verdict()
