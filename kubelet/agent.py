"""The node agent: builds all parts of the kubelet and connects them, and is the PodHost of the kubelet's server.

    watch of pods ─┐                                             ┌─> runtime, volumes, events
    runtime events ┼─> PodStates ─> PodWorkers ─> plan ─> Executor ─> (pools, probes) ─> PodStates
    probes, pools ─┘                    └─> status ─> StatusManager ─> API server

Only pods that the API binds to this node are run. Orphan containers, which carry our label but belong to none of these
pods, are stopped and removed; containers without our label are never looked at.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from dataclasses import dataclass

from kubelet.model import podspec
from kubelet.model.images import ImageCache
from kubelet.model.names import ClusterDns
from kubelet.model.runtime import ContainerRuntime, RuntimeContainer, RuntimeEvent
from kubelet.node import machine
from kubelet.node.registration import NodeConfig, NodeRegistration
from kubelet.probes.prober import Prober
from kubelet.sync import metrics
from kubelet.sync.admission import Admission
from kubelet.sync.deps import Deps, NodeLimits, PodEvents
from kubelet.sync.executor import Executor
from kubelet.sync.podstates import PodStates
from kubelet.sync.runtimewatch import Listeners, RuntimeWatch
from kubelet.sync.sources import Sources, references
from kubelet.sync.sourcewatch import SourceWatch
from kubelet.sync.statusmanager import StatusManager
from kubelet.sync.workers import PodWorkers
from kubelet.threads.pool import Pool
from kubelet.threads.timers import Timers
from kubelet.volumes.manager import VolumeManager
from kubelet.volumes.mounts import Mounts
from kubelet.volumes.tokens import TokenCache
from machinery.client import Client
from machinery.errors import NotFound
from machinery.events import EventRecorder
from machinery.informer import Informers
from machinery.objects import Object
from machinery.resources import NODES, PODS, SERVICES

log = logging.getLogger(__name__)

# Threads for calls that may block for long, for all pods together: hooks, pulls, volumes. Probes have threads of their
# own, so that pulls and hooks, however slow, never make a container seem dead.
MOST_CALLS = 128
MOST_PROBES = 512
RELIST_EVERY = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """The agent's settings. ``sandbox_image`` is the local image of the container that holds a pod's network."""

    node: NodeConfig
    sandbox_image: str
    dns: ClusterDns
    allowed_unsafe_sysctls: tuple[str, ...] = ()


class Agent:
    """Implements ``PodHost`` (kubelet/server/host.py). ``start`` begins everything, ``close`` ends it."""

    def __init__(self, client: Client, runtime: ContainerRuntime, config: AgentConfig) -> None:
        self._config = config
        self._runtime = runtime
        config.node.root.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._recorder = EventRecorder(client, "kubelet", config.node.name)
        self._timers = Timers()
        self._pool = Pool("call", MOST_CALLS)
        self._images = ImageCache(runtime)
        self._volumes = VolumeManager(config.node.root, TokenCache(client))
        self._informers = Informers(client)
        self._pods = self._informers.of(PODS, field_selector=f"spec.nodeName={config.node.name}")
        self._sources = SourceWatch(client, self._source_changed)
        self._states = PodStates()
        self._statuses = StatusManager(client, self._states.released)
        self._runtime_watch = RuntimeWatch(
            runtime, Listeners(self._listed, self._container_event, self._images.changed, self._health_changed)
        )
        self._node = NodeRegistration(
            client,
            runtime,
            config.node,
            lambda: self._runtime_watch.problem,
        )
        self._admission = Admission(
            self._states,
            lambda: client.get(NODES, config.node.name),
            PodEvents(self._recorder),
            config.allowed_unsafe_sysctls,
        )
        self._workers = PodWorkers(self._states, self._admission, self._executor(client), self._statuses)
        metrics.show(config.node.name, self._all_containers)
        self._unclaimed: dict[
            str, list[RuntimeContainer]
        ] = {}  # containers of the first list by pod uid, until their pods are seen
        self._watching = False

    def _executor(self, client: Client) -> Executor:
        config, events, pool = self._config, PodEvents(self._recorder), self._pool
        services = self._informers.of(SERVICES)
        deps = Deps(
            runtime=self._runtime,
            images=self._images,
            volumes=self._volumes,
            mounts=Mounts(self._volumes, config.dns),
            sources=Sources(client, self._sources.get, services),
            events=events,
            prober=Prober(
                self._runtime, self._timers, Pool("probe", MOST_PROBES), self._states.verdict, events.container
            ),
            pool=pool,
            tell=self._states.tell,
            node=NodeLimits(config.node.ip, machine.memory(), machine.allocatable(config.node.root)),
            sandbox_image=config.sandbox_image,
        )
        return Executor(deps, self._states, self._statuses)

    def start(self, stop: threading.Event) -> None:
        """Start all threads, which run until ``stop`` is set, and return."""
        self._stop = stop
        self._timers.start()
        self._informers.start(stop)
        self._runtime_watch.start(stop)
        self._node.start(stop)
        self._statuses.start(stop)
        self._workers.start(stop)
        self._timers.after(RELIST_EVERY, lambda: self._pool.submit(self._relist))

    def close(self) -> None:
        """Release what ``start`` began, after ``stop`` is set. The containers keep running."""
        self._timers.stop()
        self._sources.close()
        self._node.changed()
        self._recorder.close()

    # What the watches and the runtime tell

    def _listed(self, containers: list[RuntimeContainer]) -> None:
        """Take in a list of all our containers: at the start, whenever the runtime came back, and every RELIST_EVERY
        seconds.

        The first list waits for the pods, because an orphan container can be told only by them. Then each container is
        looked at by its pod's worker, and those without a pod are stopped and removed.
        """
        by_pod: dict[str, list[RuntimeContainer]] = defaultdict(list)
        for container in containers:
            by_pod[container.pod_uid].append(container)
        if not self._watching:
            if not self._wait_for_pods():
                return
            self._unclaimed = by_pod
            self._pods.add_handler(self._pod_changed)  # calls it for every pod that there is
            self._watching, self._unclaimed = True, {}
            self._clean_folders(set(by_pod))
        else:
            for uid in self._states.known():
                self._states.relist(uid, [found.id for found in by_pod.pop(uid, [])])
        for uid, found in by_pod.items():
            log.info("Removing %d containers of pod %s, which is gone", len(found), found[0].pod_name or uid)
            self._states.end_orphan(_stand_in(uid, found), [container.id for container in found])

    def _relist(self) -> None:
        """List all containers, in case an event of the runtime was lost."""
        self._timers.after(RELIST_EVERY, lambda: self._pool.submit(self._relist))
        if self._watching and not self._runtime_watch.problem:
            self._listed(self._runtime.containers())

    def _wait_for_pods(self) -> bool:
        """Wait until the pods of this node have been listed. Return False if the kubelet stops before."""
        while not self._pods.wait_synced(1.0):
            if self._stop.is_set():
                return False
        return True

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._sources.pod_gone(old)
                self._states.gone(old)
            return
        self._sources.pod_changed(new)
        found = self._unclaimed.pop(podspec.uid(new), [])
        if found:
            log.info("Pod %s: picked up with %d containers", podspec.path(new), len(found))
        self._states.update(new, [container.id for container in found])

    def _clean_folders(self, with_containers: set[str]) -> None:
        known = {podspec.uid(pod) for pod in self._pods.list()} | with_containers
        for uid in self._volumes.known_pods():
            if uid not in known:
                log.info("Removing what is left of the volumes of pod %s", uid)
                self._volumes.clean_up(uid)

    def _container_event(self, event: RuntimeEvent) -> None:
        if not self._states.look_at(event.pod_uid, event.id):
            log.debug("Docker: %s %s of an unknown pod", event.action, event.id[:12])

    def _health_changed(self) -> None:
        self._node.changed()
        self._states.wake_all()

    def _source_changed(self, kind: str, namespace: str, name: str) -> None:
        self._states.refresh(lambda pod: pod["metadata"]["namespace"] == namespace and (kind, name) in references(pod))

    # PodHost

    @property
    def node_name(self) -> str:
        return self._config.node.name

    def pods(self) -> list[Object]:
        return [self._statuses.shown(pod) for pod in self._pods.list()]

    def pod(self, namespace: str, name: str) -> Object | None:
        found = self._pods.get(f"{namespace}/{name}")
        return self._statuses.shown(found) if found else None

    def container_id(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
        return self._attempt(namespace, pod, container, previous=previous).id

    def container_pid(self, namespace: str, pod: str, container: str) -> int:
        return self._attempt(namespace, pod, container).pid

    def _attempt(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> RuntimeContainer:
        attempts = sorted(
            (found for found in self._containers(namespace, pod) if found.name == container and not found.sandbox),
            key=lambda found: (found.attempt, found.created),
            reverse=True,
        )
        wanted = attempts[1:] if previous else attempts
        if not wanted:
            raise NotFound(f'container "{container}" not found in pod "{pod}"')
        return wanted[0]

    def sandbox_pid(self, namespace: str, pod: str) -> int:
        found = self._pods.get(f"{namespace}/{pod}")
        if found is not None and podspec.is_host_network(found):
            return 0
        for container in self._containers(namespace, pod):
            if container.sandbox and container.running:
                return container.pid
        raise NotFound(f'pod "{pod}" has no running sandbox')

    def healthy(self) -> str:
        if not self._pods.synced:
            return "the pods of this node have not been listed yet"
        return self._runtime_watch.problem

    def _all_containers(self) -> list[RuntimeContainer]:
        return [found for uid in self._states.known() for found in self._states.containers(uid)]

    def _containers(self, namespace: str, pod: str) -> list[RuntimeContainer]:
        found = self._pods.get(f"{namespace}/{pod}")
        return self._states.containers(podspec.uid(found)) if found else []


def _stand_in(uid: str, found: list[RuntimeContainer]) -> Object:
    """Return what is still known of a pod whose object is gone.

    It is enough to stop its containers with the grace period that they had.
    """
    first = found[0]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": first.pod_name, "namespace": first.namespace, "uid": uid},
        "spec": {
            "terminationGracePeriodSeconds": first.grace,
            "containers": [{"name": c.name, "image": c.image} for c in found if not c.sandbox],
        },
    }
