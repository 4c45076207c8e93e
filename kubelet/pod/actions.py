"""What a plan may ask for: values without behaviour, which sync/executor.py carries out.

``id`` is the runtime's id of a container, ``name`` its name in the pod.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class MountVolumes:
    """Begin to set the volumes up, or to bring them up to date, in the background."""


@dataclass(frozen=True, slots=True)
class CleanVolumes:
    """Unmount the pod's volumes and remove its directory."""


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """Create and start a sandbox; ``attempt`` counts the sandboxes before it."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Create and start a container, or begin to pull its image; ``attempt`` is its restart count."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class BeginStop:
    """Run the preStop hook in the background, or send the stop signal if there is none; ``grace`` is in seconds."""

    id: str
    name: str
    message: str
    grace: float


@dataclass(frozen=True, slots=True)
class SendStopSignal:
    """Send the image's stop signal, or repeat it if the container had no handler for it yet."""

    id: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Send SIGKILL."""

    id: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a container or sandbox, and what is known of it."""

    id: str


@dataclass(frozen=True, slots=True)
class AnnounceBackOff:
    """Record the BackOff event of an image that could not be pulled."""

    name: str


@dataclass(frozen=True, slots=True)
class AnnounceCrashLoop:
    """Show a container as CrashLoopBackOff, and record the BackOff event."""

    name: str


@dataclass(frozen=True, slots=True)
class FailPod:
    """End the whole pod, with this reason and message in its status and in an event of this type.

    ``grace`` is in seconds; None leaves the pod its own grace period.
    """

    reason: str
    message: str
    event_type: Literal["Normal", "Warning"] = "Normal"
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class MeasureStorage:
    """Measure in the background what the pod uses of the node's disk."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Write the last status and delete the API object."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget the pod, of which nothing is left."""


Action = (
    MountVolumes
    | CleanVolumes
    | CreateSandbox
    | StartContainer
    | BeginStop
    | SendStopSignal
    | Kill
    | Remove
    | AnnounceBackOff
    | AnnounceCrashLoop
    | FailPod
    | MeasureStorage
    | Finish
    | Forget
)
