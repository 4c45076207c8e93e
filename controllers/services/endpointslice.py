"""Write the EndpointSlices of Services with a selector; kube-proxy reads them (upstream: pkg/controller/endpointslice).

Unlike Endpoints, a slice has three conditions for each pod: ready (send it new connections), serving (its readiness
probe succeeds) and terminating (it is being deleted). So a pod that is being deleted stays listed until it has ended,
and established connections can go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from controllers.services.serviceendpoints import (
    address_type,
    endpoint_port,
    enqueue_services_of_pods,
    families,
    find_port,
    has_endpoints_of_pods,
    has_place,
    hostname_in,
    labels_for_endpoints,
    pod_addresses,
    pods_of,
    target_reference,
)
from controllers.services.slicepacking import Changes, Groups, pack
from controllers.services.slicewriter import SliceWriter, slice_template
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.indexes import BY_NAMESPACE, BY_SERVICE
from machinery.controller import Controller
from machinery.objects import Object, is_pod_ready, key, owner_references_of
from machinery.policyrules import DISCOVERY, READ, WRITE_EVENTS, can
from machinery.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES

MANAGER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100
ZONE = "topology.kubernetes.io/zone"

# Returns the node with this name, None if there is none.
NodeGetter = Callable[[str], Object | None]


def plan(service: Object, pods: Iterable[Object], slices: list[Object], node: NodeGetter) -> Changes:
    """Return the writes after which the Service's slices list exactly these pods."""
    mine = [each for each in slices if owned_by(each, service) and each["addressType"] in families(service)]
    groups = Groups()
    for pod in pods:
        if not is_placed(service, pod, node):
            continue
        ports = slice_ports(service, pod)
        for family in families(service):
            addresses = [address for address in pod_addresses(pod) if address_type(address) == family]
            if addresses:
                groups.of(family, ports).add(endpoint_of(service, pod, addresses, node(pod["spec"]["nodeName"])))
    changes = pack(groups, mine, template(service), MAX_ENDPOINTS, placeholder=families(service)[0])
    changes.delete += [each for each in slices if each not in mine]
    if service["metadata"].get("deletionTimestamp"):
        changes.create.clear()
    return changes


def is_placed(service: Object, pod: Object, node: NodeGetter) -> bool:
    """Return True if the pod belongs into a slice.

    A pod whose node does not exist is listed only if the Service publishes pods that are not ready.
    """
    if not has_place(pod, terminating=True) or not pod["spec"].get("nodeName"):
        return False
    return node(pod["spec"]["nodeName"]) is not None or bool(service["spec"].get("publishNotReadyAddresses"))


def slice_ports(service: Object, pod: Object) -> list[Object]:
    """Return the Service's ports with the numbers that they have in this pod; a named port may differ by pod."""
    return [
        endpoint_port(port, number)
        for port in service["spec"].get("ports", ())
        if (number := find_port(pod, port)) is not None
    ]


def endpoint_of(service: Object, pod: Object, addresses: list[str], node: Object | None) -> Object:
    """Return the endpoint of a slice for a pod with these addresses."""
    serving = is_pod_ready(pod)
    terminating = bool(pod["metadata"].get("deletionTimestamp"))
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: dict[str, Any] = {
        "addresses": addresses,
        "conditions": {
            "ready": published or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": target_reference(pod),
        "nodeName": pod["spec"]["nodeName"],
    }
    if hostname := hostname_in(service, pod):
        endpoint["hostname"] = hostname
    if zone := ((node or {}).get("metadata", {}).get("labels", {})).get(ZONE):
        endpoint["zone"] = zone
    return endpoint


def template(service: Object) -> Object:
    """Return what all slices of the Service have in common: its labels and ours, and the Service as their owner."""
    owner = {**service, "apiVersion": "v1", "kind": SERVICES.kind}
    return slice_template(owner, MANAGER, labels_for_endpoints(service))


def owned_by(slice: Object, service: Object) -> bool:
    """Return True if the slice belongs to this Service, and not to an earlier one with its name."""
    references = owner_references_of(slice)
    return any(each["uid"] == service["metadata"]["uid"] for each in references)


class EndpointSliceController:
    """Reconciles the slices of each Service when it, its pods, the slices or the nodes change."""

    def __init__(self, context: ControllerContext) -> None:
        self.services = context.informer(SERVICES)
        self.pods = context.informer(PODS)
        self.nodes = context.informer(NODES)
        self.writer = SliceWriter(context.client, context.informer(ENDPOINT_SLICES), MANAGER)
        self.controller = Controller("endpointslice", self.reconcile, workers=2)
        self.controller.watch(self.services)
        enqueue_services_of_pods(self.pods, self.services, self.controller.enqueue)
        self.controller.requires(self.pods, self.nodes, context.informer(ENDPOINT_SLICES))
        self.writer.watch(self.controller.enqueue)
        self.nodes.add_handler(self.node_changed)
        self.start = self.controller.start

    def node_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue all Services if a node was added or deleted, because its pods are listed or not."""
        if old is None or new is None:
            for service in self.services.list():
                self.controller.enqueue(key(service))

    def reconcile(self, service_key: str) -> None:
        """Write one Service's slices. The garbage collector deletes those of a deleted Service."""
        service = self.services.get(service_key)
        if service is not None and has_endpoints_of_pods(service):
            slices = self.writer.of(service_key)
            self.writer.apply(plan(service, pods_of(self.pods, service), slices, self.nodes.get))


ENDPOINT_SLICE = ControllerDescriptor(
    "endpointslice-controller",
    EndpointSliceController,
    account="endpointslice-controller",
    rules=(
        can(READ, "nodes pods services"),
        can("update", "services/finalizers"),
        can("create delete get list update watch", "endpointslices", DISCOVERY),
        WRITE_EVENTS,
    ),
    watches=(
        WatchedKind(SERVICES, BY_NAMESPACE),
        WatchedKind(PODS, BY_NAMESPACE),
        WatchedKind(NODES),
        WatchedKind(ENDPOINT_SLICES, BY_SERVICE),
    ),
    aliases=("endpointslice",),
)
