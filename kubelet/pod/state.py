"""What the kubelet knows about one pod: the API object, the containers seen, and what Docker cannot tell.

One worker at a time owns a PodState. ``plan`` and ``status`` only read it, so a golden test can write one down in
YAML; everything that happens elsewhere (a pull, a probe, a hook) is brought here by the worker before it decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kubelet.model import podspec
from kubelet.model.backoff import Backoff
from kubelet.model.runtime import RuntimeContainer
from machinery.objects import Object


@dataclass(slots=True)
class Pull:
    """A pull under way, or how the last one ended. Forgotten when the container has been started."""

    image: str
    running: bool = True
    done: bool = False
    reason: str = "ErrImagePull"
    message: str = ""
    failed_at: float = 0.0
    retry_at: float = 0.0
    told: bool = False  # the BackOff event is out


@dataclass(slots=True)
class StartError:
    """Why a container or sandbox could not be created or started, and when to try again."""

    reason: str
    message: str
    retry_at: float


@dataclass(slots=True)
class Stop:
    """A container on its way out: preStop hook, then its stop signal, then SIGKILL at the end of the grace period."""

    began: float
    grace: float
    hook: Literal["", "running", "done"] = ""
    signalled: float | None = None
    repeat_at: float | None = None  # it could not hear the signal yet: see whether it can by then
    killed: bool = False


@dataclass(slots=True)
class ProbeResults:
    """What the probes of one running container say. None: there is no such probe, or it has no opinion yet."""

    started: bool | None = None
    ready: bool | None = None
    alive: bool | None = None


@dataclass(slots=True)
class Volumes:
    phase: Literal["unmounted", "mounting", "mounted", "failed"] = "unmounted"
    message: str = ""
    retry_at: float = 0.0
    attempts: int = 0
    refresh_at: float | None = None  # a token in them must be renewed, or what they show has changed


@dataclass(slots=True)
class Failure:
    """The whole pod was ended by the kubelet: status.reason and status.message."""

    reason: str
    message: str


@dataclass(slots=True)
class PodState:
    pod: Object
    start_time: float = 0.0
    gone: bool = False  # the API object does not exist any more
    finishing: bool = False  # the last status and the removal of the API object are on their way
    released: bool = False  # the API server has let the object go: all traces may go
    failure: Failure | None = None
    containers: dict[str, RuntimeContainer] = field(default_factory=dict)  # by id, sandboxes included
    verdicts: dict[str, ProbeResults] = field(default_factory=dict)  # by container id
    messages: dict[str, str] = field(default_factory=dict)  # termination messages by container id
    stops: dict[str, Stop] = field(default_factory=dict)  # by container id
    post_start: dict[str, str] = field(default_factory=dict)  # by container id: "running", "done" or what went wrong
    pulls: dict[str, Pull] = field(default_factory=dict)  # by container name, as all below
    pull_backoffs: dict[str, Backoff] = field(default_factory=dict)
    crash_backoffs: dict[str, Backoff] = field(default_factory=dict)
    errors: dict[str, StartError] = field(default_factory=dict)
    sandbox_error: StartError | None = None
    sandbox_failures: int = 0
    address: str = ""  # of the last sandbox; an ended pod keeps showing it
    volumes: Volumes = field(default_factory=Volumes)

    @property
    def uid(self) -> str:
        return podspec.uid(self.pod)

    def sandboxes(self) -> list[RuntimeContainer]:
        """Newest first."""
        return sorted((c for c in self.containers.values() if c.sandbox), key=_age, reverse=True)

    def sandbox(self) -> RuntimeContainer | None:
        """The running sandbox, if there is one."""
        return next((c for c in self.sandboxes() if c.running), None)

    def attempts(self, name: str) -> list[RuntimeContainer]:
        """Every container that stood or stands for this name, newest first."""
        found = (c for c in self.containers.values() if not c.sandbox and c.name == name)
        return sorted(found, key=_age, reverse=True)

    def newest(self, name: str) -> RuntimeContainer | None:
        return next(iter(self.attempts(name)), None)

    def apps(self) -> list[RuntimeContainer]:
        return [c for c in self.containers.values() if not c.sandbox]

    def see(self, found: RuntimeContainer) -> bool:
        """Takes in what the runtime says of a container; tells whether it has ended since it was seen last."""
        before = self.containers.get(found.id)
        self.containers[found.id] = found
        if found.sandbox and found.ip:
            self.address = found.ip
        return ended(found) and not (before and ended(before))

    def forget_container(self, container_id: str) -> None:
        for table in (self.containers, self.verdicts, self.messages, self.stops, self.post_start):
            table.pop(container_id, None)


def _age(container: RuntimeContainer) -> tuple[int, float]:
    return container.attempt, container.created


def ended(container: RuntimeContainer) -> bool:
    """It ran and ended, or the runtime could not start it; one that was only created will still be started."""
    return container.state == "exited" or (container.state == "created" and bool(container.error))


def ended_at(container: RuntimeContainer) -> float:
    return container.finished or container.created
