"""RuntimeClasses: which of its container runtimes a node takes for a pod (upstream: pkg/registry/node/runtimeclass)."""

from __future__ import annotations

from itertools import chain

from apiserver.kinds.cells import AGE, NAME
from apiserver.kinds.pods.spec import validate_tolerations
from apiserver.kinds.pods.warnings import DEPRECATED_NODE_LABELS
from apiserver.kinds.resources import validate_resources
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery import quantity
from machinery.errors import FieldError
from machinery.objects import Object


class RuntimeClassStrategy(Strategy):
    create_on_update = True
    unconditional_update = False

    def default(self, obj: Object) -> None:
        """Write the overhead in canonical form, because the overhead of pods is compared with it."""
        amounts = obj.get("overhead", {}).get("podFixed", {})
        for name, amount in amounts.items():
            amounts[name] = quantity.canonical(amount)

    def validate(self, obj: Object) -> checks.Errors:
        yield from checks.label("handler", obj["handler"])
        yield from validate_resources("overhead", {"limits": obj.get("overhead", {}).get("podFixed", {})})
        scheduling = obj.get("scheduling", {})
        yield from checks.labels("scheduling.nodeSelector", scheduling.get("nodeSelector", {}))
        yield from _validate_tolerations("scheduling.tolerations", scheduling.get("tolerations", []))

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        selector = obj.get("scheduling", {}).get("nodeSelector", {})
        found = (DEPRECATED_NODE_LABELS.get(name) for name in sorted(selector))
        return [f"scheduling.nodeSelector: {message}" for message in found if message]

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return chain(self.validate(new), checks.immutable("handler", new["handler"], old["handler"]))


def _validate_tolerations(path: str, tolerations: list[Object]) -> checks.Errors:
    yield from validate_tolerations(f"{path}.tolerations", tolerations)  # upstream's path, which repeats a word
    seen: set[tuple[str, ...]] = set()
    for index, toleration in enumerate(tolerations):
        identity = tuple(toleration.get(field) or "" for field in ("key", "operator", "value", "effect"))
        if identity in seen:
            yield FieldError.duplicate(f"{path}[{index}]", toleration)
        seen.add(identity)


RUNTIME_CLASSES = Kind(
    *upstream("node.k8s.io", "RuntimeClass"),
    namespaced=False,
    strategy=RuntimeClassStrategy(),
    columns=(NAME, Column("Handler", lambda obj: obj["handler"]), AGE),
)
