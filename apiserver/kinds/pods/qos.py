"""A pod's quality of service, from its containers' requests and limits (upstream: ComputePodQOS)."""

from __future__ import annotations

from machinery import quantity
from machinery.objects import Object

COMPUTE = ("cpu", "memory")


def qos_class(spec: Object) -> str:
    """Guaranteed when every container limits cpu and memory to what it requests, BestEffort when none asks for any."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    limits = [_positive(container, "limits") for container in containers]
    requests = [_positive(container, "requests") for container in containers]
    if not any(limits) and not any(requests):
        return "BestEffort"
    limited = all(set(COMPUTE) <= set(amounts) for amounts in limits)
    equal = all(
        quantity.parse(request) == quantity.parse(limit.get(name, "0"))
        for asked, limit in zip(requests, limits, strict=True)
        for name, request in asked.items()
    )
    return "Guaranteed" if limited and equal else "Burstable"


def _positive(container: Object, field: str) -> dict[str, str]:
    amounts = (container.get("resources") or {}).get(field) or {}
    return {name: amounts[name] for name in COMPUTE if name in amounts and quantity.parse(amounts[name]) > 0}
