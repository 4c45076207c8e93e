"""PodDisruptionBudgets: how many pods of an application may be evicted at a time (upstream: pkg/registry/policy).

The disruption controller computes the status (``controllers/workloads/disruption.py``), evictions charge it
(``subresources/eviction.py``).
"""

from __future__ import annotations

import re

from apiserver.kinds.cells import AGE, NAME
from apiserver.kinds.strategies import StatusStrategy
from apiserver.kinds.subresources import STATUS
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object

COUNTS = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
POLICIES = ("AlwaysAllow", "IfHealthyBudget")
NOT_AVAILABLE = "N/A"
_PERCENT = re.compile(r"[0-9]+%")
_BAD_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
# In v1beta1 an empty selector matched no pod, in v1 it matches all; upstream translates it into this requirement.
_MATCHES_NOTHING = {"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "Exists"}


class PodDisruptionBudgetStrategy(StatusStrategy):
    initial_status = dict.fromkeys(COUNTS, 0)
    counts_generation = True
    unconditional_update = False

    def validate(self, obj: Object) -> checks.Errors:
        spec = obj.get("spec", {})
        if "minAvailable" in spec and "maxUnavailable" in spec:
            yield FieldError.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
        for field in ("minAvailable", "maxUnavailable"):
            if field in spec:
                yield from _int_or_percent(f"spec.{field}", spec[field])
        yield from checks.label_selector("spec.selector", spec.get("selector"))
        if "unhealthyPodEvictionPolicy" in spec:
            yield from checks.one_of("spec.unhealthyPodEvictionPolicy", spec["unhealthyPodEvictionPolicy"], POLICIES)

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        status = new.get("status", {})
        return [error for count in COUNTS for error in checks.not_negative(f"status.{count}", status.get(count))]


def _int_or_percent(path: str, value: int | str) -> checks.Errors:
    if isinstance(value, int):
        yield from checks.not_negative(path, value)
    elif not _PERCENT.fullmatch(value):
        yield FieldError.invalid(path, value, _BAD_PERCENT)
    elif int(value[:-1]) > 100:
        yield FieldError.invalid(path, value, "must not be greater than 100%")


def convert(budget: Object, version: str, inward: bool) -> None:
    """Translate between v1 and v1beta1 in place; ``inward`` is towards v1."""
    spec = budget.get("spec") or {}
    if version != "v1beta1":
        return
    if inward and spec.get("selector") == {}:
        spec["selector"] = {"matchExpressions": [_MATCHES_NOTHING]}
    elif not inward and spec.get("selector") == {"matchExpressions": [_MATCHES_NOTHING]}:
        spec["selector"] = {}


def _count(budget: Object, field: str) -> str:
    return str(budget.get("spec", {}).get(field, NOT_AVAILABLE))


POD_DISRUPTION_BUDGETS = Kind(
    *upstream("policy", "PodDisruptionBudget"),
    also_served=("v1beta1",),  # upstream's v1.20 suite writes it
    convert=convert,
    short_names=("pdb",),
    subresources=(STATUS,),
    strategy=PodDisruptionBudgetStrategy(),
    columns=(
        NAME,
        Column("Min Available", lambda pdb: _count(pdb, "minAvailable")),
        Column("Max Unavailable", lambda pdb: _count(pdb, "maxUnavailable")),
        Column("Allowed Disruptions", lambda pdb: pdb.get("status", {}).get("disruptionsAllowed", 0), "integer"),
        AGE,
    ),
)
