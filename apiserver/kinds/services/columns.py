"""The columns of ``kubectl get services`` (upstream: printService)."""

from __future__ import annotations

from apiserver.kinds.cells import NONE, UNKNOWN, label_map
from machinery.objects import Object


def cluster_ip(service: Object) -> str:
    """Return the first cluster IP; of a headless Service that is ``None``."""
    spec = service["spec"]
    return (spec.get("clusterIPs") or [spec.get("clusterIP")])[0] or NONE


def external_ip(service: Object) -> str:
    """Return the addresses at which the Service is reached from outside the cluster."""
    spec = service["spec"]
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(spec.get("externalIPs", ())) or NONE
        case "LoadBalancer":
            ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", ())
            addresses = [entry.get("ip") or entry.get("hostname", "") for entry in ingress]
            return ",".join([*addresses, *(spec.get("externalIPs", ()))]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return UNKNOWN


def ports(service: Object) -> str:
    """Return the ports with their node ports: ``80/TCP,443:30443/TCP``."""
    return ",".join(_port(port) for port in service["spec"].get("ports", ())) or NONE


def _port(port: Object) -> str:
    number = f"{port['port']}:{port['nodePort']}" if port.get("nodePort") else str(port["port"])
    return f"{number}/{port.get('protocol', 'TCP')}"


def selector(service: Object) -> str:
    """Return the selector: the labels of the Service's pods."""
    return label_map(service["spec"].get("selector"))
