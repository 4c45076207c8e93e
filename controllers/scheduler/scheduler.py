"""Bind pods to nodes (upstream: pkg/scheduler).

1. A pod without a node is enqueued. Several workers take pods from the queue, but only one at a time decides.
2. ``plan`` (no I/O) filters the nodes and chooses the best of those that fit.
3. The pod is *assumed* on that node: it counts there at once, so that the next decision sees it.
4. The worker posts the binding, while others decide already.
5. If the pod fits nowhere, ``preemption.py`` may find pods of lower priority to evict. Either way it waits in
   ``Unschedulable`` until something changes that could help it, but at least for its backoff.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from controllers.scheduler import preemption
from controllers.scheduler.misfit import Misfit, explain
from controllers.scheduler.nodefit import score, unfit
from controllers.scheduler.nodeusage import NodeUsage, Placement, nominated_node, priority_of, usage_of
from controllers.scheduler.podaffinity import NamespaceLabels, has_affinity, pod_affinity
from controllers.scheduler.preemption import Candidate, Fits
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import SCHEDULER_USER, ControllerDescriptor, WatchedKind
from controllers.shared.failures import namespace_terminating, outcome_unknown
from controllers.shared.podstatus import disruption_target, patch_status
from machinery.controller import Controller
from machinery.errors import ApiError, Conflict, NotFound
from machinery.metrics import METRICS
from machinery.objects import Object, get_condition, is_pod_terminal, key, labels_of, now
from machinery.podrequests import requests_of
from machinery.policyrules import (
    APPS,
    COORDINATION,
    EXTENSIONS,
    POLICY,
    READ,
    REVIEW_ACCESS,
    REVIEW_TOKENS,
    STORAGE,
    WRITE_EVENTS,
    can,
)
from machinery.resources import NAMESPACES, NODES, PODS

log = logging.getLogger(__name__)

NAME = "default-scheduler"
# Seconds between the attempts for one pod: they double, from the first of these to the second.
BACKOFF = (0.1, 10.0)
# After so many seconds an unschedulable pod is tried again even if nothing happened, as upstream does.
RETRY_ANYWAY = 300.0

# Upstream's names (pkg/scheduler/metrics).
ATTEMPTS = METRICS.histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "[STABLE] How long it took to find a node for a pod, or none.",
    ("result", "profile"),
    [0.001 * 2**power for power in range(15)],
)
ATTEMPTS.counted_as("scheduler_schedule_attempts_total", "[STABLE] Pods for which a node was looked for.")


def plan(
    pod: Object, nodes: Iterable[Object], usage: NodeUsage, namespace_labels: NamespaceLabels = lambda _: {}
) -> tuple[str, dict[str, Misfit]]:
    """Return the best node for the pod, or "", and for each node on which it does not fit the reason.

    A node for which the pod is nominated is best if it fits; between equal nodes the first by name is.
    """
    candidates = {str(node["metadata"]["name"]): node for node in nodes}
    taken = {name: usage.of(name, pod) for name in candidates}
    placed = [(other, node) for name, node in candidates.items() for other in taken[name].pods]
    affinity = pod_affinity(pod, placed, namespace_labels)
    requests = requests_of(pod)
    misfits: dict[str, Misfit] = {}
    fitting: list[str] = []
    for name in sorted(candidates):
        misfit = unfit(pod, requests, candidates[name], taken[name]) or affinity.unfit(candidates[name])
        if misfit is None:
            fitting.append(name)
        else:
            misfits[name] = misfit
    if (nominated := nominated_node(pod)) in fitting:
        return nominated, misfits
    best = max(fitting, key=lambda name: score(pod, requests, candidates[name], taken[name]), default="")
    return best, misfits


def fits_among(pod: Object, nodes: Iterable[Object], usage: NodeUsage, namespace_labels: NamespaceLabels) -> Fits:
    """Return a function that tells whether the pod would fit on a node with only some of its pods.

    All other nodes stay as they are.
    """
    requests = requests_of(pod)
    everywhere = [(node, usage.of(node["metadata"]["name"], pod).pods) for node in nodes]

    def fits(node: Object, staying: Sequence[Placement]) -> bool:
        elsewhere = [(other, host) for host, pods in everywhere if host is not node for other in pods]
        placed = [*elsewhere, *((placement.pod, node) for placement in staying)]
        affinity = pod_affinity(pod, placed, namespace_labels)
        return unfit(pod, requests, node, usage_of(staying)) is None and affinity.unfit(node) is None

    return fits


def is_waiting(pod: Object) -> bool:
    """Return True if this scheduler must bind the pod.

    It must not be bound, gated, ended, being deleted or another scheduler's.
    """
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and (spec.get("schedulerName") or NAME) == NAME
        and not pod["metadata"].get("deletionTimestamp")
        and not is_pod_terminal(pod)
    )


class Scheduler:
    """Watches pods and nodes, and binds the pods that wait."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.pods = context.informer(PODS)
        self.nodes = context.informer(NODES)
        self.namespaces = context.informer(NAMESPACES)
        self.recorder = context.recorder(NAME)
        self.usage = NodeUsage()
        self.deciding = threading.Lock()
        self.waiting = Unschedulable()
        self.controller = Controller("scheduler", self.reconcile, workers=4)
        self.controller.requires(self.pods, self.nodes, self.namespaces)
        self.pods.add_handler(self.usage.observe)
        self.pods.add_handler(self.pod_changed)
        self.nodes.add_handler(self.node_changed)
        self.start = self.controller.start

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue a pod that waits; if a pod leaves or is bound, try those again that this could help."""
        if new is not None and is_waiting(new):
            if old is None or not is_waiting(old) or demands(old) != demands(new):
                self.waiting.forget(key(new))
                self.controller.enqueue(key(new))
            return
        pod = new if new is not None else old
        if pod is None:
            return
        if new is None or is_pod_terminal(new):
            self.waiting.forget(key(pod))
            if pod["spec"].get("nodeName"):
                self.retry_waiting()
        elif old is None or demands(old) != demands(new):
            # It was bound, or its labels changed: pods whose affinity selects it may fit now.
            self.retry_waiting(has_affinity)

    def node_changed(self, old: Object | None, new: Object | None) -> None:
        """Try unschedulable pods again if a node is new, or something changed that a filter reads."""
        if new is not None and (old is None or offer(old) != offer(new)):
            self.retry_waiting()

    def retry_waiting(self, concerned: Callable[[Object], bool] = lambda _: True) -> None:
        """Enqueue each unschedulable pod for which ``concerned`` returns True, when its backoff has passed.

        The more important pods come first, because one that may not preempt others has no other advantage.
        """
        waiting = [(pod, delay) for pod_key, delay in self.waiting.delays() if (pod := self.pods.get(pod_key))]
        for pod, delay in sorted(waiting, key=lambda each: -priority_of(each[0])):
            if concerned(pod):
                self.controller.enqueue_after(key(pod), delay)

    def reconcile(self, pod_key: str) -> float | None:
        """Find a node for one pod and bind it, or report why there is none."""
        pod = self.pods.get(pod_key)
        if pod is None or not is_waiting(pod):
            self.waiting.forget(pod_key)
            return None
        if self.usage.assumed_on(pod["metadata"]["uid"]):
            return self.check_assumed(pod)
        since = time.perf_counter()
        victims: Candidate | None = None
        ineligible = ""
        with self.deciding:
            nodes = self.nodes.list()
            node, misfits = plan(pod, nodes, self.usage, self.namespace_labels)
            if node:
                self.usage.assume(pod, node)
            elif not (ineligible := preemption.ineligible(pod, self.usage)):
                victims = self.find_victims(pod, nodes, misfits)
        ATTEMPTS.observe(time.perf_counter() - since, ("scheduled" if node else "unschedulable", NAME))
        if not node:
            self.waiting.add(pod_key)
            if victims is not None:
                self.preempt(pod, victims)
            nominated = victims.node if victims else nominated_node(pod) if ineligible == preemption.WAITS else ""
            self.report_unschedulable(pod, explain(misfits, ineligible, preempts=victims is not None), nominated)
            return RETRY_ANYWAY
        self.waiting.forget(pod_key)
        self.bind(pod, node)
        return None

    def find_victims(self, pod: Object, nodes: Sequence[Object], misfits: Mapping[str, Misfit]) -> Candidate | None:
        """Find pods to preempt, and from now on keep the room that they leave for this pod."""
        fits = fits_among(pod, nodes, self.usage, self.namespace_labels)
        found = preemption.choose(pod, nodes, misfits, self.usage, fits)
        if found is None:
            self.usage.withdraw(pod["metadata"]["uid"])
        else:
            self.usage.nominate(pod, found.node, found.victims)
        return found

    def preempt(self, pod: Object, candidate: Candidate) -> None:
        """Evict the victims. If that fails, the nomination is withdrawn, and the decision made anew."""
        uid = pod["metadata"]["uid"]
        log.info("pod %s gets room on %s, where %d have to go", key(pod), candidate.node, len(candidate.victims))
        for victim in candidate.victims:
            try:
                self.evict(victim)
            except ApiError:
                self.usage.withdraw(uid)
                raise
            message = f"Preempted by pod {uid} on node {candidate.node}"
            self.recorder.event(victim, "Normal", "Preempted", message)

    def evict(self, victim: Object) -> None:
        """Delete a victim, after the reason was written to its status."""
        meta = victim["metadata"]
        why = disruption_target("PreemptionByScheduler", f"{NAME}: preempting to accommodate a higher priority pod")
        with suppress(NotFound, Conflict):  # The pod is gone, or there is another one with its name.
            patch_status(self.client, victim, {"conditions": [why]})
            self.client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace, which affinity terms may select."""
        namespace = self.namespaces.get(name)
        return labels_of(namespace) if namespace else {}

    def bind(self, pod: Object, node: str) -> None:
        """Post the binding.

        If it is unknown whether it was carried out, the pod stays assumed until ``check_assumed`` finds out.
        """
        name, namespace, uid = (pod["metadata"][part] for part in ("name", "namespace", "uid"))
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            self.client.create_subresource(PODS, name, namespace, "binding", binding)
        except ApiError as error:
            if not outcome_unknown(error):
                self.usage.forget(uid)
            if isinstance(error, NotFound | Conflict) or namespace_terminating(error):
                # The pod is deleted, will be soon, or was bound by somebody else; the watch will show which.
                log.info("pod %s/%s was not bound to %s: %s", namespace, name, node, error)
                return
            raise
        self.recorder.event(pod, "Normal", "Scheduled", f"Successfully assigned {namespace}/{name} to {node}")

    def check_assumed(self, pod: Object) -> float | None:
        """Ask the API server for a pod whose binding was posted and is not seen in the watch.

        Return 0 if the pod is not bound, so that it is scheduled again at once.
        """
        uid = pod["metadata"]["uid"]
        live = self.client.find(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])
        same = live if live and live["metadata"]["uid"] == uid else None
        if same and same["spec"].get("nodeName"):
            return None
        self.usage.forget(uid)
        return 0 if same else None

    def report_unschedulable(self, pod: Object, message: str, nominated: str = "") -> None:
        """Record the event, and write the condition and the nominated node if they differ."""
        self.recorder.event(pod, "Warning", "FailedScheduling", message)
        condition = get_condition(pod, "PodScheduled")
        told = condition is not None and (condition.get("status"), condition.get("message")) == ("False", message)
        if told and nominated == nominated_node(pod):
            return
        same = condition is not None and condition.get("status") == "False"
        new = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": condition["lastTransitionTime"] if condition and same else now(),
        }
        meta = pod["metadata"]
        patch = {"status": {"conditions": [new], "nominatedNodeName": nominated or None}}
        try:
            self.client.patch(PODS, meta["name"], meta["namespace"], patch, type="strategic", subresource="status")
        except NotFound:
            self.waiting.forget(key(pod))


def demands(pod: Object) -> tuple[object, ...]:
    """Return the part of a waiting pod on which the decision depends."""
    return pod["metadata"]["uid"], pod["metadata"].get("labels"), pod["spec"]


def offer(node: Object) -> tuple[object, ...]:
    """Return the part of a node on which decisions depend."""
    ready = get_condition(node, "Ready")
    return (
        node["metadata"].get("labels"),
        node.get("spec", {}).get("taints"),
        node.get("spec", {}).get("unschedulable"),
        node.get("status", {}).get("allocatable"),
        ready.get("status") if ready else None,
    )


class Unschedulable:
    """The pods that fit nowhere: the number of their attempts, and the time of the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: dict[str, tuple[int, float]] = {}

    def add(self, pod_key: str) -> None:
        """Note that another attempt has failed."""
        with self._lock:
            count, _ = self._attempts.get(pod_key, (0, 0.0))
            self._attempts[pod_key] = (count + 1, time.monotonic())

    def forget(self, pod_key: str) -> None:
        """Drop a pod that is bound, gone or changed."""
        with self._lock:
            self._attempts.pop(pod_key, None)

    def delays(self) -> list[tuple[str, float]]:
        """Return each pod's key, and the seconds until it may be tried again."""
        at = time.monotonic()
        with self._lock:
            return [
                (pod_key, max(last + min(BACKOFF[0] * 2 ** min(count - 1, 20), BACKOFF[1]) - at, 0.0))
                for pod_key, (count, last) in self._attempts.items()
            ]


SCHEDULER = ControllerDescriptor(
    "scheduler",
    Scheduler,
    account=SCHEDULER_USER,
    rules=(
        WRITE_EVENTS,
        can("create", "leases", COORDINATION),
        can("get update", "leases", COORDINATION, names="kube-scheduler"),
        can(READ, "nodes"),
        can("delete get list watch", "pods"),
        can("create", "bindings pods/binding"),
        can("patch update", "pods/status"),
        can(READ, "replicationcontrollers services"),
        can(READ, "replicasets", APPS, EXTENSIONS),
        can(READ, "statefulsets", APPS),
        can(READ, "poddisruptionbudgets", POLICY),
        can(READ, "persistentvolumeclaims persistentvolumes"),
        REVIEW_TOKENS,
        REVIEW_ACCESS,
        can(READ, "csinodes", STORAGE),
        can(READ, "namespaces"),
        can(READ, "csidrivers", STORAGE),
        can(READ, "csistoragecapacities", STORAGE),
    ),
    watches=(WatchedKind(PODS), WatchedKind(NODES), WatchedKind(NAMESPACES)),
)
