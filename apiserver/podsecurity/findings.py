"""What the checks share: their form, and how they name what they object to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from machinery.objects import Object


class Violation(NamedTuple):
    """One thing about a pod that its level forbids: in few words, and with the culprits."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


# (metadata, spec of a pod or template) → what is wrong.
CheckPod = Callable[[Object, Object], Violation | None]


class Check(NamedTuple):
    """A check in its versions: the minor since when → the check of that time, in rising order."""

    id: str
    versions: tuple[tuple[int, CheckPod], ...]
    # Checks of the level below that this one includes, once it applies.
    overrides: tuple[str, ...] = ()

    def at(self, minor: int | None) -> CheckPod | None:
        """The newest check that is not newer than ``minor``."""
        fitting = [check for since, check in self.versions if minor is None or since <= minor]
        return fitting[-1] if fitting else None


def containers(spec: Object) -> Iterator[Object]:
    """Every container, in upstream's order."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def security(holder: Object) -> Object:
    """The security context of a container or a pod's spec."""
    context: Object = holder.get("securityContext") or {}
    return context


def quoted(items: Iterable[str]) -> str:
    """``"a", "b"``."""
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, count: int) -> str:
    """The word for so many of them."""
    return word if count == 1 else word + "s"


def named(names: Sequence[str]) -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    return f"{plural('container', len(names))} {quoted(names)}"


def setters(spec: Object, is_bad: Callable[[Object], bool]) -> list[str]:
    """Whose security context is bad, in words: the pod's, and those of containers."""
    found = ["pod"] if is_bad(security(spec)) else []
    bad = [container["name"] for container in containers(spec) if is_bad(security(container))]
    return [*found, named(bad)] if bad else found
