"""What the parts of the executor work with, as one value that the agent makes once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kubelet.model import podspec
from kubelet.model.images import ImageCache
from kubelet.model.runtime import ContainerRuntime
from kubelet.pod.state import PodState
from kubelet.probes.prober import Prober
from kubelet.sync.sources import Sources
from kubelet.threads.pool import Pool
from kubelet.volumes.manager import VolumeManager
from kubelet.volumes.mounts import Mounts
from machinery.events import EventRecorder
from machinery.objects import Object

Change = Callable[[PodState], None]
Tell = Callable[[str, Change], None]


class PodEvents:
    """Events on pods and their containers, as ``kubectl describe pod`` shows them."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def pod(self, pod: Object, type: str, reason: str, message: str) -> None:
        self._recorder.event(pod, type, reason, message)

    def container(self, pod: Object, name: str, type: str, reason: str, message: str) -> None:
        """Record an event with the field path that tells which container is meant, as upstream does."""
        init = name in {spec["name"] for spec in podspec.init_containers(pod)}
        path = f"spec.{'initContainers' if init else 'containers'}{{{name}}}"
        self._recorder.event(pod, type, reason, message, field_path=path)


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What pods may learn about their node: its IP, its memory in bytes, and its allocatable resources."""

    ip: str
    memory: int
    allocatable: dict[str, str]


@dataclass(frozen=True, slots=True)
class Deps:
    """``tell`` brings the result of background work to the pod's worker (see ``PodStates.tell``)."""

    runtime: ContainerRuntime
    images: ImageCache
    volumes: VolumeManager
    mounts: Mounts
    sources: Sources
    events: PodEvents
    prober: Prober
    pool: Pool
    tell: Tell
    node: NodeLimits
    sandbox_image: str

    def address(self, state: PodState) -> str:
        """Return the IP at which a pod is reached from this node."""
        sandbox = state.sandbox()
        if podspec.is_host_network(state.pod) or sandbox is None:
            return self.node.ip
        return sandbox.ip
