"""The rows of the core: the kinds that a cluster needs to run a ReplicationController's pods behind a Service.

All other kinds are brought along by features (``features/``), each in the row of its feature.
"""

from __future__ import annotations

from apiserver.kinds.endpoints import ENDPOINTS
from apiserver.kinds.endpointslices import ENDPOINT_SLICES
from apiserver.kinds.events import EVENTS
from apiserver.kinds.leases import LEASES
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import BINDINGS, PODS
from apiserver.kinds.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.kinds.services.ranges import ServiceRanges
from apiserver.kinds.services.row import services
from apiserver.model.kind import Kind


def core(ranges: ServiceRanges) -> tuple[Kind, ...]:
    """Return the rows; Services get their cluster IPs and node ports from ``ranges``."""
    return (
        BINDINGS,
        ENDPOINTS,
        ENDPOINT_SLICES,
        EVENTS,
        LEASES,
        NAMESPACES,
        NODES,
        PODS,
        REPLICATION_CONTROLLERS,
        services(ranges),
    )
