"""Empties a namespace that is being deleted and lets it go (upstream: pkg/controller/namespace).

One round: ask each kind that can be deleted what it has here, delete it, look what is left (pods end with
grace, finalizers hold), say so in the status, and finalize when nothing is. What is left leaves with an event
of the pods' watch, or is looked at again soon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from controllers.shared.context import Context
from controllers.shared.descriptor import ControllerDescriptor, Watch
from controllers.shared.discovery import resources_with
from controllers.shared.indexes import BY_NAMESPACE
from controllers.shared.parallel import in_parallel
from machinery.controller import Controller
from machinery.errors import ApiError, MethodNotAllowed, NotFound
from machinery.objects import Object, now
from machinery.policyrules import can
from machinery.resources import NAMESPACES, PODS, Resource

FINALIZER = "kubernetes"
PARALLEL = 6
# Seconds until another look at content that does not go; doubling between these.
AGAIN = (0.1, 5.0)

# Condition type: reason and message when all is well, in upstream's order.
FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


@dataclass
class Remains:
    """What one round found left, and what went wrong in it."""

    counts: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    discovery: str = ""

    def __bool__(self) -> bool:
        return bool(self.counts or self.failures or self.discovery)

    def add(self, resource: Resource, items: Iterable[Object]) -> None:
        """Objects of this kind are still there."""
        for item in items:
            self.counts[f"{resource.plural}.{resource.group}"] += 1
            self.finalizers.update(item["metadata"].get("finalizers", ()))


def conditions(old: Iterable[Object], remains: Remains, at: str) -> list[Object]:
    """The namespace's conditions after a round."""
    troubles: dict[str, tuple[str, str]] = {}
    if remains.discovery:
        troubles["NamespaceDeletionDiscoveryFailure"] = ("DiscoveryFailed", remains.discovery)
    if remains.failures:
        message = f"Failed to delete all resource types, {len(remains.failures)} remaining: "
        troubles["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            message + ", ".join(sorted(remains.failures)),
        )
    if remains.counts:
        left = sorted(f"{name} has {count} resource instances" for name, count in remains.counts.items())
        troubles["NamespaceContentRemaining"] = (
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(left)}",
        )
    if remains.finalizers:
        left = sorted(f"{name} in {count} resource instances" for name, count in remains.finalizers.items())
        troubles["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {', '.join(left)}",
        )
    before = {each["type"]: each for each in old}
    after: dict[str, Object] = dict(before)
    for type_, fine in FINE.items():
        reason, message = troubles.get(type_, fine)
        status = "True" if type_ in troubles else "False"
        since = before[type_] if type_ in before and before[type_]["status"] == status else {"lastTransitionTime": at}
        after[type_] = {
            "type": type_,
            "status": status,
            "lastTransitionTime": since["lastTransitionTime"],
            "reason": reason,
            "message": message,
        }
    return list(after.values())


class NamespaceController:
    """Runs the reconciler over namespaces."""

    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.namespaces = context.informer(NAMESPACES)
        self.pods = context.informer(PODS)
        self.rounds: Counter[str] = Counter()
        self.controller = Controller("namespace", self.reconcile, workers=2)
        self.controller.watch(self.namespaces)
        self.controller.requires(self.pods)
        self.pods.add_handler(self.pod_changed)
        self.start = self.controller.start

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """The last pod of a namespace that is being deleted has gone."""
        if new is None and old is not None:
            namespace = old["metadata"]["namespace"]
            if is_terminating(self.namespaces.get(namespace)) and not self.pods.by_index("namespace", namespace):
                self.controller.enqueue(namespace)

    def reconcile(self, name: str) -> float | None:
        """One round for one namespace."""
        namespace = self.namespaces.get(name)
        if namespace is None or not is_terminating(namespace):
            self.rounds.pop(name, None)
            return None
        if FINALIZER not in namespace["spec"].get("finalizers", ()):
            return None
        remains = self.delete_content(name)
        try:
            namespace = self.write_conditions(namespace, remains)
            if not remains:
                self.finalize(namespace)
        except NotFound:
            return None
        if not remains:
            return None
        self.rounds[name] += 1
        return min(AGAIN[0] * 2.0 ** min(self.rounds[name] - 1, 20), AGAIN[1])

    def delete_content(self, name: str) -> Remains:
        """Deletes all in the namespace, kind by kind in parallel, and reports what is left."""
        remains = Remains()
        try:
            resources = [each for each in resources_with(self.client, ["list", "delete"]) if each.namespaced]
        except ApiError as error:
            remains.discovery = str(error)
            return remains

        def emptying(resource: Resource) -> Callable[[], tuple[list[Object], str]]:
            def attempt() -> tuple[list[Object], str]:
                try:
                    return self.delete_kind(resource, name), ""
                except (NotFound, MethodNotAllowed):
                    return [], ""
                except ApiError as error:
                    return [], str(error)

            return attempt

        outcomes = in_parallel([emptying(resource) for resource in resources], PARALLEL)
        for resource, (items, failure) in zip(resources, outcomes, strict=True):
            remains.add(resource, items)
            if failure:
                remains.failures.append(failure)
        return remains

    def delete_kind(self, resource: Resource, namespace: str) -> list[Object]:
        """Deletes the objects of one kind, pods with their own grace, and gives those that are still there."""
        items = self.items(resource, namespace)
        if any(not item["metadata"].get("deletionTimestamp") for item in items):
            self.client.delete_collection(resource, namespace, propagation="Background")
            items = self.items(resource, namespace)
        return items

    def items(self, resource: Resource, namespace: str) -> list[Object]:
        """What of this kind is in the namespace now."""
        items: list[Object] = self.client.list(resource, namespace)["items"]
        return items

    def write_conditions(self, namespace: Object, remains: Remains) -> Object:
        """Writes the conditions if they changed, and gives the namespace as it is then."""
        status = namespace.get("status", {})
        new = conditions(status.get("conditions", ()), remains, now())
        if new == status.get("conditions", []):
            return namespace
        changed = {**namespace, "status": {**status, "conditions": new}}
        return self.client.update(NAMESPACES, changed, subresource="status")

    def finalize(self, namespace: Object) -> None:
        """Takes our finalizer off; without any the API server removes the namespace."""
        others = [each for each in namespace["spec"].get("finalizers", ()) if each != FINALIZER]
        self.client.update(
            NAMESPACES, {**namespace, "spec": {**namespace["spec"], "finalizers": others}}, subresource="finalize"
        )


def is_terminating(namespace: Object | None) -> bool:
    """It was deleted, and waits for its content to go."""
    return namespace is not None and bool(namespace["metadata"].get("deletionTimestamp"))


NAMESPACE_CONTROLLER = ControllerDescriptor(
    "namespace-controller",
    NamespaceController,
    account="namespace-controller",
    rules=(
        can("delete get list watch", "namespaces"),
        can("update", "namespaces/finalize namespaces/status"),
        can("delete deletecollection get list watch", "*", "*"),
    ),
    watches=(
        Watch(NAMESPACES),
        Watch(PODS, BY_NAMESPACE),
    ),
    aliases=("namespace",),
)
