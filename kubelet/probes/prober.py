"""Probes of running containers: when to call them, and when the results change what is reported.

The times of the next calls are in one heap (timers.py), and the calls run in a pool, so that a slow probe delays no
others. If a container has a startup probe, its other probes begin when that has succeeded once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from kubelet.model import podspec
from kubelet.model.runtime import ContainerRuntime, RuntimeContainer
from kubelet.probes import handlers
from kubelet.probes.handlers import Outcome, ProbeTarget
from kubelet.threads.pool import Pool
from kubelet.threads.timers import Timers
from machinery.objects import Object

log = logging.getLogger(__name__)

Kind = Literal["startup", "liveness", "readiness"]
KINDS: tuple[Kind, ...] = ("startup", "liveness", "readiness")
Report = Callable[[str, str, Kind, bool], None]  # pod uid, container id, probe, verdict
Announce = Callable[[Object, str, str, str, str], None]  # pod, container, event type, reason, message


@dataclass(slots=True)
class ThresholdCounter:
    """Counts consecutive results of one probe against its thresholds. Pure. A ``verdict`` of None means unknown."""

    success_threshold: int
    failure_threshold: int
    verdict: bool | None
    last: bool | None = None
    run: int = 0

    def count(self, success: bool) -> bool:
        """Count a result. Return True if the verdict has changed."""
        self.run = self.run + 1 if success is self.last else 1
        self.last = success
        if self.run < (self.success_threshold if success else self.failure_threshold):
            return False
        changed = self.verdict is not success
        self.verdict = success
        return changed


@dataclass(slots=True)
class Probe:
    """One probe of one container. ``config`` is the probe in the pod's spec, ``started`` the container's start."""

    kind: Kind
    config: dict[str, Any]
    pod: Object
    target: ProbeTarget
    started: float
    counter: ThresholdCounter
    cancelled: bool = False

    def first_delay(self, now: float) -> float:
        return max(self.started + float(self.config.get("initialDelaySeconds") or 0) - now, 0.0)

    @property
    def period(self) -> float:
        return float(self.config.get("periodSeconds") or 10)

    @property
    def timeout(self) -> float:
        return float(self.config.get("timeoutSeconds") or 1)


class Prober:
    """Runs the probes of all containers. ``report`` gets each change of a verdict, ``announce`` the events."""

    def __init__(
        self, runtime: ContainerRuntime, timers: Timers, pool: Pool, report: Report, announce: Announce
    ) -> None:
        self._runtime = runtime
        self._timers = timers
        self._pool = pool
        self._report = report
        self._announce = announce
        self._lock = threading.Lock()
        self._watched: dict[str, dict[Kind, Probe]] = {}  # by container id

    def watch(
        self, pod: Object, spec: podspec.Spec, container: RuntimeContainer, address: str, *, started: bool = False
    ) -> None:
        """Begin to probe a running container. ``started`` tells that its startup probe has succeeded already."""
        probes: dict[Kind, Probe] = {}
        for kind in KINDS:
            config = spec.get(f"{kind}Probe")
            if config and not (kind == "startup" and started):
                target = ProbeTarget(container.id, address, spec)
                since = container.started or time.time()
                probes[kind] = Probe(kind, config, pod, target, since, _counter(kind, config))
        with self._lock:
            if not probes or container.id in self._watched:
                return
            self._watched[container.id] = probes
        for probe in [probes["startup"]] if "startup" in probes else probes.values():
            self._schedule(probe, probe.first_delay(time.time()))

    def forget(self, container_id: str) -> None:
        with self._lock:
            probes = self._watched.pop(container_id, {})
        for probe in probes.values():
            probe.cancelled = True

    def stop_restarting(self, container_id: str) -> None:
        """Stop the probes of a container that is being stopped, but for its readiness probe, as upstream does."""
        with self._lock:
            probes = self._watched.get(container_id, {})
        for probe in probes.values():
            probe.cancelled = probe.cancelled or probe.kind != "readiness"

    def _schedule(self, probe: Probe, delay: float) -> None:
        self._timers.after(delay, lambda: self._pool.submit(lambda: self._ask(probe)))

    def _ask(self, probe: Probe) -> None:
        if probe.cancelled:
            return
        began = time.monotonic()
        outcome = self._outcome(probe)
        if probe.cancelled:
            return
        self._judge(probe, outcome)
        if probe.kind == "startup" and probe.counter.verdict:
            self._after_startup(probe)
        elif not probe.cancelled:
            self._schedule(probe, max(probe.period - (time.monotonic() - began), 0.0))

    def _outcome(self, probe: Probe) -> Outcome:
        try:
            return handlers.run(self._runtime, probe.target, probe.config, probe.timeout)
        except Exception as error:
            where = podspec.path(probe.pod)
            log.warning("%s probe of %s in %s: %r", probe.kind, probe.target.spec["name"], where, error)
            log.debug("%s probe in %s", probe.kind, where, exc_info=True)
            return Outcome(False, str(error))

    def _judge(self, probe: Probe, outcome: Outcome) -> None:
        name, title = probe.target.spec["name"], probe.kind.capitalize()
        if not outcome.success:
            self._announce(probe.pod, name, "Warning", "Unhealthy", f"{title} probe failed: {outcome.message}")
        elif outcome.warning:
            self._announce(probe.pod, name, "Warning", "ProbeWarning", f"{title} probe warning: {outcome.warning}")
        if not probe.counter.count(outcome.success):
            return
        verdict = bool(probe.counter.verdict)
        log.info("%s probe of %s in %s: %s", title, name, podspec.path(probe.pod), "passes" if verdict else "fails")
        if not verdict and probe.kind != "readiness":
            self.forget(probe.target.container_id)  # it will be restarted, and the new container has probes of its own
        self._report(podspec.uid(probe.pod), probe.target.container_id, probe.kind, verdict)

    def _after_startup(self, probe: Probe) -> None:
        with self._lock:
            probes = self._watched.get(probe.target.container_id, {})
        for other in probes.values():
            if other.kind != "startup":
                self._schedule(other, other.first_delay(time.time()))


def _counter(kind: Kind, config: dict[str, Any]) -> ThresholdCounter:
    """Return a counter for one probe.

    Before the first answer a container counts as alive but not as ready; whether it has started is not known.
    """
    verdict = {"liveness": True, "readiness": False, "startup": None}[kind]
    return ThresholdCounter(int(config.get("successThreshold") or 1), int(config.get("failureThreshold") or 3), verdict)
