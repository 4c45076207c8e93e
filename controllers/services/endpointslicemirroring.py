"""Mirror the Endpoints of Services without a selector into EndpointSlices.

Such Endpoints are written by users. kube-proxy reads slices only, so without the mirror these Services would lead
nowhere. Upstream: pkg/controller/endpointslicemirroring.
"""

from __future__ import annotations

from typing import Any

from controllers.services.endpoints import LEADER
from controllers.services.slicepacking import Changes, Groups, pack
from controllers.services.slicewriter import SliceWriter, slice_template
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.indexes import BY_SERVICE
from machinery.controller import Controller
from machinery.objects import Object, annotations_of, labels_of
from machinery.policyrules import DISCOVERY, READ, WRITE_EVENTS, can
from machinery.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from machinery.validation import is_ip, parse_ip

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
# Upstream's MaxEndpointsPerSubset: further addresses of a subset are not mirrored.
MAX_ADDRESSES = 1000
UNMIRRORED_ANNOTATIONS = (
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
)


def plan(endpoints: Object, slices: list[Object]) -> Changes:
    """Return the writes after which the slices show these Endpoints."""
    groups = Groups()
    for subset in endpoints.get("subsets", ()):
        ports = [mirrored_port(port) for port in subset.get("ports", ())]
        addresses = [(address, True) for address in subset.get("addresses", ())]
        addresses += [(address, False) for address in subset.get("notReadyAddresses", ())]
        valid = [(address, ready) for address, ready in addresses if is_address(address["ip"])]
        for address, ready in valid[:MAX_ADDRESSES]:
            family = f"IPv{parse_ip(address['ip']).version}"
            groups.of(family, ports).add(mirrored_endpoint(address, ready))
    return pack(groups, slices, template(endpoints), MAX_ADDRESSES)


def mirrored_port(port: Object) -> Object:
    """Return a port of Endpoints as a slice has it: with a name, even if it is empty."""
    return {"name": "", "protocol": "TCP", **port}


def mirrored_endpoint(address: Object, ready: bool) -> Object:
    """Return the endpoint of a slice for an address of Endpoints."""
    endpoint: dict[str, Any] = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


def is_address(text: str) -> bool:
    """Return True if the text is an IP address; others cannot be mirrored."""
    return not is_ip(text)


def skipped(endpoints: Object) -> tuple[int, int]:
    """Count the addresses that are not mirrored: those that are no IP addresses, and those beyond the limit."""
    invalid = surplus = 0
    for subset in endpoints.get("subsets", ()):
        addresses = [*subset.get("addresses", ()), *subset.get("notReadyAddresses", ())]
        valid = sum(is_address(address["ip"]) for address in addresses)
        invalid += len(addresses) - valid
        surplus += max(valid - MAX_ADDRESSES, 0)
    return invalid, surplus


def is_mirrored(endpoints: Object, service: Object | None) -> bool:
    """Return True if Endpoints are to be mirrored: their Service exists and has no selector.

    Those that are labelled ``skip-mirror``, or used for leader election, are not.
    """
    if service is None or service["spec"].get("selector"):
        return False
    return labels_of(endpoints).get(SKIP_MIRROR) != "true" and LEADER not in annotations_of(endpoints)


def template(endpoints: Object) -> Object:
    """Return what all slices of these Endpoints have in common: labels, annotations and owner."""
    annotations = {name: text for name, text in annotations_of(endpoints).items() if name not in UNMIRRORED_ANNOTATIONS}
    owner = {**endpoints, "apiVersion": "v1", "kind": ENDPOINTS.kind}
    made = slice_template(owner, MANAGER, labels_of(endpoints))
    made["metadata"]["annotations"] = annotations
    return made


class EndpointSliceMirroringController:
    """Reconciles the mirror of Endpoints, by the key that they share with their Service."""

    def __init__(self, context: ControllerContext) -> None:
        self.services = context.informer(SERVICES)
        self.endpoints = context.informer(ENDPOINTS)
        self.recorder = context.recorder("endpoint-slice-mirroring-controller")
        self.writer = SliceWriter(context.client, context.informer(ENDPOINT_SLICES), MANAGER)
        self.controller = Controller("endpointslicemirroring", self.reconcile, workers=1)
        self.controller.watch(self.endpoints)
        self.controller.watch(self.services)
        self.controller.requires(context.informer(ENDPOINT_SLICES))
        self.writer.watch(self.controller.enqueue)
        self.start = self.controller.start

    def reconcile(self, key: str) -> None:
        """Write the mirror of one Endpoints object, or delete it."""
        endpoints, slices = self.endpoints.get(key), self.writer.of(key)
        if endpoints is None or not is_mirrored(endpoints, self.services.get(key)):
            self.writer.apply(Changes(delete=slices))
            return
        changes = plan(endpoints, slices)
        if changes != Changes():
            self.report_skipped(endpoints)
        self.writer.apply(changes)

    def report_skipped(self, endpoints: Object) -> None:
        """Record an event for addresses that are not mirrored, as they get no traffic."""
        invalid, surplus = skipped(endpoints)
        if invalid:
            message = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
            self.recorder.event(endpoints, "Warning", "InvalidIPAddress", message)
        if surplus:
            message = (
                f"A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{surplus} addresses were skipped"
            )
            self.recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", message)


ENDPOINT_SLICE_MIRRORING = ControllerDescriptor(
    "endpointslice-mirroring-controller",
    EndpointSliceMirroringController,
    account="endpointslicemirroring-controller",
    rules=(
        can(READ, "endpoints services"),
        can("update", "services/finalizers"),
        can("update", "endpoints/finalizers"),
        can("create delete get list update watch", "endpointslices", DISCOVERY),
        WRITE_EVENTS,
    ),
    watches=(WatchedKind(SERVICES), WatchedKind(ENDPOINTS), WatchedKind(ENDPOINT_SLICES, BY_SERVICE)),
    aliases=("endpointslicemirroring",),
)
