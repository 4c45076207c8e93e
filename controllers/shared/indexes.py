"""The indexes of informers that controllers declare, each by its name and with its function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from machinery.informer import Indexer
from machinery.objects import Object, controller_of, labels_of

NAMESPACE = "namespace"
NODE = "node"
OWNER = "owner"
SERVICE = "service"

# The prefix of OWNER's entry for the objects of a namespace that nobody manages.
ORPHANS = "orphans/"
# The label that ties an EndpointSlice to its Service.
SERVICE_NAME = "kubernetes.io/service-name"


def by_namespace(obj: Object) -> Iterable[str]:
    return (obj["metadata"].get("namespace", ""),)


def by_node(pod: Object) -> Iterable[str]:
    """Return the node that the pod is bound to, if it is."""
    node = pod["spec"].get("nodeName")
    return (node,) if node else ()


def by_owner(obj: Object) -> Iterable[str]:
    """Return the uid of the managing owner, or ``orphans/NAMESPACE`` for an object that has none."""
    reference = controller_of(obj)
    return (reference["uid"] if reference else ORPHANS + obj["metadata"].get("namespace", ""),)


def service_key(slice: Object) -> str:
    """Return ``namespace/name`` of the Service of an EndpointSlice; empty when it belongs to none."""
    name = labels_of(slice).get(SERVICE_NAME)
    return f"{slice['metadata']['namespace']}/{name}" if name else ""


def by_service(slice: Object) -> Iterable[str]:
    return filter(None, [service_key(slice)])


BY_NAMESPACE: Mapping[str, Indexer] = {NAMESPACE: by_namespace}
BY_NODE: Mapping[str, Indexer] = {NODE: by_node}
BY_OWNER: Mapping[str, Indexer] = {OWNER: by_owner}
BY_SERVICE: Mapping[str, Indexer] = {SERVICE: by_service}
