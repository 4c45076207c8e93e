"""Leases: who leads and when it last said so; nodes renew one as their heartbeat."""

from apiserver.kind import Kind

LEASES = Kind(
    "coordination.k8s.io",
    "v1",
    "Lease",
    "leases",
    "io.k8s.api.coordination.v1.Lease",
)
