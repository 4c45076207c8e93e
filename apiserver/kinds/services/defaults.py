"""The fields of a Service that the API server fills in, and those that it carries over on an update.

A client may update a Service with a body that lacks its cluster IP and node ports: they are then kept. Upstream:
SetDefaults_Service, and patchAllocatedValues, normalizeClusterIPs and dropTypeDependentFields of the service registry.
"""

from __future__ import annotations

from typing import Any

from machinery.objects import Object

AFFINITY_SECONDS = 10800
WITH_CLUSTER_IP = ("ClusterIP", "NodePort", "LoadBalancer")
WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
ADDRESS_FIELDS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")


def default_service(service: Object) -> None:
    """Fill in upstream's static defaults."""
    spec = service.setdefault("spec", {})
    affinity = spec.get("sessionAffinity") or "None"
    spec["sessionAffinity"] = affinity
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        client_ip = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client_ip.setdefault("timeoutSeconds", AFFINITY_SECONDS)
    spec["type"] = spec.get("type") or "ClusterIP"
    for port in spec.get("ports", ()):
        port["protocol"] = port.get("protocol") or "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    if externally_accessible(spec):
        spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
    if spec["type"] in WITH_CLUSTER_IP:
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def externally_accessible(spec: Object) -> bool:
    """Return True if traffic can come from outside the cluster."""
    type = spec.get("type")
    return type in WITH_NODE_PORTS or (type == "ClusterIP" and bool(spec.get("externalIPs")))


def is_headless(spec: Object) -> bool:
    """Return True if the Service has no virtual IP: its DNS name resolves to its endpoints."""
    return (spec.get("clusterIPs") or [spec.get("clusterIP")]) == ["None"]


def wants_cluster_ip(spec: Object) -> bool:
    """Return True if the Service's type has a cluster IP (which is None if it is headless)."""
    return spec.get("type") in WITH_CLUSTER_IP


def wants_node_ports(spec: Object) -> bool:
    """Return True if the Service gets node ports."""
    return spec.get("type") == "NodePort" or (
        spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
    )


def carry_over(new: Object, old: Object) -> None:
    """Complete an update's spec in place: keep allocated values of ``old``, drop fields that the new type lacks."""
    _keep_cluster_ips(new, old)
    if wants_node_ports(new) and wants_node_ports(old):
        _keep_node_ports(new, old)
    align_cluster_ips(new, old)
    _drop_by_type(new, old)


def _keep_cluster_ips(new: Object, old: Object) -> None:
    if not (wants_cluster_ip(new) and wants_cluster_ip(old)):
        return
    if not new.get("clusterIP") and old.get("clusterIP"):
        new["clusterIP"] = old["clusterIP"]
    if not new.get("clusterIPs") and new.get("clusterIP") == old.get("clusterIP") and old.get("clusterIPs"):
        new["clusterIPs"] = list(old["clusterIPs"])


def _keep_node_ports(new: Object, old: Object) -> None:
    """Give a port without node port the one that the old port of the same number and protocol had."""
    used = {port.get("nodePort") for port in new.get("ports", ())}
    had = {_port_key(port): port["nodePort"] for port in old.get("ports", ()) if port.get("nodePort")}
    for port in new.get("ports", ()):
        previous = had.get(_port_key(port))
        if not port.get("nodePort") and previous and previous not in used:
            port["nodePort"] = previous


def _port_key(port: Object) -> tuple[Any, Any]:
    return port.get("protocol"), port.get("port")


def align_cluster_ips(new: Object, old: Object | None) -> None:
    """Make ``clusterIP`` and ``clusterIPs[0]`` equal: the field that the client has set or changed counts."""
    single, several = new.get("clusterIP"), new.get("clusterIPs")
    if old is None:
        if single and not several:
            new["clusterIPs"] = [single]
        return
    same_single, same_several = single == old.get("clusterIP"), several == old.get("clusterIPs")
    if not single and old.get("clusterIP") and (same_several or not several):
        new.pop("clusterIPs", None)
    elif single and not same_single and (same_several or not several):
        new["clusterIPs"] = [single]
    elif several and same_single and not same_several and not single:
        new["clusterIP"] = several[0]


def _drop_by_type(new: Object, old: Object) -> None:
    """Drop fields that the new type may not have, if the client left them as they were."""
    if wants_cluster_ip(old) and not wants_cluster_ip(new) and _unchanged(new, old, "clusterIPs"):
        for field in ADDRESS_FIELDS:
            new.pop(field, None)
    if wants_node_ports(old) and not wants_node_ports(new) and _node_ports(new) <= _node_ports(old):
        for port in new.get("ports", ()):
            port.pop("nodePort", None)
    if new.get("type") != "LoadBalancer" and old.get("type") == "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort"):
            if _unchanged(new, old, field):
                new.pop(field, None)
    if not externally_accessible(new) and externally_accessible(old) and _unchanged(new, old, "externalTrafficPolicy"):
        new.pop("externalTrafficPolicy", None)


def _unchanged(new: Object, old: Object, field: str) -> bool:
    return new.get(field) == old.get(field) or not new.get(field)


def _node_ports(spec: Object) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports", ()) if port.get("nodePort")}


def set_families(spec: Object, old: Object | None = None) -> None:
    """Fill in the IP families and their policy, in a cluster of IPv4 alone (upstream: initIPFamilyFields).

    A headless Service without selector may have either family, because somebody else makes its endpoints.
    """
    if not wants_cluster_ip(spec):
        return
    free = is_headless(spec) and not spec.get("selector")
    policy = spec.get("ipFamilyPolicy") or (old or {}).get("ipFamilyPolicy")
    spec["ipFamilyPolicy"] = policy or ("RequireDualStack" if free else "SingleStack")
    families = spec.get("ipFamilies") or (old or {}).get("ipFamilies") or ["IPv4"]
    if free and len(families) == 1 and spec["ipFamilyPolicy"] != "SingleStack":
        families = [*families, "IPv6" if families[0] == "IPv4" else "IPv4"]
    spec["ipFamilies"] = list(families)
