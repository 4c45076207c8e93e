"""Endpoints: a Service's addresses in the older form, one object a Service."""

from apiserver.kind import Kind

ENDPOINTS = Kind(
    "",
    "v1",
    "Endpoints",
    "endpoints",
    "io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    short_names=("ep",),
)
