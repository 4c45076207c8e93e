"""Run the pods of this node: one worker at a time for each, for as long as there is something to do.

A worker applies the changes that were told about its pod, inspects containers of which the runtime said something, then
plans, acts and plans again until nothing is left to do, publishes the status, and ends. It is woken by the watch of
pods, by the runtime's events, by background work that has ended, by probes, and at the time that the plan named.
"""

from __future__ import annotations

import logging
import threading
import time

from kubelet.model import podspec
from kubelet.model.runtime import RuntimeUnavailable
from kubelet.pod import actions
from kubelet.pod.plan import plan
from kubelet.pod.state import PodState
from kubelet.sync.admission import Admission
from kubelet.sync.executor import Executor
from kubelet.sync.limiter import Limiter
from kubelet.sync.metrics import SYNCS
from kubelet.sync.podstates import LONGEST_RETRY, PodRecord, PodStates
from kubelet.sync.statusmanager import StatusManager
from machinery.controller import Controller

log = logging.getLogger(__name__)

WORKERS = 10
# How many pods that are gone from the API are removed at once. Docker is busy with each for a good while, and the pods
# that people wait for would start later.
REMOVALS = 2
# A pod whose plan has not come to an end after so many rounds is put off, so that no pod can hold a worker for ever.
MOST_ROUNDS = 20


class PodWorkers:
    """The workers of all pods: one at a time for each, ``WORKERS`` in all."""

    def __init__(self, states: PodStates, admission: Admission, executor: Executor, statuses: StatusManager) -> None:
        self._states = states
        self._admission = admission
        self._executor = executor
        self._statuses = statuses
        self._controller = Controller("pod", self._sync, workers=WORKERS, queue=states.queue)
        self._removals = Limiter(REMOVALS, self._controller.enqueue)

    def start(self, stop: threading.Event) -> None:
        self._controller.start(stop)

    def _sync(self, uid: str) -> float | None:
        """Do what there is to do for a pod. Return the seconds until it is due again, None if only an event is."""
        record = self._states.record(uid)
        if record is None:
            return None
        since = time.perf_counter()
        try:
            return self._advance(uid, record)
        except RuntimeUnavailable as error:
            # When Docker is back all pods are looked at again; until then there is nothing to do.
            log.debug("Pod %s waits for Docker: %s", podspec.path(record.state.pod), error)
            return LONGEST_RETRY
        finally:
            self._removals.release(uid)
            SYNCS.observe(time.perf_counter() - since, ("sync",))

    def _advance(self, uid: str, record: PodRecord) -> float | None:
        state = record.state
        for _ in range(MOST_ROUNDS):
            self._take_in(record)
            if not (state.admitted or state.failure or state.gone or podspec.is_deleting(state.pod)):
                self._admission.admit(state)
            decision = plan(state, time.time())
            if not decision.actions:
                self._executor.publish(state)
                return None if decision.wake_at is None else max(decision.wake_at - time.time(), 0.0)
            if _is_removal(state, decision.actions) and not self._removals.acquire(uid):
                return None  # the limiter wakes this pod when it is its turn
            for action in decision.actions:
                self._executor.execute(state, action)
            if self._states.record(uid) is not record:
                return None  # the plan ended with Forget
        self._executor.publish(state)
        log.warning("The plan of pod %s does not come to rest; going on in a moment", podspec.path(state.pod))
        return 1.0

    def _take_in(self, record: PodRecord) -> None:
        """Apply what was told, in order, and inspect what may have changed.

        What fails is kept, and tried again by the worker's next attempt.
        """
        while record.inbox:  # only this worker takes from it
            record.inbox[0](record.state)
            record.inbox.popleft()
        record.state.pod = self._statuses.newest(record.state.pod)
        dirty = self._states.take_dirty(record)
        try:
            self._executor.look(record.state, dirty)
        except Exception:
            self._states.put_back(record, dirty)
            raise


def _is_removal(state: PodState, planned: list[actions.Action]) -> bool:
    """Return True if all that is left is to remove the traces of a pod that the API shows no more."""
    return (state.gone or state.released) and any(isinstance(action, actions.Forget) for action in planned)
