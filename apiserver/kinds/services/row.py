"""Services: a stable address before pods that come and go (upstream: pkg/registry/core/service).

The cluster IP and the node ports are claims: see ``apiserver/kinds/services/allocation.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apiserver.kinds.cells import AGE, NAME
from apiserver.kinds.services import columns as cells
from apiserver.kinds.services.allocation import AllocationError, RangeFull, ServiceRanges, Taken
from apiserver.kinds.services.defaults import (
    align_cluster_ips,
    carry_over,
    default_service,
    is_headless,
    wants_cluster_ip,
    wants_node_ports,
)
from apiserver.kinds.services.validation import validate_change, validate_service
from apiserver.kinds.strategies import StatusStrategy
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import UpstreamCodec
from machinery import validation
from machinery.errors import FieldError, InternalError
from machinery.objects import Object


class ServiceStrategy(StatusStrategy):
    create_on_update = True
    return_deleted = True
    initial_status = {"loadBalancer": {}}
    max_name_length = 63

    def __init__(self, ranges: ServiceRanges) -> None:
        self.ranges = ranges

    def default(self, obj: Object) -> None:
        default_service(obj)

    def validate_name(self, name: str) -> list[str]:
        return validation.is_dns1035_label(name)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        align_cluster_ips(obj["spec"], None)
        set_families(obj["spec"])

    def validate(self, obj: Object) -> list[FieldError]:
        return list(validate_service(obj))

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        carry_over(new["spec"], old["spec"])
        set_families(new["spec"], old["spec"])

    def validate_update(self, new: Object, old: Object) -> list[FieldError]:
        return [*validate_change(new, old), *validate_service(new)]

    def fields(self, obj: Object) -> Mapping[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}

    def claims(self, obj: Object) -> Sequence[str]:
        spec = obj.get("spec") or {}
        keys = []
        if wants_cluster_ip(spec) and not is_headless(spec):
            keys += [self.ranges.ips.claim(address) for address in spec.get("clusterIPs") or ()]
        ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
        return keys + [self.ranges.ports.claim(port) for port in sorted(ports)]

    def allocate(self, obj: Object, old: Object | None, taken: Taken) -> list[FieldError]:
        """Choose what is unset and check what is asked for; raises InternalError if a range is full."""
        held = frozenset(self.claims(old)) if old is not None else frozenset()

        def others(claim: str) -> bool:
            return claim not in held and taken(claim)

        spec = obj["spec"]
        return [*self._allocate_ip(spec, others), *self._allocate_ports(spec, held, others)]

    def _allocate_ip(self, spec: Object, taken: Taken) -> list[FieldError]:
        if not wants_cluster_ip(spec) or is_headless(spec):
            return []
        wanted = (spec.get("clusterIPs") or [""])[0]
        if not wanted:
            try:
                address = self.ranges.ips.choose(taken)
            except RangeFull as full:
                raise InternalError(f"Internal error occurred: failed to allocate a serviceIP: {full}") from full
            spec["clusterIP"], spec["clusterIPs"] = address, [address]
            return []
        try:
            self.ranges.ips.check(wanted, taken)
        except AllocationError as why:
            detail = f"failed to allocate IP {wanted}: {why}"
            return [FieldError.invalid("spec.clusterIPs", spec["clusterIPs"], detail)]
        return []

    def _allocate_ports(self, spec: Object, held: frozenset[str], taken: Taken) -> list[FieldError]:
        """Choose or check node ports; ports of one number and several protocols share one, as upstream."""
        if not wants_node_ports(spec) and not any(port.get("nodePort") for port in spec.get("ports") or ()):
            return []
        chosen: dict[int, int] = {}  # service port → node port
        given: set[str] = set()
        requested = {port["port"]: port["nodePort"] for port in spec["ports"] if port.get("nodePort")}
        for index, port in enumerate(spec["ports"]):
            wanted = port.get("nodePort") or chosen.get(port["port"]) or requested.get(port["port"])
            if not wanted and not wants_node_ports(spec):
                continue
            if not wanted:
                wanted = self._choose_port(lambda claim: claim in given or claim in held or taken(claim))
            elif chosen.get(port["port"]) != wanted:
                claim = self.ranges.ports.claim(wanted)
                try:
                    if claim in given and claim not in held:
                        raise AllocationError("provided port is already allocated")
                    if claim not in held:
                        self.ranges.ports.check(wanted, taken)
                except AllocationError as why:
                    return [FieldError.invalid(f"spec.ports[{index}].nodePort", wanted, str(why))]
            port["nodePort"] = chosen[port["port"]] = wanted
            given.add(self.ranges.ports.claim(wanted))
        return []

    def _choose_port(self, taken: Taken) -> int:
        try:
            return self.ranges.ports.choose(taken)
        except RangeFull as full:
            raise InternalError(f"Internal error occurred: failed to allocate a nodePort: {full}") from full


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


def services(ranges: ServiceRanges) -> Kind:
    """Return the row, whose Services get cluster IPs and node ports of these ranges."""
    return Kind(
        "",
        "v1",
        "Service",
        "services",
        UpstreamCodec("io.k8s.api.core.v1.Service"),
        short_names=("svc",),
        categories=("all",),
        subresources=("proxy", "status"),
        strategy=ServiceStrategy(ranges),
        columns=(
            NAME,
            Column("Type", lambda obj: obj["spec"].get("type", "")),
            Column("Cluster-IP", cells.cluster_ip),
            Column("External-IP", cells.external_ip),
            Column("Port(s)", cells.ports),
            AGE,
            Column("Selector", cells.selector, priority=1),
        ),
    )
