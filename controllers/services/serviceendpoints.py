"""What Endpoints and EndpointSlices have in common: which pods stand behind a Service, and on which ports.

Upstream: pkg/controller/util/endpoint and staging/src/k8s.io/endpointslice/util.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from machinery.informer import Informer
from machinery.objects import Container, Object, PodSpec, is_pod_ready, is_pod_terminal, key, labels_of
from machinery.pods import is_sidecar

HEADLESS_LABEL = "service.kubernetes.io/headless"
# Upstream's older way to say publishNotReadyAddresses, still honoured by Endpoints.
TOLERATE_UNREADY = "service.alpha.kubernetes.io/tolerate-unready-endpoints"


def has_endpoints_of_pods(service: Object) -> bool:
    """Services without selector are their owner's affair, and ExternalName has no endpoints at all."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def selects(service: Object, pod: Object) -> bool:
    """The Service's selector matches the pod."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= labels_of(pod).items()


def is_headless(service: Object) -> bool:
    """It has no virtual address."""
    return service["spec"].get("clusterIP") in (None, "", "None")


def has_place(pod: Object, *, terminating: bool) -> bool:
    """The pod has an address and has not ended; being deleted it counts only where ``terminating`` pods do."""
    if is_pod_terminal(pod) or not pod_addresses(pod):
        return False
    return terminating or not pod["metadata"].get("deletionTimestamp")


def pod_addresses(pod: Object) -> list[str]:
    """All addresses of the pod."""
    status = pod.get("status", {})
    addresses = [entry["ip"] for entry in status.get("podIPs", ()) if entry.get("ip")]
    return addresses or ([status["podIP"]] if status.get("podIP") else [])


def address_type(address: str) -> str:
    """``IPv4`` or ``IPv6``; raises ValueError for what is neither."""
    return f"IPv{ipaddress.ip_address(address).version}"


def families(service: Object) -> list[str]:
    """The Service's address families, the main one first."""
    spec = service["spec"]
    if spec.get("ipFamilies"):
        return list(spec["ipFamilies"])
    address = spec.get("clusterIP")
    return [address_type(address)] if address and address != "None" else ["IPv4"]


def hostname_in(service: Object, pod: Object) -> str:
    """The pod's own name under the Service's DNS name, where it has one."""
    spec = pod["spec"]
    return str(spec.get("hostname") or "") if spec.get("subdomain") == service["metadata"]["name"] else ""


def target_reference(pod: Object) -> Object:
    """How endpoints point at their pod."""
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def find_port(pod: Object, service_port: Object) -> int | None:
    """The number that a Service's targetPort means in this pod; None if the pod has no port of that name."""
    target = service_port.get("targetPort", service_port["port"])
    if isinstance(target, int):
        return target or int(service_port["port"])
    protocol = service_port.get("protocol", "TCP")
    for container in _containers_with_ports(pod):
        for port in container.get("ports", ()):
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def _containers_with_ports(pod: Object) -> Iterator[Container]:
    spec: PodSpec = pod["spec"]
    yield from spec["containers"]
    yield from filter(is_sidecar, spec.get("initContainers", ()))


def endpoint_port(service_port: Object, number: int) -> Object:
    """A port of Endpoints or of a slice (there with its name, even an empty one)."""
    port = {"name": service_port.get("name", ""), "port": number, "protocol": service_port.get("protocol", "TCP")}
    if service_port.get("appProtocol"):
        port["appProtocol"] = service_port["appProtocol"]
    return port


def relevant_to_endpoints(pod: Object) -> tuple[Any, ...]:
    """All that endpoints depend on: a change of anything else in a pod concerns no Service."""
    meta, spec = pod["metadata"], pod["spec"]
    return (
        meta["uid"],
        meta.get("labels"),
        bool(meta.get("deletionTimestamp")),
        is_pod_ready(pod),
        is_pod_terminal(pod),
        pod_addresses(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


def enqueue_services_of_pods(pods: Informer, services: Informer, enqueue: Callable[[str], None]) -> None:
    """Has each Service looked at that selects a changed pod, or did before the change."""

    def changed(old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and relevant_to_endpoints(old) == relevant_to_endpoints(new):
            return
        for service_key in services_of(services, (pod for pod in (old, new) if pod is not None)):
            enqueue(service_key)

    pods.add_handler(changed)


def pods_of(pods: Informer, service: Object) -> list[Object]:
    """The pods that the Service selects."""
    return [pod for pod in pods.by_index("namespace", service["metadata"]["namespace"]) if selects(service, pod)]


def services_of(services: Informer, pods: Iterable[Object]) -> set[str]:
    """The keys of the Services that select any of these pods."""
    return {
        key(service)
        for pod in pods
        for service in services.by_index("namespace", pod["metadata"]["namespace"])
        if selects(service, pod)
    }
