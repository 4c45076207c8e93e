"""The row of Services, which give changing sets of pods one stable address (upstream: pkg/registry/core/service).

A Service's cluster IP and node ports are chosen in allocation.py. Its strategy reserves them by *claims*: keys in the
store that only one object can hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from apiserver.kinds.cells import AGE, NAME
from apiserver.kinds.services import columns
from apiserver.kinds.services.allocation import allocate, claims_of
from apiserver.kinds.services.defaults import align_cluster_ips, carry_over, default_service, set_families
from apiserver.kinds.services.ranges import ServiceRanges, Taken
from apiserver.kinds.services.validation import validate_change, validate_service
from apiserver.kinds.services.warnings import service_warnings
from apiserver.kinds.strategies import StatusStrategy
from apiserver.kinds.subresources import STATUS
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import upstream
from machinery import validation
from machinery.errors import FieldError
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

    def validate(self, obj: Object) -> checks.Errors:
        return validate_service(obj)

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        carry_over(new["spec"], old["spec"])
        set_families(new["spec"], old["spec"])

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return chain(validate_change(new, old), validate_service(new))

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        return list(service_warnings(obj))

    def fields(self, obj: Object) -> Mapping[str, str]:
        spec = obj.get("spec", {})
        return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}

    def claims(self, obj: Object) -> Sequence[str]:
        return claims_of(obj.get("spec", {}), self.ranges)

    def allocate(self, obj: Object, old: Object | None, taken: Taken) -> list[FieldError]:
        return allocate(obj["spec"], self.ranges, taken, held=self.claims(old) if old is not None else ())


def services(ranges: ServiceRanges) -> Kind:
    """Return the row; its Services get their cluster IPs and node ports from these ranges."""
    return Kind(
        *upstream("", "Service"),
        short_names=("svc",),
        categories=("all",),
        subresources=(STATUS,),
        strategy=ServiceStrategy(ranges),
        columns=(
            NAME,
            Column("Type", lambda obj: obj["spec"].get("type", "")),
            Column("Cluster-IP", columns.cluster_ip),
            Column("External-IP", columns.external_ip),
            Column("Port(s)", columns.ports),
            AGE,
            Column("Selector", columns.selector, priority=1),
        ),
    )
