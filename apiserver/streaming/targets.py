"""Where a connection to a pod, a Service or a node leads: pure choices, with upstream's message for every refusal.

So that nobody can aim the API server elsewhere, addresses are taken only from status and endpoints, are no host names,
and never lead back to this machine's loopback or link, in whatever form they are written (upstream:
proxyutil.IsProxyableIP). One exception: a kubelet may listen on loopback, but has to prove that it is its node's.
Upstream: registry/core/{pod,service,node}/strategy.go and storage.go, ``ResourceLocation`` and its sisters.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from apiserver.model.addresses import is_global_unicast, unmapped
from machinery.errors import BadRequest, InternalError, ServiceUnavailable
from machinery.objects import Object

KUBELET_PORT = 10250
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class ProxyTarget(NamedTuple):
    """A server to connect to. ``user``, unless empty, is the one whom the certificate of the server must name."""

    scheme: str
    host: str
    port: int
    user: str = ""


def authority(target: ProxyTarget) -> str:
    """Return host and port as a URL has them."""
    return f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"


class SchemeNamePort(NamedTuple):
    """A name in a proxy's path: ``https:name:port``, ``name:port`` or ``name``. What is not given is ""."""

    scheme: str
    name: str
    port: str


def split_scheme_name_port(text: str, what: str) -> SchemeNamePort:
    """Split such a name; ``what`` stands in the message of BadRequest: ``invalid service request "x:y:z"``."""
    parts = text.split(":")
    if len(parts) == 1:
        return SchemeNamePort("", text, "")
    scheme, name, port = parts if len(parts) == 3 else ("", *parts[:2])
    if len(parts) > 3 or not name or scheme not in ("", "http", "https"):
        raise BadRequest(f'invalid {what} request "{text}"')
    return SchemeNamePort(scheme, name, port)


def choose_container(pod: Object, wanted: str) -> str:
    """Return the name of the container that is meant: the wanted one, the only one, or the annotated default.

    Raises BadRequest if there is no such container, or a choice.
    """
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [entry["name"] for entry in spec.get("containers") or ()]
    init = [entry["name"] for entry in spec.get("initContainers") or ()]
    ephemeral = [entry["name"] for entry in spec.get("ephemeralContainers") or ()]
    if wanted:
        if wanted not in names + init + ephemeral:
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(names) == 1:
        return str(names[0])
    default = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if default in names:
        return str(default)
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
    if init:
        message += f" or one of the init containers: [{' '.join(init)}]"
    raise BadRequest(message)


def kubelet_of(node: Object) -> ProxyTarget:
    """Return the node's kubelet: its InternalIP and the port in its status.

    Nodes write their status themselves. So a kubelet on an address where other servers of this machine listen has to
    show the certificate of its node. Raises InternalError without an InternalIP, BadRequest if it is a host name.
    """
    status, name = node.get("status") or {}, node["metadata"]["name"]
    for address in status.get("addresses") or ():
        if address.get("type") == "InternalIP":
            endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
            host, port = address["address"], int(endpoint.get("Port") or KUBELET_PORT)
            user = "" if is_global_unicast(host) else f"system:node:{name}"
            return ProxyTarget("https", canonical_address(host), port, user)
    known = " ".join(f"{{{each.get('type', '')} {each.get('address', '')}}}" for each in status.get("addresses") or ())
    raise InternalError(f"no preferred addresses found; known addresses: [{known}] (node {name})")


def node_target(node: Object, scheme: str, port: str) -> ProxyTarget | None:
    """Return the server on the node that is meant, None if it is the kubelet. Raises BadRequest for a wrong port."""
    kubelet = kubelet_of(node)
    if port in ("", str(kubelet.port)):
        return None
    return ProxyTarget(scheme or "http", allowed_address(kubelet.host), port_number(port))


def pod_target(pod: Object, scheme: str, port: str) -> ProxyTarget:
    """Return the pod's address with the port asked for, or the first one that a container declares."""
    address = allowed_address((pod.get("status") or {}).get("podIP") or "")
    number = port_number(port) if port else _first_port(pod)
    scheme = scheme or "http"
    return ProxyTarget(scheme, address, number or (443 if scheme == "https" else 80))


def _first_port(pod: Object) -> int:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            return int(port["containerPort"])
    return 0


def service_target(
    service: Object,
    endpoints: Object | None,
    scheme: str,
    port: str,
    find_pod: Callable[[str], Object | None],
    choose: Callable[[Sequence[tuple[Object, int]]], tuple[Object, int]] = random.choice,
) -> ProxyTarget:
    """Choose one of the Service's ready endpoints that are pods of its own namespace.

    ``find_pod`` finds a pod of the namespace by its name. Raises ServiceUnavailable if there is none to choose.
    """
    name = service["metadata"]["name"]
    port_name = _port_name(service, port)
    found = [
        (address, int(subset_port["port"]))
        for subset in (endpoints or {}).get("subsets") or ()
        for subset_port in subset.get("ports") or ()
        if (subset_port.get("name") or "") == port_name
        for address in subset.get("addresses") or ()
    ]
    pods = [(address, number) for address, number in found if _is_pod(address, find_pod)]
    if not pods:
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')
    address, number = choose(pods)
    return ProxyTarget(scheme or "http", allowed_address(address["ip"]), number)


def _port_name(service: Object, port: str) -> str:
    """Return the name, perhaps "", of the Service's port that was asked for by name or number, or of its only one."""
    name, ports = service["metadata"]["name"], service["spec"].get("ports") or []
    if not port:
        return str(ports[0].get("name") or "") if len(ports) == 1 else ""
    if not _is_number(port):
        return port
    for entry in ports:
        if int(port) == entry["port"]:
            return str(entry.get("name") or "")
    raise ServiceUnavailable(f'no service port {port} found for service "{name}"')


def _is_pod(address: Object, find_pod: Callable[[str], Object | None]) -> bool:
    """Tell whether an endpoint's address is that of its pod. Endpoints are not believed: users can write them."""
    reference = address.get("targetRef") or {}
    if reference.get("kind") != "Pod":
        return False
    pod = find_pod(reference.get("name", ""))
    status = (pod or {}).get("status") or {}
    addresses = {status.get("podIP")} | {entry.get("ip") for entry in status.get("podIPs") or ()}
    return address.get("ip") in addresses


def port_number(text: str) -> int:
    """Convert a port's number. Raises BadRequest."""
    if not _is_number(text) or not 0 < int(text) < 65536:
        raise BadRequest(f'invalid port "{text}": must be a number from 1 to 65535')
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def allowed_address(text: str) -> str:
    """Return an IP address in its only form. Raises BadRequest for one that may be this machine's own, or none."""
    if not is_global_unicast(text):
        raise BadRequest("address not allowed")
    return canonical_address(text)


def canonical_address(text: str) -> str:
    """Return an IP address in its only form. Raises BadRequest for what is none: host names are not looked up."""
    try:
        return str(unmapped(ipaddress.ip_address(text)))
    except ValueError:
        raise BadRequest("address not allowed") from None
