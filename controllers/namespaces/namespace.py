"""Empty a namespace that is being deleted, then let it go (upstream: pkg/controller/namespace).

One call of ``reconcile`` lists and deletes the objects of each kind that can be deleted, looks what is left (pods have
a grace period, finalizers keep other objects), and writes that into the namespace's conditions. If nothing is left, it
removes the finalizer. Otherwise it runs again after a pause, or when the last pod has gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.discovery import resources_with
from controllers.shared.indexes import BY_NAMESPACE
from controllers.shared.parallel import in_parallel
from machinery.controller import Controller
from machinery.errors import ApiError, MethodNotAllowed, NotFound
from machinery.objects import Object, now, set_condition
from machinery.policyrules import can
from machinery.resources import NAMESPACES, PODS, Resource

FINALIZER = "kubernetes"
PARALLEL = 6
# Seconds until the next look at content that is still there; they double from the first to the second.
BACKOFF = (0.1, 5.0)

# Condition type → reason and message if there is no problem, in upstream's order.
NO_PROBLEM = {
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
    """What one call of reconcile found left in a namespace, and its failures."""

    counts: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    discovery: str = ""

    def __bool__(self) -> bool:
        return bool(self.counts or self.failures or self.discovery)

    def add(self, resource: Resource, items: Iterable[Object]) -> None:
        """Count objects of this kind as left."""
        for item in items:
            self.counts[f"{resource.plural}.{resource.group}"] += 1
            self.finalizers.update(item["metadata"].get("finalizers", ()))


def conditions(old: Iterable[Object], remains: Remains, at: str) -> list[Object]:
    """Return the namespace's conditions after a call that found these remains."""
    problems: dict[str, tuple[str, str]] = {}
    if remains.discovery:
        problems["NamespaceDeletionDiscoveryFailure"] = ("DiscoveryFailed", remains.discovery)
    if remains.failures:
        message = f"Failed to delete all resource types, {len(remains.failures)} remaining: "
        problems["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            message + ", ".join(sorted(remains.failures)),
        )
    if remains.counts:
        left = sorted(f"{name} has {count} resource instances" for name, count in remains.counts.items())
        problems["NamespaceContentRemaining"] = (
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(left)}",
        )
    if remains.finalizers:
        left = sorted(f"{name} in {count} resource instances" for name, count in remains.finalizers.items())
        problems["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {', '.join(left)}",
        )
    after: list[Object] = list(old)
    for type_, no_problem in NO_PROBLEM.items():
        status = "True" if type_ in problems else "False"
        set_condition({"status": {"conditions": after}}, type_, status, *problems.get(type_, no_problem), time=at)
    return after


class NamespaceController:
    """Reconciles namespaces that are being deleted."""

    def __init__(self, context: ControllerContext) -> None:
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
        """Enqueue a namespace that is being deleted when its last pod has gone."""
        if new is None and old is not None:
            namespace = old["metadata"]["namespace"]
            if is_terminating(self.namespaces.get(namespace)) and not self.pods.by_index("namespace", namespace):
                self.controller.enqueue(namespace)

    def reconcile(self, name: str) -> float | None:
        """Delete what is in one namespace; finalize the namespace if nothing is left."""
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
        return min(BACKOFF[0] * 2.0 ** min(self.rounds[name] - 1, 20), BACKOFF[1])

    def delete_content(self, name: str) -> Remains:
        """Delete the objects of all kinds in the namespace, several kinds at a time; return what is left."""
        remains = Remains()
        try:
            resources = [each for each in resources_with(self.client, ["list", "delete"]) if each.namespaced]
        except ApiError as error:
            remains.discovery = str(error)
            return remains
        outcomes = in_parallel([partial(self.try_kind, resource, name) for resource in resources], PARALLEL)
        for resource, (items, failure) in zip(resources, outcomes, strict=True):
            remains.add(resource, items)
            if failure:
                remains.failures.append(failure)
        return remains

    def try_kind(self, resource: Resource, namespace: str) -> tuple[list[Object], str]:
        """Delete the objects of one kind; return those that are still there, and the error if it failed."""
        try:
            return self.delete_kind(resource, namespace), ""
        except (NotFound, MethodNotAllowed):
            return [], ""
        except ApiError as error:
            return [], str(error)

    def delete_kind(self, resource: Resource, namespace: str) -> list[Object]:
        """Delete the objects of one kind, and return those that are still there.

        Pods are given their own grace period.
        """
        items = self.items(resource, namespace)
        if any(not item["metadata"].get("deletionTimestamp") for item in items):
            self.client.delete_collection(resource, namespace, propagation="Background")
            items = self.items(resource, namespace)
        return items

    def items(self, resource: Resource, namespace: str) -> list[Object]:
        """Return the objects of this kind that are in the namespace now."""
        items: list[Object] = self.client.list(resource, namespace)["items"]
        return items

    def write_conditions(self, namespace: Object, remains: Remains) -> Object:
        """Write the conditions if they changed; return the namespace as it is then."""
        status = namespace.get("status", {})
        new = conditions(status.get("conditions", ()), remains, now())
        if new == status.get("conditions", []):
            return namespace
        changed = {**namespace, "status": {**status, "conditions": new}}
        return self.client.update(NAMESPACES, changed, subresource="status")

    def finalize(self, namespace: Object) -> None:
        """Remove our finalizer. The API server deletes a namespace that has none left."""
        others = [each for each in namespace["spec"].get("finalizers", ()) if each != FINALIZER]
        self.client.update(
            NAMESPACES, {**namespace, "spec": {**namespace["spec"], "finalizers": others}}, subresource="finalize"
        )


def is_terminating(namespace: Object | None) -> bool:
    """Return True if the namespace is being deleted."""
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
    watches=(WatchedKind(NAMESPACES), WatchedKind(PODS, BY_NAMESPACE)),
    aliases=("namespace",),
)
