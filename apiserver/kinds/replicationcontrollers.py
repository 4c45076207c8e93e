"""ReplicationControllers: so many pods of one template."""

from apiserver.kind import Kind

REPLICATION_CONTROLLERS = Kind(
    "",
    "v1",
    "ReplicationController",
    "replicationcontrollers",
    "io.k8s.api.core.v1.ReplicationController",
    short_names=("rc",),
    categories=("all",),
    subresources=("scale", "status"),
)
