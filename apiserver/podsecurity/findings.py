"""What the checks share: their types, and how messages name containers and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from machinery.objects import Object


class Violation(NamedTuple):
    """Something about a pod that a level forbids: a short reason, and a detail that names containers and values."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


# A check: (metadata, spec of a pod or template) → what it forbids about them, None if nothing.
CheckPod = Callable[[Object, Object], Violation | None]


class Check(NamedTuple):
    """A check in all its versions: minor version → the check from that version on, in rising order."""

    id: str
    versions: tuple[tuple[int, CheckPod], ...]
    # Ids of checks of baseline that this check replaces where it applies.
    overrides: tuple[str, ...] = ()

    def at(self, minor: int | None) -> CheckPod | None:
        """Return the newest check that is not newer than ``minor``, None if there is none."""
        fitting = [check for since, check in self.versions if minor is None or since <= minor]
        return fitting[-1] if fitting else None


def containers(spec: Object) -> Iterator[Object]:
    """Yield every container, in upstream's order."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field, ())


def security(holder: Object) -> Object:
    """Return the security context of a container or pod spec, {} if it has none."""
    context: Object = holder.get("securityContext", {})
    return context


def quoted(items: Iterable[str]) -> str:
    """Return ``"a", "b"``."""
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, count: int) -> str:
    """Return the singular or plural of a word for this many."""
    return word if count == 1 else word + "s"


def named(names: Sequence[str]) -> str:
    """Return ``container "a"`` or ``containers "a", "b"``."""
    return f"{plural('container', len(names))} {quoted(names)}"


def setters(spec: Object, is_bad: Callable[[Object], bool]) -> list[str]:
    """Return the words for who sets something forbidden: the pod, containers, or both."""
    found = ["pod"] if is_bad(security(spec)) else []
    bad = [container["name"] for container in containers(spec) if is_bad(security(container))]
    return [*found, named(bad)] if bad else found


def collect(spec: Object, find: Callable[[Object], set[str]]) -> tuple[list[str], list[str]]:
    """Return the names of the containers in which ``find`` finds something, and everything that it finds, sorted."""
    found = [(container["name"], find(container)) for container in containers(spec)]
    return [name for name, values in found if values], sorted(set().union(*(values for _, values in found)))
