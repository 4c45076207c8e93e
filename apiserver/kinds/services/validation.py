"""Checks of a Service (upstream: ValidateService and ValidateServiceUpdate); this cluster has IPv4 alone."""

from __future__ import annotations

from apiserver.kinds.services.defaults import externally_accessible, is_headless
from apiserver.model import checks
from machinery import validation
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.validation import parse_ip

MAX_AFFINITY_SECONDS = 86400
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
TRAFFIC_POLICIES = ("Cluster", "Local")
LOAD_BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'"


def validate_service(service: Object) -> checks.Errors:
    """Check a whole Service, new or changed."""
    spec = service["spec"]
    headless = is_headless(spec)
    if not spec.get("ports") and not headless and spec["type"] != "ExternalName":
        yield FieldError.required("spec.ports")
    if headless and spec["type"] in ("LoadBalancer", "NodePort"):
        why = f"may not be set to 'None' for {spec['type']} services"
        yield FieldError.invalid("spec.clusterIPs[0]", "None", why)
    if spec["type"] == "ExternalName":
        yield from _validate_external_name(spec)
    yield from _validate_ports(spec)
    yield from checks.labels("spec.selector", spec.get("selector", {}))
    yield from _validate_affinity(spec)
    if spec["type"] != "ExternalName":
        yield from _validate_addresses(spec)
    for index, address in enumerate(spec.get("externalIPs", ())):
        path = f"spec.externalIPs[{index}]"
        yield from list(checks.ip(path, address)) or checks.ordinary_ip(path, address)
    yield from checks.one_of("spec.type", spec["type"], TYPES)
    yield from _validate_port_uniqueness(spec)
    yield from _validate_load_balancer(spec)
    yield from _validate_traffic_policies(spec)


def _validate_external_name(spec: Object) -> checks.Errors:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield FieldError.forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = spec.get("externalName", "").removesuffix(".")
    yield from checks.required("spec.externalName", name, checks.subdomain)


def _validate_ports(spec: Object) -> checks.Errors:
    ports = spec.get("ports", ())
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", port.get("name")
        if name:
            yield from checks.label(f"{path}.name", name)
            if name in names:
                yield FieldError.duplicate(f"{path}.name", name)
            names.add(name)
        elif len(ports) > 1:
            yield FieldError.required(f"{path}.name")
        yield from checks.port(f"{path}.port", port.get("port", 0))
        yield from checks.one_of(f"{path}.protocol", port.get("protocol"), checks.PROTOCOLS)
        yield from checks.port_or_name(f"{path}.targetPort", port.get("targetPort", 0))
        yield from checks.optional(f"{path}.appProtocol", port.get("appProtocol"), checks.qualified_name)


def _validate_port_uniqueness(spec: Object) -> checks.Errors:
    ports = spec.get("ports", ())
    if spec["type"] == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                why = "may not be used when `type` is 'ClusterIP'"
                yield FieldError.forbidden(f"spec.ports[{index}].nodePort", why)
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        if not port.get("nodePort"):
            continue
        key = (port["protocol"], port["nodePort"])
        if key in node_ports:
            yield FieldError.duplicate(f"spec.ports[{index}].nodePort", port["nodePort"])
        node_ports.add(key)
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        key = (port["protocol"], port.get("port", 0))
        if key in numbers:
            yield FieldError.duplicate(f"spec.ports[{index}]", {"protocol": key[0], "port": key[1]})
        numbers.add(key)


def _validate_affinity(spec: Object) -> checks.Errors:
    affinity, path = spec.get("sessionAffinity"), "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    yield from checks.one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= MAX_AFFINITY_SECONDS:
            yield FieldError.invalid(path, seconds, f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}")


def _validate_addresses(spec: Object) -> checks.Errors:
    single, several = spec.get("clusterIP"), spec.get("clusterIPs", [])
    if single and not several:
        yield FieldError.required("spec.clusterIPs")
    elif single and several[0] != single:
        yield FieldError.invalid("spec.clusterIPs", several, "first value must match `clusterIP`")
    elif several and not single:
        yield FieldError.invalid("spec.clusterIPs", several, "must be empty when `clusterIP` is not specified")
    yield from _validate_families(spec)
    bad = [
        error
        for index, address in enumerate(several)
        if not (index == 0 and address == "None")
        for error in checks.ip(f"spec.clusterIPs[{index}]", address)
    ]
    if several[:1] == ["None"] and len(several) > 1:
        bad.append(FieldError.invalid("spec.clusterIPs", several, "'None' must be the first and only value"))
    yield from bad
    if len(several) > 2:
        yield FieldError.invalid("spec.clusterIPs", several, "may only hold up to 2 values")
    if bad or is_headless(spec):
        return
    versions = [parse_ip(address).version for address in several]
    if len(set(versions)) < len(versions):
        yield FieldError.invalid("spec.clusterIPs", several, "may specify no more than one IP for each IP family")
    for index, (address, version) in enumerate(zip(several, versions, strict=True)):
        family = spec.get("ipFamilies", [])[index : index + 1]
        if family and family[0] != f"IPv{version}":
            why = f"expected an {family[0]} value as indicated by `ipFamilies[{index}]`"
            yield FieldError.invalid(f"spec.clusterIPs[{index}]", address, why)


def _validate_families(spec: Object) -> checks.Errors:
    families = spec.get("ipFamilies", [])
    again = set(checks.repeated(families))
    for index, family in enumerate(families):
        path = f"spec.ipFamilies[{index}]"
        if family not in FAMILIES:
            yield FieldError.not_supported(path, family, FAMILIES)
        elif index in again:
            yield FieldError.duplicate(path, family)
    policy = spec.get("ipFamilyPolicy")
    yield from checks.supported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES)
    if is_headless(spec) and not spec.get("selector"):
        return
    if policy == "RequireDualStack":
        why = "this cluster is not configured for dual-stack services"
        yield FieldError.invalid("spec.ipFamilyPolicy", policy, why)
    for index, family in enumerate(families):
        if family == "IPv6":
            yield FieldError.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")


def _validate_load_balancer(spec: Object) -> checks.Errors:
    balances = spec["type"] == "LoadBalancer"
    ranges = spec.get("loadBalancerSourceRanges", ())
    if ranges and not balances:
        yield FieldError.forbidden("spec.LoadBalancerSourceRanges", LOAD_BALANCER_ONLY)
    for index, text in enumerate(ranges):
        yield from checks.cidr(f"spec.LoadBalancerSourceRanges[{index}]", text.strip())
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balances:
        yield FieldError.forbidden("spec.allocateLoadBalancerNodePorts", LOAD_BALANCER_ONLY)
    if spec.get("loadBalancerClass") is not None:
        if balances:
            yield from checks.qualified_name("spec.loadBalancerClass", spec["loadBalancerClass"])
        else:
            yield FieldError.forbidden("spec.loadBalancerClass", LOAD_BALANCER_ONLY)


def _validate_traffic_policies(spec: Object) -> checks.Errors:
    external = spec.get("externalTrafficPolicy")
    if not externally_accessible(spec):
        if external:
            why = "may only be set for externally-accessible services"
            yield FieldError.invalid("spec.externalTrafficPolicy", external, why)
    else:
        yield from checks.one_of("spec.externalTrafficPolicy", external, TRAFFIC_POLICIES)
    health_port = spec.get("healthCheckNodePort")
    if health_port:
        if spec["type"] == "LoadBalancer" and external == "Local":
            yield from checks.invalid("spec.healthCheckNodePort", health_port, validation.is_port_number(health_port))
        else:
            why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            yield FieldError.invalid("spec.healthCheckNodePort", health_port, why)
    yield from checks.supported("spec.internalTrafficPolicy", spec.get("internalTrafficPolicy"), TRAFFIC_POLICIES)
    yield from checks.supported("spec.trafficDistribution", spec.get("trafficDistribution"), ("PreferClose",))


def validate_change(new_service: Object, old_service: Object) -> checks.Errors:
    """Check that the cluster IP has not changed, unless the type was or is ExternalName."""
    new, old = new_service["spec"], old_service["spec"]
    if "ExternalName" in (new["type"], old["type"]) or (is_headless(new) and is_headless(old)):
        return
    addresses, before = new.get("clusterIPs", []), old.get("clusterIPs", [])
    if before and not addresses:
        yield FieldError.invalid("spec.clusterIPs[0]", addresses, "primary clusterIP can not be unset")
    elif before and addresses[0] != before[0]:
        yield FieldError.invalid("spec.clusterIPs[0]", addresses, "may not change once set")
    if is_headless(new) or is_headless(old):
        return
    families, families_before = new.get("ipFamilies", []), old.get("ipFamilies", [])
    if families and families_before and families[0] != families_before[0]:
        yield FieldError.invalid("spec.ipFamilies[0]", families, "may not change once set")
    if new["type"] == old["type"] == "LoadBalancer" and new.get("loadBalancerClass") != old.get("loadBalancerClass"):
        yield FieldError.invalid("spec.loadBalancerClass", new.get("loadBalancerClass"), "may not change once set")
