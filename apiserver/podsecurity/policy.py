"""Read the policy from the labels of a namespace (upstream: pod-security-admission/api/helpers.go)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from machinery.errors import FieldError

PREFIX = "pod-security.kubernetes.io/"
# In rising order of strictness.
LEVELS = ("privileged", "baseline", "restricted")
PRIVILEGED, BASELINE, RESTRICTED = LEVELS
MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


class LevelVersion(NamedTuple):
    """A level as a minor version of Kubernetes defines it, None: as the newest does."""

    level: str = PRIVILEGED
    minor: int | None = None

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor is None else f'v1.{self.minor}'}"

    def stricter_than(self, other: LevelVersion) -> bool:
        """Return True if this level is the stricter one; versions do not count."""
        return LEVELS.index(self.level) > LEVELS.index(other.level)


class NamespacePolicy(NamedTuple):
    """The level of each mode. There is no audit log here, so ``audit`` is only validated."""

    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()


def policy_of(labels: Mapping[str, str]) -> tuple[NamespacePolicy, list[FieldError]]:
    """Return the policy and what is wrong with its labels; if something is, the strictest level is enforced."""
    if not any(name.startswith(PREFIX) for name in labels):
        return NamespacePolicy(), []  # the common case, which is decided for every pod
    errors: list[FieldError] = []

    def mode(name: str) -> LevelVersion:
        level, version = labels.get(PREFIX + name, PRIVILEGED), labels.get(f"{PREFIX}{name}-version", "latest")
        if level not in LEVELS:
            errors.append(_invalid(PREFIX + name, level, f"must be one of {', '.join(LEVELS)}"))
            level = RESTRICTED if name == "enforce" else PRIVILEGED
        match = _VERSION.fullmatch(version)
        if version != "latest" and match is None:
            errors.append(_invalid(f"{PREFIX}{name}-version", version, 'must be "latest" or "v1.x"'))
        return LevelVersion(level, int(match[1]) if match else None)

    return NamespacePolicy(*map(mode, MODES)), errors


def _invalid(label: str, value: str, why: str) -> FieldError:
    return FieldError.invalid(f"metadata.labels[{label}]", value, why)
