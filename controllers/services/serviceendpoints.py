"""Find the pods behind a Service, their addresses and ports: what Endpoints and EndpointSlices have in common.

Upstream: pkg/controller/util/endpoint and staging/src/k8s.io/endpointslice/util.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from machinery.informer import Informer
from machinery.objects import Container, Object, PodSpec, is_pod_ready, is_pod_terminal, key, labels_of
from machinery.pods import is_sidecar
from machinery.validation import parse_ip

HEADLESS_LABEL = "service.kubernetes.io/headless"
# The annotation that preceded publishNotReadyAddresses; the Endpoints controller still honours it.
TOLERATE_UNREADY = "service.alpha.kubernetes.io/tolerate-unready-endpoints"


def has_endpoints_of_pods(service: Object) -> bool:
    """Return True if the controllers write the Service's endpoints.

    Those of a Service without selector are written by somebody else, and an ExternalName Service has none.
    """
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def selects(service: Object, pod: Object) -> bool:
    """Return True if the Service has a selector that matches the pod."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= labels_of(pod).items()


def is_headless(service: Object) -> bool:
    """Return True if the Service has no cluster IP."""
    return service["spec"].get("clusterIP") in (None, "", "None")


def labels_for_endpoints(service: Object) -> dict[str, str]:
    """Return the Service's labels, with the one that marks the endpoints of a headless Service if it is one."""
    labels = {name: text for name, text in labels_of(service).items() if name != HEADLESS_LABEL}
    return {**labels, HEADLESS_LABEL: ""} if is_headless(service) else labels


def has_place(pod: Object, *, terminating: bool) -> bool:
    """Return True if the pod has an address and has not ended.

    One that is being deleted counts only if ``terminating`` is true.
    """
    if is_pod_terminal(pod) or not pod_addresses(pod):
        return False
    return terminating or not pod["metadata"].get("deletionTimestamp")


def pod_addresses(pod: Object) -> list[str]:
    """Return all addresses of the pod, from ``podIPs`` or else ``podIP``."""
    status = pod.get("status", {})
    addresses = [entry["ip"] for entry in status.get("podIPs", ()) if entry.get("ip")]
    return addresses or ([status["podIP"]] if status.get("podIP") else [])


def address_type(address: str) -> str:
    """Return ``IPv4`` or ``IPv6``. Raises ValueError if the text is no address."""
    return f"IPv{parse_ip(address).version}"


def families(service: Object) -> list[str]:
    """Return the Service's address families, the primary one first."""
    spec = service["spec"]
    if spec.get("ipFamilies"):
        return list(spec["ipFamilies"])
    address = spec.get("clusterIP")
    return [address_type(address)] if address and address != "None" else ["IPv4"]


def hostname_in(service: Object, pod: Object) -> str:
    """Return the pod's hostname if it has a DNS name under this Service, otherwise "".

    That is so if the pod's ``subdomain`` is the Service's name.
    """
    spec = pod["spec"]
    return str(spec.get("hostname") or "") if spec.get("subdomain") == service["metadata"]["name"] else ""


def target_reference(pod: Object) -> Object:
    """Return the reference by which an endpoint names its pod."""
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def find_port(pod: Object, service_port: Object) -> int | None:
    """Return the number that a Service port's targetPort means in this pod; None if the pod has no port of the name."""
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
    """Return a port as a slice has it. In Endpoints an empty name is left out."""
    port = {"name": service_port.get("name", ""), "port": number, "protocol": service_port.get("protocol", "TCP")}
    if service_port.get("appProtocol"):
        port["appProtocol"] = service_port["appProtocol"]
    return port


def relevant_to_endpoints(pod: Object) -> tuple[Any, ...]:
    """Return all of a pod that its endpoints depend on; if it is the same, no Service need be looked at."""
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
    """Call ``enqueue`` with each Service that selects a changed pod, or did so before the change."""

    def changed(old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and relevant_to_endpoints(old) == relevant_to_endpoints(new):
            return
        for service_key in services_of(services, (pod for pod in (old, new) if pod is not None)):
            enqueue(service_key)

    pods.add_handler(changed)


def pods_of(pods: Informer, service: Object) -> list[Object]:
    """Return the pods that the Service selects."""
    return [pod for pod in pods.by_index("namespace", service["metadata"]["namespace"]) if selects(service, pod)]


def services_of(services: Informer, pods: Iterable[Object]) -> set[str]:
    """Return the keys of the Services that select any of these pods."""
    return {
        key(service)
        for pod in pods
        for service in services.by_index("namespace", pod["metadata"]["namespace"])
        if selects(service, pod)
    }
