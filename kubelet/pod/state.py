"""What the kubelet knows about one pod: its API object, its containers, and what the runtime cannot tell.

One worker at a time owns a PodState and alone changes it. What happens in other threads (a pull, a probe, a hook) comes
as a change to ``PodStates.tell``, and the worker applies it before it plans. ``plan`` and ``status`` only read the
state, so that a golden test can write one down in YAML. Times are Unix times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kubelet.model import podspec
from kubelet.model.backoff import Backoff
from kubelet.model.runtime import RuntimeContainer
from kubelet.pod.storage import StorageUsage
from machinery.objects import Object


@dataclass(slots=True)
class Pull:
    """The pull of a container's image: running, done or failed. Forgotten when the container has been started."""

    image: str
    running: bool = True
    done: bool = False
    reason: str = "ErrImagePull"
    message: str = ""
    failed_at: float = 0.0
    retry_at: float = 0.0
    told: bool = False  # the BackOff event has been recorded


@dataclass(slots=True)
class StartError:
    """Why a container or sandbox could not be created or started, and when to try again."""

    reason: str
    message: str
    retry_at: float


@dataclass(slots=True)
class Stop:
    """A container that is being stopped: preStop hook, stop signal, and SIGKILL at the end of the grace period."""

    began: float
    grace: float
    hook: Literal["", "running", "done"] = ""
    signalled: float | None = None
    repeat_at: float | None = None  # when to repeat the signal, for which there was no handler yet
    killed: bool = False


@dataclass(slots=True)
class ProbeResults:
    """What the probes of a running container found. None if there is no such probe, or no result yet."""

    started: bool | None = None
    ready: bool | None = None
    alive: bool | None = None


@dataclass(slots=True)
class Volumes:
    """How far the pod's volumes are set up."""

    phase: Literal["unmounted", "mounting", "mounted", "failed"] = "unmounted"
    message: str = ""
    retry_at: float = 0.0
    attempts: int = 0
    refresh_at: float | None = None  # when to write them again: a token must be renewed, or a source has changed


@dataclass(slots=True)
class Failure:
    """Why the kubelet ended the whole pod: status.reason and status.message.

    ``rejected`` tells that the pod was never begun.
    """

    reason: str
    message: str
    rejected: bool = False
    grace: float | None = None  # of its containers in seconds; None leaves them the pod's own


@dataclass(slots=True)
class PodState:
    """``gone``, ``finishing`` and ``released`` are the steps by which a pod leaves the API; see the fields."""

    pod: Object
    start_time: float = 0.0
    gone: bool = False  # the API does not show the object any more
    finishing: bool = False  # the status manager is to write the last status and delete the object
    released: bool = False  # the API server has deleted the object: every trace may be removed
    admitted: bool = False  # this node has taken the pod
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
    address: str = ""  # the IP of the last sandbox, which the status of an ended pod still shows
    volumes: Volumes = field(default_factory=Volumes)
    storage: StorageUsage = field(default_factory=StorageUsage)  # as last measured
    storage_due: float = 0.0  # when to measure again

    @property
    def uid(self) -> str:
        return podspec.uid(self.pod)

    def sandboxes(self) -> list[RuntimeContainer]:
        """Return the sandboxes, the newest first."""
        return sorted((c for c in self.containers.values() if c.sandbox), key=_age, reverse=True)

    def sandbox(self) -> RuntimeContainer | None:
        """Return the running sandbox, None if there is none."""
        return next((c for c in self.sandboxes() if c.running), None)

    def attempts(self, name: str) -> list[RuntimeContainer]:
        """Return all containers that were created for this container of the pod, the newest first."""
        found = (c for c in self.containers.values() if not c.sandbox and c.name == name)
        return sorted(found, key=_age, reverse=True)

    def newest(self, name: str) -> RuntimeContainer | None:
        return next(iter(self.attempts(name)), None)

    def apps(self) -> list[RuntimeContainer]:
        return [c for c in self.containers.values() if not c.sandbox]

    def see(self, found: RuntimeContainer) -> bool:
        """Note what the runtime says of a container. Return True if it has ended since it was seen last."""
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
    """Return True if a container ran and ended, or if the runtime could not start it.

    A container that was only created is not ended: it will still be started.
    """
    return container.state == "exited" or (container.state == "created" and bool(container.error))


def ended_at(container: RuntimeContainer) -> float:
    return container.finished or container.created
