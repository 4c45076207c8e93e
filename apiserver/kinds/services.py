"""Services: a stable address before pods that come and go."""

from apiserver.kind import Kind

SERVICES = Kind(
    "",
    "v1",
    "Service",
    "services",
    "io.k8s.api.core.v1.Service",
    short_names=("svc",),
    categories=("all",),
    subresources=("proxy", "status"),
)
