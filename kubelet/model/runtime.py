"""What the kubelet asks of a container runtime, in the words of upstream's CRI cut down to what we need.

Everything that crosses the seam is a frozen dataclass of plain values, so that the plan, the status and their golden
tests never see a Docker object, and a hand-written fake can stand in for the engine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

State = Literal["created", "running", "exited"]


class RuntimeFailure(Exception):
    """The engine answered, and refused: the message is the engine's."""


class RuntimeNotFound(RuntimeFailure):
    """There is no such container or image."""


class RuntimeUnavailable(Exception):
    """The engine does not answer at all: nobody's fault but its own, so no back-off is counted."""


@dataclass(frozen=True, slots=True)
class RuntimeContainer:
    """One container (or sandbox) of ours as the runtime last described it. Times are seconds since the epoch."""

    id: str
    pod_uid: str
    pod_name: str
    namespace: str
    name: str  # the container's name in the pod; "POD" for a sandbox, as upstream's dockershim has it
    sandbox: bool = False
    attempt: int = 0  # restartCount of a container; how many sandboxes came before for a sandbox
    state: State = "created"
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""  # why the runtime could not start it
    image: str = ""  # as the pod names it
    image_id: str = ""
    ip: str = ""  # of a sandbox with its own network
    pid: int = 0
    sandbox_id: str = ""
    runtime: str = ""  # of a sandbox: the handler that its pod's RuntimeClass asked for
    stop_signal: str = "SIGTERM"
    tty: bool = False  # its process has a terminal
    grace: int = 30  # terminationGracePeriodSeconds at creation, for the day when the pod object is gone

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class RuntimeImage:
    id: str
    user: str = ""
    size: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = "rprivate"


@dataclass(frozen=True, slots=True)
class PortBinding:
    container_port: int
    host_port: int
    protocol: str = "tcp"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    name: str
    image: str
    hostname: str
    labels: dict[str, str]
    ports: tuple[PortBinding, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False  # its PID 1 must then reap the orphans of the whole pod
    runtime: str = ""  # the handler of the pod's RuntimeClass; the engine's default when empty


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    user: str = ""
    groups: tuple[str, ...] = ()
    privileged: bool = False
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    read_only_root: bool = False
    options: tuple[str, ...] = ()
    unmasked_proc: bool = False


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    cpu_shares: int = 2
    cpu_quota: int = 0  # microseconds in each period of 100 ms; 0 is without limit
    memory: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """All that is needed to create one container, decided before the runtime is asked anything."""

    name: str
    image: str
    sandbox_id: str
    labels: dict[str, str]
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    environment: tuple[str, ...] = ()
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    security: SecurityConfig = field(default_factory=SecurityConfig)
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something happened: look again at this container, or at the images."""

    kind: Literal["container", "image"]
    action: str
    id: str
    pod_uid: str = ""
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    output: str


class ExecTimeout(Exception):
    """The command in the container ran longer than it may, and was killed."""


class ContainerRuntime(Protocol):
    def version(self) -> dict[str, str]: ...

    def containers(self) -> list[RuntimeContainer]:
        """Every container of this cluster, running or not, as far as a list tells: without times and exit codes."""

    def inspect(self, container_id: str) -> RuntimeContainer | None: ...

    def create_sandbox(self, plan: SandboxConfig) -> str: ...

    def create_container(self, plan: ContainerConfig) -> str: ...

    def start(self, container_id: str) -> None: ...

    def signal(self, container_id: str, signal: str) -> None:
        """Silent when the container has already ended."""

    def remove(self, container_id: str) -> None:
        """Kills it if need be. Silent when it is already gone."""

    def image(self, reference: str) -> RuntimeImage | None: ...

    def images(self) -> list[RuntimeImage]: ...

    def pull(self, reference: str, auth: dict[str, str] | None) -> None: ...

    def execute(self, container_id: str, command: list[str], timeout: float) -> ExecResult: ...

    def log_tail(self, container_id: str, lines: int, limit: int) -> str: ...

    def events(self, stop: threading.Event) -> Iterator[RuntimeEvent]:
        """Connected on return; blocks between events; raises RuntimeUnavailable when the stream ends."""
