"""Nodes: the machines, as their kubelets describe them."""

from apiserver.kind import Kind

NODES = Kind(
    "",
    "v1",
    "Node",
    "nodes",
    "io.k8s.api.core.v1.Node",
    namespaced=False,
    short_names=("no",),
    subresources=("proxy", "status"),
)
