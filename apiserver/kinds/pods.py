"""Pods and the legacy top-level bindings."""

from apiserver.kind import Kind

PODS = Kind(
    "",
    "v1",
    "Pod",
    "pods",
    "io.k8s.api.core.v1.Pod",
    short_names=("po",),
    categories=("all",),
    subresources=("attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"),
)

BINDINGS = Kind("", "v1", "Binding", "bindings", "io.k8s.api.core.v1.Binding", verbs=("create",))
