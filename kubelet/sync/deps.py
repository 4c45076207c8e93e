"""What the parts of the executor work with, in one bundle: all of it is made once, by the agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kubelet.model import podspec
from kubelet.model.images import Images
from kubelet.model.runtime import ContainerRuntime
from kubelet.pod.state import PodState
from kubelet.probes.prober import Prober
from kubelet.sync.events import PodEvents
from kubelet.sync.sources import Sources
from kubelet.threads.pool import Pool
from kubelet.volumes.manager import VolumeManager
from kubelet.volumes.mounts import Mounts

Change = Callable[[PodState], None]
Tell = Callable[[str, Change], None]


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What downward API and resource settings need to know of the node."""

    ip: str
    memory: int
    allocatable: dict[str, str]


@dataclass(frozen=True, slots=True)
class Deps:
    """``tell`` brings what background work came to back to the pod's worker."""

    runtime: ContainerRuntime
    images: Images
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
        """Where a pod is reached from this node."""
        sandbox = state.sandbox()
        if podspec.is_host_network(state.pod) or sandbox is None:
            return self.node.ip
        return sandbox.ip
