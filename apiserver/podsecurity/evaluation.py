"""Evaluate the checks of a level (upstream: pod-security-admission/policy/registry.go)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from apiserver.podsecurity import baseline, restricted
from apiserver.podsecurity.findings import CheckPod, Violation
from apiserver.podsecurity.policy import PRIVILEGED, RESTRICTED, LevelVersion
from machinery.objects import Object


@lru_cache(maxsize=64)
def checks_of(level: LevelVersion) -> tuple[CheckPod, ...]:
    """Return the checks of a level at a minor version; those of restricted include those of baseline."""
    if level.level == PRIVILEGED:
        return ()
    strict = [check for check in restricted.CHECKS if check.at(level.minor)] if level.level == RESTRICTED else []
    included = {name for check in strict for name in check.overrides}
    chosen = [check for check in baseline.CHECKS if check.id not in included] + strict
    return tuple(found for check in chosen if (found := check.at(level.minor)))


def violations(level: LevelVersion, metadata: Object, spec: Object) -> list[Violation]:
    """Return everything that a level forbids about a pod or pod template."""
    return [found for check in checks_of(level) if (found := check(metadata, spec))]


def evaluate_pods(level: LevelVersion, pods: Iterable[Object]) -> list[str]:
    """Return a line for each kind of violation by existing pods, with the first pod's name and the number of others."""
    culprits: dict[str, list[str]] = {}
    for pod in pods:
        if found := violations(level, pod["metadata"], pod["spec"]):
            culprits.setdefault(", ".join(violation.reason for violation in found), []).append(pod["metadata"]["name"])
    return sorted(f"{min(names)}{_others(len(names) - 1)}: {reason}" for reason, names in culprits.items())


def _others(count: int) -> str:
    if not count:
        return ""
    return " (and 1 other pod)" if count == 1 else f" (and {count} other pods)"
