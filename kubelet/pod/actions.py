"""What the plan may ask for: small values without behaviour, carried out by the executor (Finish and Forget by the
pod's worker itself)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MountVolumes:
    """Begins to set the volumes up, or to bring them up to date, in the background."""


@dataclass(frozen=True, slots=True)
class CleanVolumes:
    pass


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class BeginStop:
    """Runs the preStop hook in the background, or sends the stop signal when there is none."""

    id: str
    name: str
    message: str
    grace: float


@dataclass(frozen=True, slots=True)
class SendStopSignal:
    id: str


@dataclass(frozen=True, slots=True)
class Kill:
    id: str


@dataclass(frozen=True, slots=True)
class Remove:
    id: str


@dataclass(frozen=True, slots=True)
class AnnounceBackOff:
    """The BackOff event of an image that could not be pulled."""

    name: str


@dataclass(frozen=True, slots=True)
class AnnounceCrashLoop:
    name: str


@dataclass(frozen=True, slots=True)
class FailPod:
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Writes the last status and lets the API object go."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing is left of the pod."""


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
    | Finish
    | Forget
)
