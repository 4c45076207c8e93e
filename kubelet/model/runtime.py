"""What the kubelet asks of a container runtime: a Protocol with the terms of upstream's CRI, as far as needed here.

All arguments and results are frozen dataclasses of plain values, so that the plan, the status and their golden tests
never see a Docker object, and a hand-written fake can replace the engine. A sandbox is the container that holds a pod's
network; the pod's containers join it. A container that has ended is never started again: a restart creates a new one,
with ``attempt`` higher by one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

State = Literal["created", "running", "exited"]


class RuntimeFailure(Exception):
    """The runtime refused; the message is its own."""


class RuntimeNotFound(RuntimeFailure):
    """There is no such container or image."""


class RuntimeUnavailable(Exception):
    """The runtime does not answer at all. That is no failure of a pod, so no back-off is counted."""


@dataclass(frozen=True, slots=True)
class RuntimeContainer:
    """A container or sandbox of ours as the runtime last described it. Times are Unix times."""

    id: str
    pod_uid: str
    pod_name: str
    namespace: str
    name: str  # the container's name in the pod; "POD" for a sandbox, as upstream's dockershim has it
    sandbox: bool = False
    attempt: int = 0  # restartCount of a container; the number of earlier sandboxes for a sandbox
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
    grace: int = 30  # terminationGracePeriodSeconds at creation, for when the pod object is gone

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class RuntimeImage:
    """An image on the node. ``names`` are its digests and tags; ``user`` is whom it runs as; ``size`` is in bytes."""

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
    """All that the runtime needs to create a sandbox (CRI: PodSandboxConfig)."""

    name: str
    image: str
    hostname: str
    labels: dict[str, str]
    ports: tuple[PortBinding, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False  # its process 1 then reaps the orphaned processes of the whole pod
    runtime: str = ""  # the handler of the pod's RuntimeClass; the engine's default when empty


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """A container's securityContext as the runtime takes it. ``user`` is ``uid:gid``, or empty for the image's."""

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
    """Settings of a container's control group; ``memory`` is in bytes, 0 means no limit."""

    cpu_shares: int = 2
    cpu_quota: int = 0  # microseconds in each period of 100 ms; 0 is without limit
    memory: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """All that the runtime needs to create a container (CRI: ContainerConfig)."""

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
    """A change of a container or an image, which is then to be inspected again."""

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
    """Every method raises RuntimeFailure if the runtime refuses, and RuntimeUnavailable if it does not answer."""

    def version(self) -> dict[str, str]: ...

    def containers(self) -> list[RuntimeContainer]:
        """Return every container of this cluster, running or not. A list tells less: times and exit codes are
        missing.
        """

    def inspect(self, container_id: str) -> RuntimeContainer | None:
        """Return all that the runtime knows of a container, None if it does not exist."""

    def create_sandbox(self, config: SandboxConfig) -> str:
        """Create a sandbox without starting it, and return its id."""

    def create_container(self, config: ContainerConfig) -> str:
        """Create a container in a running sandbox without starting it, and return its id."""

    def start(self, container_id: str) -> None: ...

    def signal(self, container_id: str, signal: str) -> None:
        """Send a signal to the container's first process. Do nothing if it has ended."""

    def remove(self, container_id: str) -> None:
        """Remove a container, and kill it if it still runs. Do nothing if it is gone."""

    def image(self, reference: str) -> RuntimeImage | None:
        """Return an image on the node, None if it is not there."""

    def images(self) -> list[RuntimeImage]: ...

    def pull(self, reference: str, auth: dict[str, str] | None) -> None:
        """Pull an image. ``auth`` has a username and a password; None pulls without credentials."""

    def execute(self, container_id: str, command: list[str], timeout: float) -> ExecResult:
        """Run a command in a container and wait for its end. Raises ExecTimeout after ``timeout`` seconds."""

    def storage(self, container_id: str) -> int:
        """Return the bytes on disk of a container's own layer and its logs, 0 if it is gone. This may take seconds."""

    def log_tail(self, container_id: str, lines: int, limit: int) -> str:
        """Return the last lines of a container's log, at most ``limit`` bytes."""

    def events(self, stop: threading.Event) -> Iterator[RuntimeEvent]:
        """Return an iterator over what happens from now on.

        It blocks between events, ends when ``stop`` is set, and raises RuntimeUnavailable if the stream breaks.
        """
