"""Kinds of which no object can be created here, because this cluster has no controllers for them.

They can be listed and watched, and the lists are always empty. Clients that list every kind (``kubectl get all``,
``kubectl apply --prune``, upstream's end-to-end suite before its first test) would fail if the kinds did not exist.
"""

from __future__ import annotations

from apiserver.model.kind import Kind
from apiserver.schema.codec import upstream

_READING = ("get", "list", "watch")


def _row(group: str, kind: str, short_name: str, *, all: bool = True, namespaced: bool = True) -> Kind:
    names = (short_name,) if short_name else ()
    categories = ("all",) if all else ()
    return Kind(*upstream(group, kind), namespaced, verbs=_READING, short_names=names, categories=categories)


UNSUPPORTED = (
    _row("", "PersistentVolume", "pv", all=False, namespaced=False),
    _row("apps", "DaemonSet", "ds"),
    _row("apps", "Deployment", "deploy"),
    _row("apps", "StatefulSet", "sts"),
    _row("batch", "CronJob", "cj"),
    _row("batch", "Job", ""),
    _row("networking.k8s.io", "Ingress", "ing", all=False),
)
