"""Nodes: the machines, as their kubelets describe them (upstream: pkg/registry/core/node)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from apiserver.kinds.cells import AGE, NAME, NONE, UNKNOWN
from apiserver.kinds.pods.spec import validate_taints
from apiserver.kinds.resources import validate_quantity
from apiserver.kinds.strategies import StatusStrategy, restore
from apiserver.kinds.subresources import STATUS
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import upstream
from machinery import quantity
from machinery.errors import FieldError
from machinery.objects import Object, get_condition

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE = "kubernetes.io/role"
AMOUNTS = ("capacity", "allocatable")


class NodeStrategy(StatusStrategy):
    def default(self, obj: Object) -> None:
        """Set allocatable to the capacity unless the kubelet says less, and write amounts in canonical form."""
        status = obj.get("status")
        if not status:
            return
        for field in AMOUNTS:
            for name, amount in status.get(field, {}).items():
                status[field][name] = quantity.canonical(amount)
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])

    def prepare_create(self, obj: Object) -> None:
        """Keep the status: a kubelet registers its node with it, as upstream."""
        obj.setdefault("spec", {})
        obj.setdefault("status", {})

    def validate(self, obj: Object) -> checks.Errors:
        spec = obj.get("spec", {})
        yield from validate_taints("metadata.taints", spec.get("taints", []))
        yield from _validate_status(obj.get("status", {}))
        ranges = spec.get("podCIDRs", [])
        again = set(checks.repeated(ranges))
        for index, text in enumerate(ranges):
            path = f"spec.podCIDRs[{index}]"
            yield from checks.cidr(path, text)
            if index in again:
                yield FieldError.duplicate(path, text)

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return chain(self.validate(new), _validate_change(new.get("spec", {}), old.get("spec", {})))

    def prepare_status_update(self, new: Object, old: Object) -> None:
        restore(new, "spec", old)

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        return _validate_status(new.get("status", {}))

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"spec.unschedulable": str(bool(obj.get("spec", {}).get("unschedulable"))).lower()}


def _validate_status(status: Object) -> checks.Errors:
    for field in AMOUNTS:
        for name, amount in status.get(field, {}).items():
            yield from validate_quantity(f"status.{field}.{name}", name, amount)
    yield from checks.unique("status.addresses", status.get("addresses", []))


def _validate_change(new: Object, old: Object) -> checks.Errors:
    """Check that pod CIDRs and the provider's ID, once set, have not changed."""
    for field, shown in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
        if old.get(field) and new.get(field) != old[field]:
            why = f'node updates may not change {shown} except from "" to valid'
            yield FieldError.forbidden(f"spec.{field}", why)


def _status(node: Object) -> str:
    ready = get_condition(node, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if node.get("spec", {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Object) -> str:
    labels = node["metadata"].get("labels", {})
    roles = {name.removeprefix(ROLE_PREFIX) for name in labels if name.startswith(ROLE_PREFIX)}
    roles.add(labels.get(ROLE, ""))
    return ",".join(sorted(roles - {""})) or NONE


def _address(node: Object, type: str) -> str:
    addresses = node.get("status", {}).get("addresses", ())
    return next((str(a.get("address")) for a in addresses if a.get("type") == type), NONE)


def _info(node: Object, field: str) -> str:
    return str(node.get("status", {}).get("nodeInfo", {}).get(field) or UNKNOWN)


NODES = Kind(
    *upstream("", "Node"),
    namespaced=False,
    short_names=("no",),
    subresources=(STATUS,),
    strategy=NodeStrategy(),
    columns=(
        NAME,
        Column("Status", _status, description="The status of the node"),
        Column("Roles", _roles, description="The roles of the node"),
        AGE,
        Column("Version", lambda obj: _info(obj, "kubeletVersion")),
        Column("Internal-IP", lambda obj: _address(obj, "InternalIP"), priority=1),
        Column("External-IP", lambda obj: _address(obj, "ExternalIP"), priority=1),
        Column("OS-Image", lambda obj: _info(obj, "osImage"), priority=1),
        Column("Kernel-Version", lambda obj: _info(obj, "kernelVersion"), priority=1),
        Column("Container-Runtime", lambda obj: _info(obj, "containerRuntimeVersion"), priority=1),
    ),
)
