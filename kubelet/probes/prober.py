"""Probes of running containers: when to ask, and when an answer changes the verdict.

Deadlines stand in one heap (timers.py), the asking happens in a pool, so a slow probe delays nobody else. A container
with a startup probe is not asked anything else before that has succeeded once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
    """Consecutive answers of one kind against the thresholds. Pure."""

    success_threshold: int
    failure_threshold: int
    verdict: bool | None
    last: bool | None = None
    run: int = 0

    def count(self, success: bool) -> bool:
        """Takes an answer in; tells whether the verdict has changed."""
        self.run = self.run + 1 if success is self.last else 1
        self.last = success
        if self.run < (self.success_threshold if success else self.failure_threshold):
            return False
        changed = self.verdict is not success
        self.verdict = success
        return changed


@dataclass(slots=True)
class Probe:
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


@dataclass(slots=True)
class _Watched:
    probes: dict[Kind, Probe] = field(default_factory=dict)


class Prober:
    def __init__(
        self, runtime: ContainerRuntime, timers: Timers, pool: Pool, report: Report, announce: Announce
    ) -> None:
        self._runtime = runtime
        self._timers = timers
        self._pool = pool
        self._report = report
        self._announce = announce
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}

    def watch(
        self, pod: Object, spec: podspec.Spec, container: RuntimeContainer, address: str, *, started: bool = False
    ) -> None:
        """Begins to ask a running container. ``started``: its startup probe has succeeded already."""
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
            self._watched[container.id] = _Watched(probes)
        for probe in [probes["startup"]] if "startup" in probes else probes.values():
            self._schedule(probe, probe.first_delay(time.time()))

    def forget(self, container_id: str) -> None:
        with self._lock:
            watched = self._watched.pop(container_id, None)
        for probe in watched.probes.values() if watched else ():
            probe.cancelled = True

    def stop_restarting(self, container_id: str) -> None:
        """A container on its way out is only asked whether it still is ready, as upstream does."""
        with self._lock:
            watched = self._watched.get(container_id)
        for probe in watched.probes.values() if watched else ():
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
            log.exception("%s probe of %s in %s", probe.kind, probe.target.spec["name"], podspec.path(probe.pod))
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
            self.forget(probe.target.container_id)  # it will be restarted; the next container is asked anew
        self._report(podspec.uid(probe.pod), probe.target.container_id, probe.kind, verdict)

    def _after_startup(self, probe: Probe) -> None:
        with self._lock:
            watched = self._watched.get(probe.target.container_id)
        for other in watched.probes.values() if watched else ():
            if other.kind != "startup":
                self._schedule(other, other.first_delay(time.time()))


def _counter(kind: Kind, config: dict[str, Any]) -> ThresholdCounter:
    """Alive until proven otherwise; not ready until proven; a startup probe has no opinion before it speaks."""
    verdict = {"liveness": True, "readiness": False, "startup": None}[kind]
    return ThresholdCounter(int(config.get("successThreshold") or 1), int(config.get("failureThreshold") or 3), verdict)
