"""How long the store takes, for ``/metrics`` and for the trace of a slow request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from apiserver.model.metrics import STORE, STORE_ERRORS
from apiserver.model.trace import spent
from apiserver.storage.protocol import Unavailable

# The groups whose names have no dot; a first part that is neither of these nor dotted is a plural of the core group.
_GROUPS = frozenset({"apps", "autoscaling", "batch", "extensions", "policy"})


@contextmanager
def measured(operation: str, key: str) -> Iterator[None]:
    """Count and time an operation of a store on a key, or on the keys that begin so.

    The labels in metrics are ``operation`` and the key's resource; the time is also told to the request's trace.
    """
    since = time.perf_counter()
    labels = (operation, resource_of(key))
    try:
        yield
    except Unavailable:
        STORE_ERRORS.add(labels)
        raise
    finally:
        STORE.observe(time.perf_counter() - since, labels)
        spent("etcd", since)


def resource_of(key: str) -> str:
    """Return ``pods`` or ``leases.coordination.k8s.io``, of a key ``/registry/[group/]plural/…``."""
    first, _, rest = key.removeprefix("/registry/").partition("/")
    plural = rest.partition("/")[0]
    return f"{plural}.{first}" if plural and ("." in first or first in _GROUPS) else first
