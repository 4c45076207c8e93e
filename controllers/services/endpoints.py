"""Write the Endpoints of Services with a selector: the addresses of their pods, grouped by ports.

Upstream: pkg/controller/endpoint. ``plan`` returns the whole object as it should be, and it is written only if it
differs. For a Service without a selector somebody else writes the Endpoints; this controller leaves them alone, and
deletes them together with the Service.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from controllers.services.serviceendpoints import (
    TOLERATE_UNREADY,
    address_type,
    endpoint_port,
    enqueue_services_of_pods,
    families,
    find_port,
    has_endpoints_of_pods,
    has_place,
    hostname_in,
    is_headless,
    labels_for_endpoints,
    pod_addresses,
    pods_of,
    target_reference,
)
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.failures import namespace_terminating
from controllers.shared.indexes import BY_NAMESPACE
from controllers.shared.writecache import WriteCache
from machinery.controller import Controller
from machinery.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound
from machinery.objects import Object, annotations_of, is_pod_ready, key, split_key
from machinery.policyrules import READ, WRITE_EVENTS, can
from machinery.resources import ENDPOINTS, PODS, SERVICES

# Upstream truncates Endpoints with more addresses, and marks them with this annotation.
MAX_ADDRESSES = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
LEADER = "control-plane.alpha.kubernetes.io/leader"

# A port's JSON, to be used as a dictionary key; empty for a headless Service without ports.
PortKey = str


def plan(service: Object, pods: Iterable[Object], current: Object | None) -> Object | None:
    """Return the Endpoints as they should be; None if ``current`` is like that already."""
    subsets = repack(service, pods)
    kept = truncate(subsets, MAX_ADDRESSES)
    meta = (current or {}).get("metadata", {})
    annotations = {name: text for name, text in meta.get("annotations", {}).items() if name != OVER_CAPACITY}
    if kept != subsets:
        annotations[OVER_CAPACITY] = "truncated"
    labels = labels_for_endpoints(service)
    if current is not None and (
        canonical(current.get("subsets")) == canonical(kept)
        and meta.get("labels", {}) == labels
        and meta.get("annotations", {}) == annotations
    ):
        return None
    base = current or {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"]},
    }
    rest = {name: value for name, value in base["metadata"].items() if name not in ("labels", "annotations")}
    given = {name: value for name, value in (("labels", labels), ("annotations", annotations)) if value}
    return {**base, "metadata": {**rest, **given}, "subsets": kept}


def repack(service: Object, pods: Iterable[Object]) -> list[Object]:
    """Return upstream's canonical subsets: ports with exactly the same addresses share a subset, and all is sorted."""
    by_port: dict[PortKey, dict[str, tuple[Object, bool]]] = {}
    for pod in pods:
        for address, port, ready in contributions(service, pod):
            entries = by_port.setdefault(json.dumps(port, sort_keys=True) if port else "", {})
            entries[json.dumps([address["ip"], address["targetRef"]["uid"]])] = (address, ready)
    by_addresses: dict[str, list[PortKey]] = {}
    for port_key, entries in by_port.items():
        addresses = json.dumps(sorted((address, ready) for address, (_, ready) in entries.items()))
        by_addresses.setdefault(addresses, []).append(port_key)
    subsets = [subset(by_port[ports[0]], ports) for ports in by_addresses.values()]
    return sorted(subsets, key=lambda each: json.dumps([each.get("ports"), each], sort_keys=True))


def contributions(service: Object, pod: Object) -> Iterator[tuple[Object, Object | None, bool]]:
    """Yield what one pod adds: address, port, and whether it counts as ready.

    The port is None for a headless Service that has no ports.
    """
    tolerant = publishes_not_ready(service)
    if not has_place(pod, terminating=tolerant):
        return
    family = families(service)[0]
    ip = next((each for each in pod_addresses(pod) if address_type(each) == family), None)
    if ip is None:
        return
    address: Object = {"ip": ip, "nodeName": pod["spec"].get("nodeName", ""), "targetRef": target_reference(pod)}
    if hostname := hostname_in(service, pod):
        address["hostname"] = hostname
    ready = tolerant or is_pod_ready(pod)
    ports = service["spec"].get("ports", ())
    for service_port in ports:
        if (number := find_port(pod, service_port)) is not None:
            port = endpoint_port(service_port, number)
            yield address, {name: value for name, value in port.items() if value}, ready
    if not ports and is_headless(service):
        yield address, None, ready


def subset(entries: dict[str, tuple[Object, bool]], ports: list[PortKey]) -> Object:
    """Return a subset as the API has it. ``entries`` are addresses with their readiness."""
    ordered = [entries[each] for each in sorted(entries)]
    parts = {
        "addresses": [address for address, ready in ordered if ready],
        "notReadyAddresses": [address for address, ready in ordered if not ready],
        "ports": [json.loads(port) for port in sorted(ports) if port],
    }
    return {name: value for name, value in parts.items() if value}


def truncate(subsets: list[Object], most: int) -> list[Object]:
    """Return the subsets with at most ``most`` addresses; ready ones are kept first."""
    if sum(len(each.get(part, ())) for each in subsets for part in ("addresses", "notReadyAddresses")) <= most:
        return subsets
    kept = [dict(each) for each in subsets]
    for part in ("addresses", "notReadyAddresses"):
        for each in kept:
            each[part] = each.get(part, [])[:most]
            most -= len(each[part])
    return [
        {name: value for name, value in each.items() if value}
        for each in kept
        if each["addresses"] or each["notReadyAddresses"]
    ]


def publishes_not_ready(service: Object) -> bool:
    """Return True if pods count as ready from the start.

    The older annotation overrides the field ``publishNotReadyAddresses``.
    """
    annotated = annotations_of(service).get(TOLERATE_UNREADY)
    if annotated is not None and annotated.lower() in ("1", "t", "true", "0", "f", "false"):
        return annotated.lower() in ("1", "t", "true")
    return bool(service["spec"].get("publishNotReadyAddresses"))


def canonical(subsets: list[Object] | None) -> list[str]:
    """Return the subsets in a form in which neither their order nor that of their parts matters."""

    def ordered(entries: Iterable[Object]) -> list[str]:
        return sorted(json.dumps(entry, sort_keys=True) for entry in entries)

    return sorted(
        json.dumps({part: ordered(entries) for part, entries in each.items() if entries}, sort_keys=True)
        for each in subsets or ()
    )


class EndpointsController:
    """Reconciles the Endpoints of each Service when it, its pods, or the Endpoints change."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.services = context.informer(SERVICES)
        self.pods = context.informer(PODS)
        self.endpoints = context.informer(ENDPOINTS)
        self.recorder = context.recorder("endpoint-controller")
        self.latest = WriteCache(self.endpoints)
        self.controller = Controller("endpoints", self.reconcile, workers=2)
        self.controller.watch(self.services)
        enqueue_services_of_pods(self.pods, self.services, self.controller.enqueue)
        self.controller.requires(self.pods, self.endpoints)
        self.endpoints.add_handler(self.endpoints_changed)
        self.start = self.controller.start

    def endpoints_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue deleted Endpoints, to write them again; and on start all, whose Service may be gone.

        Endpoints that are used for leader election have no Service.
        """
        if new is None and old is not None:
            self.controller.enqueue(key(old))
        elif new is not None and not self.endpoints.synced and LEADER not in annotations_of(new):
            self.controller.enqueue(key(new))

    def reconcile(self, service_key: str) -> None:
        """Write one Service's Endpoints, or delete those of a Service that is gone."""
        service = self.services.get(service_key)
        if service is None:
            self.remove(service_key)
        elif has_endpoints_of_pods(service):
            current = self.latest.get(service_key)
            wanted = plan(service, pods_of(self.pods, service), current)
            if wanted is not None:
                self.write(wanted, new=current is None)

    def remove(self, service_key: str) -> None:
        """Delete the Endpoints of a Service that is gone."""
        namespace, name = split_key(service_key)
        if (endpoints := self.latest.get(service_key)) is None:
            return
        try:
            self.client.delete(ENDPOINTS, name, namespace, uid=endpoints["metadata"]["uid"])
        except (NotFound, Conflict):
            self.latest.forget(service_key)
        else:
            self.latest.deleted(endpoints)

    def write(self, endpoints: Object, *, new: bool) -> None:
        """Create or update Endpoints. A failure is recorded as an event, as upstream does, and raised."""
        try:
            written = self.client.create(ENDPOINTS, endpoints) if new else self.client.update(ENDPOINTS, endpoints)
        except Forbidden as error:
            if not (new and namespace_terminating(error)):
                self.record_failure(endpoints, error, new=new)
                raise
        except (Conflict, AlreadyExists):
            self.latest.forget(key(endpoints))
            raise
        except ApiError as error:
            self.latest.forget(key(endpoints))
            self.record_failure(endpoints, error, new=new)
            raise
        else:
            self.latest.wrote(written)

    def record_failure(self, endpoints: Object, error: ApiError, *, new: bool) -> None:
        """Record an event on the Endpoints that could not be written."""
        name, namespace = endpoints["metadata"]["name"], endpoints["metadata"]["namespace"]
        reason, what = (
            ("FailedToCreateEndpoint", f"create endpoint for service {namespace}/{name}")
            if new
            else ("FailedToUpdateEndpoint", f"update endpoint {namespace}/{name}")
        )
        self.recorder.event(endpoints, "Warning", reason, f"Failed to {what}: {error}")


ENDPOINTS_CONTROLLER = ControllerDescriptor(
    "endpoints-controller",
    EndpointsController,
    account="endpoint-controller",
    rules=(
        can(READ, "pods services"),
        can("create delete get list update watch", "endpoints"),
        can("create", "endpoints/restricted"),
        WRITE_EVENTS,
    ),
    watches=(WatchedKind(SERVICES, BY_NAMESPACE), WatchedKind(PODS, BY_NAMESPACE), WatchedKind(ENDPOINTS)),
    aliases=("endpoint",),
)
