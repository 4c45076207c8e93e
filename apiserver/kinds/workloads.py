"""Workloads of the apps group that cannot be made yet, for no controller would run them.

They can be listed and watched all the same, since clients that look for everything that runs (``kubectl get all``,
upstream's end-to-end suite before its first test) take an answer of none, but not the absence of the kind.
"""

from __future__ import annotations

from apiserver.kind import Kind

_READING = ("get", "list", "watch")


def _row(kind: str, short_name: str) -> Kind:
    definition = f"io.k8s.api.apps.v1.{kind}"
    plural = f"{kind.lower()}s"
    return Kind(
        "apps", "v1", kind, plural, definition, short_names=(short_name,), categories=("all",), verbs=_READING
    )  # fmt: skip


WORKLOADS = tuple(
    _row(kind, short_name)
    for kind, short_name in (
        ("DaemonSet", "ds"),
        ("Deployment", "deploy"),
        ("StatefulSet", "sts"),
    )
)
