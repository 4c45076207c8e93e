"""Warnings about what is allowed in a pod or pod template, but most likely a mistake.

Upstream: pkg/api/pod/warnings.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from machinery import quantity
from machinery.errors import quote
from machinery.objects import Object
from machinery.validation import is_dns1123_label

BYTES = ("memory", "ephemeral-storage")
NEGATIVE_GRACE = "must be >= 0; negative values are invalid and will be treated as 1"
DNS_LABEL = "which can result in surprising behavior; a DNS label is recommended"


def pod_warnings(path: str, spec: Object) -> Iterator[str]:
    """Yield warnings about a pod's spec."""
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{path}.terminationGracePeriodSeconds: {NEGATIVE_GRACE}"
    yield from _pull_secrets(f"{path}.imagePullSecrets", spec.get("imagePullSecrets", ()))
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field, ())):
            at = f"{path}.{field}[{index}]"
            yield from _fractions(f"{at}.resources", container.get("resources", {}))
            yield from _hidden_variables(f"{at}.env", container.get("env", ()))
    yield from _same_ports(f"{path}.containers", spec.get("containers", ()))


def name_warnings(name: str, used: str) -> Iterator[str]:
    """Yield warnings about a name that is no DNS label, although it becomes a host name or a part of one."""
    problems = is_dns1123_label(name)
    if problems:
        yield f"metadata.name: this is used in {used}, {DNS_LABEL}: [{' '.join(problems)}]"


def _pull_secrets(path: str, secrets: Iterable[Object]) -> Iterator[str]:
    seen: set[str] = set()
    for index, secret in enumerate(secrets):
        name = secret.get("name") or ""
        if not name:
            yield f'{path}[{index}].name: invalid empty name ""'
        elif name in seen:
            yield f"{path}[{index}].name: duplicate name {quote(name)}"
        seen.add(name)


def _fractions(path: str, resources: Object) -> Iterator[str]:
    """Yield a warning about each amount of bytes that is a fraction: ``100m`` of memory is a tenth of a byte."""
    for field in ("limits", "requests"):
        for name, amount in resources.get(field, {}).items():
            if name in BYTES and (value := quantity.parse(amount)) != value.to_integral_value():
                at = f"{path}.{field}[{name}]"
                yield f"{at}: fractional byte value {quote(str(amount))} is invalid, must be an integer"


def _hidden_variables(path: str, variables: Iterable[Object]) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name = variable["name"]
        if name in seen:
            yield f"{path}[{index}]: hides previous definition of {quote(name)}, which may be dropped when using apply"
        seen.add(name)


def _same_ports(path: str, containers: Iterable[Object]) -> Iterator[str]:
    seen: dict[tuple[int, str], str] = {}
    for index, container in enumerate(containers):
        for position, port in enumerate(container.get("ports", ())):
            at, key = f"{path}[{index}].ports[{position}]", (port["containerPort"], port.get("protocol", "TCP"))
            if key in seen:
                yield f"{at}: duplicate port definition with {seen[key]}"
            seen.setdefault(key, at)
