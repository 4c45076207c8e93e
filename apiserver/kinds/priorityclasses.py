"""PriorityClasses: names for how important pods are (upstream: pkg/registry/scheduling/priorityclass)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.cells import AGE, NAME
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object

PREEMPT_LOWER_PRIORITY = "PreemptLowerPriority"
PREEMPTION_POLICIES = (PREEMPT_LOWER_PRIORITY, "Never")
SYSTEM_PREFIX = "system-"
HIGHEST_OF_USERS = 1_000_000_000
# Name → value and description of the classes that every cluster has.
SYSTEM_CLASSES = {
    "system-node-critical": (
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
}


class PriorityClassStrategy(Strategy):
    def default(self, obj: Object) -> None:
        obj.setdefault("preemptionPolicy", PREEMPT_LOWER_PRIORITY)

    def prepare_create(self, obj: Object) -> None:
        obj["metadata"]["generation"] = 1

    def validate(self, obj: Object) -> checks.Errors:
        name = obj["metadata"].get("name", "")
        if name.startswith(SYSTEM_PREFIX):
            if why := _no_system_class(name, obj["value"], bool(obj.get("globalDefault"))):
                reserved = (
                    f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
                )
                yield FieldError.forbidden("metadata.name", reserved)
        elif obj["value"] > HIGHEST_OF_USERS:
            why = f"maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}"
            yield FieldError.forbidden("value", why)
        yield from checks.one_of("preemptionPolicy", obj["preemptionPolicy"], PREEMPTION_POLICIES)

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        if new["value"] != old["value"]:
            yield FieldError.forbidden("value", "may not be changed in an update.")
        yield from checks.immutable("preemptionPolicy", new["preemptionPolicy"], old.get("preemptionPolicy"))


def _no_system_class(name: str, value: int, default: bool) -> str:
    """Return why these are not the values of a system class, or "" if they are."""
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value != SYSTEM_CLASSES[name][0]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name][0]}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


PRIORITY_CLASSES = Kind(
    *upstream("scheduling.k8s.io", "PriorityClass"),
    namespaced=False,
    short_names=("pc",),
    strategy=PriorityClassStrategy(),
    columns=(
        NAME,
        Column("Value", lambda obj: obj["value"], "integer"),
        Column("Global-Default", lambda obj: bool(obj.get("globalDefault")), "boolean"),
        AGE,
        Column("PreemptionPolicy", lambda obj: obj.get("preemptionPolicy", "")),
    ),
)


def system_classes() -> Iterator[tuple[Kind, Object]]:
    """Yield the objects that every cluster begins with."""
    identity = {"kind": PRIORITY_CLASSES.kind, "apiVersion": PRIORITY_CLASSES.api_version}
    for name, (value, description) in SYSTEM_CLASSES.items():
        yield PRIORITY_CLASSES, {**identity, "metadata": {"name": name}, "value": value, "description": description}
