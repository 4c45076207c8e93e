"""Leases: who holds one, and when it was last renewed. Leaders hold one, and nodes renew theirs as a heartbeat.

Upstream: pkg/registry/coordination/lease. Fields of coordinated leader election, which is off in v1.32, are dropped.
"""

from __future__ import annotations

from apiserver.kinds.cells import AGE, NAME
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object

ELECTION_FIELDS = ("strategy", "preferredHolder")


class LeaseStrategy(Strategy):
    create_on_update = True
    unconditional_update = False

    def prepare_create(self, obj: Object) -> None:
        for field in ELECTION_FIELDS:
            obj.get("spec", {}).pop(field, None)

    def prepare_update(self, new: Object, old: Object) -> None:
        self.prepare_create(new)

    def validate(self, obj: Object) -> checks.Errors:
        spec = obj.get("spec", {})
        duration = spec.get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            yield FieldError.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
        yield from checks.not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


LEASES = Kind(
    *upstream("coordination.k8s.io", "Lease"),
    strategy=LeaseStrategy(),
    columns=(NAME, Column("Holder", lambda obj: obj.get("spec", {}).get("holderIdentity", "")), AGE),
)
