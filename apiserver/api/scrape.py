"""``/metrics``: what has been counted, and what is looked up for each scrape."""

from __future__ import annotations

import os
from collections.abc import Iterator

from flask import Response

from apiserver.api import discovery
from apiserver.registry.served import ServedKinds
from apiserver.storage.cache import WatchCache
from apiserver.storage.protocol import Store, StoreError
from machinery.errors import no_such_resource
from machinery.metrics import CONTENT_TYPE, METRICS, Metrics, Sample
from machinery.processmetrics import add_process_metrics

_BUILD = {
    "major": "major",
    "minor": "minor",
    "git_version": "gitVersion",
    "git_commit": "gitCommit",
    "git_tree_state": "gitTreeState",
    "build_date": "buildDate",
    "platform": "platform",
}


def answer(path: str) -> Response:
    """Answer ``/metrics/{path}``: all metrics, or for ``slis`` those of the health checks. Raises NotFound."""
    if path not in ("", "slis"):
        raise no_such_resource()
    text = METRICS.exposition("kubernetes_healthcheck" if path else "")
    return Response(text, 200, content_type=CONTENT_TYPE)


def register(served: ServedKinds, cache: WatchCache, store: Store, metrics: Metrics = METRICS) -> None:
    """Register the metrics whose values are looked up at each scrape, among them the memory and CPU of this process.

    Call it in the master process before the fork, so that the numbers of its children, the workers, are included.
    """

    def objects() -> Iterator[Sample]:
        # Each version of a custom resource has a row.
        rows = {kind.resource: kind for kind in served.registry().stored() if kind.stored_as is None}
        for resource, kind in rows.items():
            yield Sample((resource,), cache.count(kind.prefix))

    def size() -> Iterator[Sample]:
        try:
            yield Sample(("etcd-0",), store.size())
        except StoreError:
            return  # the store does not answer, which other metrics tell

    build = Sample(tuple(discovery.VERSION[field] for field in _BUILD.values()), 1)
    metrics.read("kubernetes_build_info", "gauge", "[ALPHA] The version.", tuple(_BUILD), lambda: [build])
    metrics.read("apiserver_storage_objects", "gauge", "[STABLE] Stored objects, by resource.", ("resource",), objects)
    metrics.read("apiserver_storage_size_bytes", "gauge", "[STABLE] Size of the store.", ("storage_cluster_id",), size)
    add_process_metrics(metrics, os.getpid())
