"""How long the store takes, for ``/metrics`` and for the trace of a slow request."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

from apiserver.model.metrics import STORE, STORE_ERRORS
from apiserver.model.trace import spent
from apiserver.storage.protocol import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
Self = TypeVar("Self")
Method = Callable[Concatenate[Self, str, P], T]

# The groups whose names have no dot; a first part that is neither of these nor dotted is a plural of the core group.
_GROUPS = frozenset({"apps", "autoscaling", "batch", "extensions", "policy"})


def measured(operation: str) -> Callable[[Method[Self, P, T]], Method[Self, P, T]]:
    """Count and time a method of a store, whose first argument is a key or the beginning of keys.

    The labels in metrics are ``operation`` and the key's resource; the time is also told to the request's trace.
    """

    def around(method: Method[Self, P, T]) -> Method[Self, P, T]:
        @wraps(method)
        def timed(self: Self, key: str, /, *arguments: P.args, **named: P.kwargs) -> T:
            since = time.perf_counter()
            labels = (operation, resource_of(key))
            try:
                return method(self, key, *arguments, **named)
            except Unavailable:
                STORE_ERRORS.add(labels)
                raise
            finally:
                STORE.observe(time.perf_counter() - since, labels)
                spent("etcd", since)

        return timed

    return around


def resource_of(key: str) -> str:
    """Return ``pods`` or ``leases.coordination.k8s.io``, of a key ``/registry/[group/]plural/…``."""
    first, _, rest = key.removeprefix("/registry/").partition("/")
    if "." in first or first in _GROUPS:
        return _joined(first, rest.partition("/")[0])
    return first


@lru_cache(maxsize=512)
def _joined(group: str, plural: str) -> str:
    return f"{plural}.{group}" if plural else group
