"""Kinds that cannot be made here, for no controller would do anything about them.

They can be listed and watched all the same: clients that look for everything that there may be (``kubectl get all``,
``kubectl apply --prune``, upstream's end-to-end suite before its first test) take an answer of none, but not the
absence of the kind.
"""

from __future__ import annotations

from apiserver.model.kind import Kind
from apiserver.schema.codec import UpstreamCodec

_READING = ("get", "list", "watch")


def _row(group: str, kind: str, plural: str, short_name: str, *, all: bool = True, namespaced: bool = True) -> Kind:
    package = group.partition(".")[0] or "core"
    return Kind(
        group,
        "v1",
        kind,
        plural,
        UpstreamCodec(f"io.k8s.api.{package}.v1.{kind}"),
        namespaced=namespaced,
        verbs=_READING,
        short_names=(short_name,) if short_name else (),
        categories=("all",) if all else (),
    )


UNSUPPORTED = (
    _row("", "PersistentVolume", "persistentvolumes", "pv", all=False, namespaced=False),
    _row("apps", "DaemonSet", "daemonsets", "ds"),
    _row("apps", "Deployment", "deployments", "deploy"),
    _row("apps", "StatefulSet", "statefulsets", "sts"),
    _row("batch", "CronJob", "cronjobs", "cj"),
    _row("batch", "Job", "jobs", ""),
    _row("networking.k8s.io", "Ingress", "ingresses", "ing", all=False),
)
