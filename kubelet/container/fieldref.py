"""The downward API: what ``fieldRef`` and ``resourceFieldRef`` stand for, for variables and volumes alike. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from kubelet.model import podspec
from machinery import quantity
from machinery.objects import Object

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


class FieldPathError(Exception):
    """A field does not exist; the message stands in the container's status."""


@dataclass(frozen=True, slots=True)
class DownwardApi:
    """What a pod may learn about itself. ``addresses`` are its IPs, ``allocatable`` are its node's resources."""

    pod: Object
    addresses: tuple[str, ...]
    host_ip: str
    allocatable: Mapping[str, str]

    def value(self, source: Mapping[str, Any], container: str = "") -> str:
        """Return what a source with a fieldRef or a resourceFieldRef stands for. Raises FieldPathError.

        ``container`` is whose resources a resourceFieldRef means that does not name a container.
        """
        if field := source.get("fieldRef"):
            return _field_value(self, field["fieldPath"])
        return _resource_value(self.pod, source["resourceFieldRef"], container, self.allocatable)


def _field_value(known: DownwardApi, path: str) -> str:
    pod, meta = known.pod, known.pod["metadata"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((meta.get(match[1]) or {}).get(match[2], ""))
    simple = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "spec.hostNetwork": "true" if podspec.is_host_network(pod) else "false",
        "status.hostIP": known.host_ip,
        "status.hostIPs": known.host_ip,
        "status.podIP": next(iter(known.addresses), ""),
        "status.podIPs": ",".join(known.addresses),
    }
    if path in simple:
        return str(simple[path])
    if path in ("metadata.labels", "metadata.annotations"):
        return _lines(meta.get(path.partition(".")[2]) or {})
    raise FieldPathError(f"unsupported fieldPath: {path}")


def _lines(table: Mapping[str, str]) -> str:
    """Return one ``key="value"`` a line, as upstream writes a whole map into a file."""
    return "\n".join(f"{key}={json.dumps(table[key], ensure_ascii=False)}" for key in sorted(table))


def _resource_value(pod: Object, reference: Mapping[str, Any], container: str, allocatable: Mapping[str, str]) -> str:
    """Return a limit or request in units of the divisor, rounded up; for a limit that is not set, the node's amount."""
    name = reference.get("containerName") or container
    spec = podspec.container(pod, name)
    if spec is None:
        raise FieldPathError(f"container {name} not found")
    kind, _, resource = str(reference["resource"]).partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise FieldPathError(f"unsupported container resource: {reference['resource']}")
    amount = (spec.get("resources", {}).get(kind) or {}).get(resource)
    if amount is None and kind == "limits":
        amount = allocatable.get(resource)
    divisor = quantity.parse(reference.get("divisor") or "1") or Decimal(1)
    return str(int((quantity.parse(amount or "0") / divisor).to_integral_value(ROUND_CEILING)))
