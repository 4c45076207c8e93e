"""Follow the runtime's events about our containers and images, and whether the runtime answers at all.

Each time the stream of events begins (at the start, and after the runtime was away) all containers are listed. The
stream is opened before that, so that no change is missed between the two.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from kubelet.model.runtime import ContainerRuntime, RuntimeContainer, RuntimeEvent, RuntimeFailure, RuntimeUnavailable

log = logging.getLogger(__name__)

FIRST_RETRY, LONGEST_RETRY = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Whom to call: with all containers, with an event of one, when images or the runtime's health have changed."""

    listed: Callable[[list[RuntimeContainer]], None]
    container: Callable[[RuntimeEvent], None]
    images: Callable[[], None]
    health: Callable[[], None]


class RuntimeWatch:
    """Follows the events in one thread. ``problem`` is why the runtime does not answer, "" if it does."""

    def __init__(self, runtime: ContainerRuntime, listeners: Listeners) -> None:
        self._runtime = runtime
        self._listeners = listeners
        self.problem = "[container runtime status check may not have completed yet]"

    def start(self, stop: threading.Event) -> None:
        threading.Thread(target=self._run, args=(stop,), name="runtime-events", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        retry = FIRST_RETRY
        while not stop.is_set():
            try:
                events = self._runtime.events(stop)
                containers = self._runtime.containers()
                self._set("")
                retry = FIRST_RETRY
                self._listeners.images()
                self._listeners.listed(containers)
                for event in events:
                    self._handle(event)
            except (RuntimeUnavailable, RuntimeFailure) as error:
                if not stop.is_set():
                    self._set(str(error))
            except Exception:
                log.exception("Following Docker's events failed; beginning again")
            stop.wait(retry)
            retry = min(retry * 2, LONGEST_RETRY)

    def _handle(self, event: RuntimeEvent) -> None:
        if event.kind == "image":
            self._listeners.images()
        else:
            self._listeners.container(event)

    def _set(self, problem: str) -> None:
        if bool(problem) != bool(self.problem):
            if problem:
                log.error("The container runtime is away: %s", problem)
            else:
                log.info("The container runtime is there")
            self.problem = problem
            self._listeners.health()
        self.problem = problem
