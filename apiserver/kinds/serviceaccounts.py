"""ServiceAccounts: the identities that pods run under (upstream: pkg/registry/core/serviceaccount)."""

from __future__ import annotations

from apiserver.kinds.cells import AGE, NAME
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream


class ServiceAccountStrategy(Strategy):
    unconditional_update = False
    return_deleted = True


SERVICE_ACCOUNTS = Kind(
    *upstream("", "ServiceAccount"),
    short_names=("sa",),
    strategy=ServiceAccountStrategy(),
    columns=(NAME, Column("Secrets", lambda obj: len(obj.get("secrets", ()))), AGE),
)
