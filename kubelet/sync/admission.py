"""Take pods in, one after the other, so that each is checked against all that were taken before it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from kubelet.model import podspec
from kubelet.pod.admission import rejection
from kubelet.pod.state import PodState
from kubelet.sync.deps import PodEvents
from kubelet.sync.podstates import PodStates
from machinery.objects import Object

log = logging.getLogger(__name__)

GetNode = Callable[[], Object]  # raises ApiError


class Admission:
    """Decides once for each pod. ``get_node`` asks the API server for this node."""

    def __init__(
        self, states: PodStates, get_node: GetNode, events: PodEvents, unsafe_sysctls: Sequence[str] = ()
    ) -> None:
        self._states = states
        self._get_node = get_node
        self._events = events
        self._unsafe_sysctls = unsafe_sysctls
        self._lock = threading.Lock()
        self._node: Object | None = None

    def admit(self, state: PodState) -> None:
        """Set ``admitted`` of a pod that is new here, or its ``failure``. Raises ApiError.

        A pod that an earlier kubelet has begun with (it has a startTime) was admitted by that.
        """
        pod = state.pod
        with self._lock:
            if pod.get("status", {}).get("startTime"):
                state.admitted = True
                return
            active = self._states.admitted()
            found = rejection(pod, self._node, active, self._unsafe_sysctls) if self._node else None
            if found or not self._node:
                # What is remembered of the node may be out of date: it may just have got a label, or been registered.
                self._node = self._get_node()
                found = rejection(pod, self._node, active, self._unsafe_sysctls)
            state.failure, state.admitted = found, found is None
        if found:
            log.warning("Pod %s is rejected: %s: %s", podspec.path(pod), found.reason, found.message)
            self._events.pod(pod, "Warning", found.reason, found.message)
