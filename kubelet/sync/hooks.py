"""Call lifecycle hooks (postStart, preStop) in the background."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from kubelet.model import podspec
from kubelet.model.runtime import RuntimeContainer
from kubelet.pod.state import PodState
from kubelet.probes.handlers import Outcome, ProbeTarget, run_hook
from kubelet.sync.deps import Deps

log = logging.getLogger(__name__)


def begin_hook(
    deps: Deps,
    state: PodState,
    found: RuntimeContainer,
    kind: Literal["postStart", "preStop"],
    timeout: float,
    done: Callable[[PodState, Outcome], None],
) -> bool:
    """Begin to call a container's hook; return False if it has none.

    The pod's worker calls ``done`` with what came of it. A failure is also an event on the pod.
    """
    container, pod = podspec.container(state.pod, found.name), state.pod
    hook = container.get("lifecycle", {}).get(kind) if container else None
    if not container or not hook:
        return False
    target = ProbeTarget(found.id, deps.address(state), container)

    def call() -> None:
        outcome = run_hook(deps.runtime, target, hook, timeout)
        if not outcome.success:
            log.warning("%s hook of %s in %s: %s", kind, found.name, podspec.path(pod), outcome.message)
            name = kind[0].upper() + kind[1:] + "Hook"
            deps.events.container(pod, found.name, "Warning", f"Failed{name}", f"{name} failed")
        deps.tell(podspec.uid(pod), lambda state: done(state, outcome))

    deps.pool.submit(call)
    return True
