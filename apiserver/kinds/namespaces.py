"""Namespaces: deleted in two steps, so that their contents can go first."""

from apiserver.kind import Kind

NAMESPACES = Kind(
    "",
    "v1",
    "Namespace",
    "namespaces",
    "io.k8s.api.core.v1.Namespace",
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=("finalize", "status"),
)
