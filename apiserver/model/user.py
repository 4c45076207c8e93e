"""The user in whose name a request is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The name of a ServiceAccount's user begins so; its namespace and name follow, with a colon between them.
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True)
class User:
    """An authenticated user (upstream: apiserver/pkg/authentication/user, Info)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


MASTERS = "system:masters"  # the group whose members may do everything

# The user that the API server itself acts as (upstream: system:apiserver with its loopback token).
LOOPBACK = User("system:apiserver", (MASTERS,))
