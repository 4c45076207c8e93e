"""Delete objects that have lost their owners, and keep owners until their dependents are gone.

Upstream: garbagecollector.go. The graph (``ownergraph.py``) only says which objects to look at. What is done with one
is decided on live objects, by the state of each of its owners:

- *solid*: the owner exists. Then the object stays; only its references to other owners are removed.
- *dangling*: the owner does not exist.
- *waiting*: the owner is being deleted in the foreground, and waits for this object.

Every deletion names the resourceVersion that the decision was made on, so that it fails if the object has changed.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from controllers.garbagecollector.ownergraph import (
    FOREGROUND,
    ORPHAN,
    GraphNode,
    ObjectIdentity,
    OwnerEdge,
    OwnerGraph,
    Work,
    identity_of,
    owners_of,
)
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor
from controllers.shared.ownership import release_patch
from machinery.client import Client
from machinery.controller import Controller
from machinery.errors import ApiError, NotFound, UnsupportedMediaType
from machinery.objects import Object, object_reference, owner_references_of
from machinery.policyrules import WRITE_EVENTS, can
from machinery.resources import Resource

log = logging.getLogger(__name__)

ReferencesOf = Callable[[Object], list[Object]]

# How many absent owners are remembered, so that not every dependent's owner is asked for again (upstream: 500).
REMEMBERED_ABSENT = 500
# A virtual owner that exists on the API server is looked at again after so many seconds, until the watch shows it.
SEEN_SOON = 0.5


@dataclass
class References:
    """An object's owner references by the state of the owner; see the module's docstring."""

    solid: list[OwnerEdge] = field(default_factory=list)
    dangling: list[OwnerEdge] = field(default_factory=list)
    waiting: list[OwnerEdge] = field(default_factory=list)


def propagation(obj: Object) -> str:
    """Return the propagation policy by which to delete an object without owners: as its finalizers ask for."""
    finalizers = obj["metadata"].get("finalizers", ())
    if ORPHAN in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers else "Background"


class UnknownKind(ApiError):
    """A reference names a kind that the API server does not have, or not yet."""


class GarbageCollector:
    """Watches all kinds, and looks at the objects that the graph names."""

    def __init__(self, context: ControllerContext) -> None:
        self.client: Client = context.client
        self.recorder = context.recorder("garbage-collector-controller")
        self.graph = OwnerGraph()
        self.lock = threading.Lock()
        self.absent: OrderedDict[ObjectIdentity, None] = OrderedDict()
        self.controller = Controller("garbagecollector", self.reconcile, workers=context.options.concurrent_gc_syncs)
        self.monitors = context.monitors
        self.monitors.add_handler(self.changed)
        # Until every kind has been listed, owners would seem to be missing.
        self.controller.requires(self.monitors)

    def start(self, stop: threading.Event) -> None:
        """Begin to watch and work; return at once."""
        self.monitors.start(stop)
        self.controller.start(stop)

    def changed(self, old: Object | None, new: Object | None) -> None:
        """Put a change of any object into the graph, and enqueue what follows from it."""
        with self.lock:
            work = self.graph.change(old, new)
            if new is None and old is not None and work.delete:
                self._remember_absent(identity_of(old))
        self._do(work)

    def _do(self, work: Work) -> None:
        for uid in work.orphan:
            self.controller.enqueue(f"orphan/{uid}")
        for uid in work.delete:
            self.controller.enqueue(f"delete/{uid}")
        for node, reference in work.misplaced:
            self._report_misplaced(node, reference)

    def _report_misplaced(self, node: GraphNode, reference: OwnerEdge) -> None:
        identity = node.identity
        message = f'ownerRef {reference.within(identity.namespace)} does not exist in namespace "{identity.namespace}"'
        subject = {
            "apiVersion": identity.api_version,
            "kind": identity.kind,
            "metadata": {"name": identity.name, "namespace": identity.namespace, "uid": identity.uid},
        }
        self.recorder.event(object_reference(subject), "Warning", "OwnerRefInvalidNamespace", message)

    def reconcile(self, item: str) -> float | None:
        """Look at one object: ``delete/UID`` or ``orphan/UID``.

        Raises UnknownKind for an owner of a kind that the API server does not have; the queue tries again.
        """
        action, _, uid = item.partition("/")
        with self.lock:
            node = self.graph.nodes.get(uid)
        if node is None:
            return None
        if action == "delete":
            return self.consider(node)
        self.orphan_dependents(node)
        return None

    # Deleting

    def consider(self, node: GraphNode) -> float | None:
        """Delete the object if it has no owner left; let it go if it waited only for its dependents."""
        if node.being_deleted and not node.deleting_dependents:
            return None
        live = self._live(node.identity)
        if live is None:
            self._gone(node.identity)
            return None
        if node.deleting_dependents:
            self._finish_foreground(node)
        else:
            references = self.classify(node.identity, owners_of(live))
            self._act(node, live, references)
        return SEEN_SOON if node.virtual else None

    def _act(self, node: GraphNode, live: Object, references: References) -> None:
        lost = references.dangling + references.waiting
        if not lost:
            return
        if references.solid:
            self._drop_references(node.identity, [owner.uid for owner in lost])
            return
        with self.lock:
            dependents = self.graph.dependents(node)
        if references.waiting and dependents:
            if any(each.deleting_dependents for each in dependents):
                # Two objects may own each other, and would wait for ever. So this one stops blocking its owner.
                self._unblock(node.identity, live)
            self._delete(live, node.identity, "Foreground")
        else:
            self._delete(live, node.identity, propagation(live))

    def _finish_foreground(self, node: GraphNode) -> None:
        with self.lock:
            blocking = self.graph.blocking(node)
        if not blocking:
            self._remove_finalizer(node.identity, FOREGROUND)
        for each in blocking:
            if not each.deleting_dependents:
                self.controller.enqueue(f"delete/{each.identity.uid}")

    def classify(self, dependent: ObjectIdentity, owners: Iterable[OwnerEdge]) -> References:
        """Ask the API server for each owner, and sort the references by its state."""
        references = References()
        for owner in owners:
            resource = self.monitors.resource(owner.api_version, owner.kind)
            if resource is None and any(self._is_absent(owner.within(each)) for each in (dependent.namespace, "")):
                # The owner is gone, together with its kind.
                references.dangling.append(owner)
                continue
            if resource is None:
                raise UnknownKind(f"{dependent} refers to an owner of an unknown kind {owner.api_version}/{owner.kind}")
            if resource.namespaced and not dependent.namespace:
                # The reference is invalid, and a retry would not change that. So that nothing is deleted by mistake, it
                # counts as solid.
                references.solid.append(owner)
                continue
            identity = owner.within(dependent.namespace if resource.namespaced else "")
            live = None if self._is_absent(identity) else self._live(identity)
            if live is None:
                with self.lock:
                    self._remember_absent(identity)
                references.dangling.append(owner)
            elif live["metadata"].get("deletionTimestamp") and FOREGROUND in live["metadata"].get("finalizers", ()):
                references.waiting.append(owner)
            else:
                references.solid.append(owner)
        return references

    # Orphaning

    def orphan_dependents(self, node: GraphNode) -> None:
        """Remove the references to this object from its dependents, then let it go."""
        with self.lock:
            dependents = self.graph.dependents(node)
        for each in dependents:
            self._drop_references(each.identity, [node.identity.uid])
        self._remove_finalizer(node.identity, ORPHAN)

    # Requests to the API server

    def _live(self, identity: ObjectIdentity) -> Object | None:
        resource = self._resource(identity)
        live = self.client.find(resource, identity.name, identity.namespace if resource.namespaced else "")
        return live if live and live["metadata"]["uid"] == identity.uid else None

    def _gone(self, identity: ObjectIdentity) -> None:
        with self.lock:
            work, remember = self.graph.absent(identity)
            if remember:
                self._remember_absent(identity)
        self._do(work)

    def _delete(self, live: Object, identity: ObjectIdentity, policy: str) -> None:
        """Delete the object if its resourceVersion is still that of ``live``."""
        log.info("deleting %s, which has lost its owners (%s)", identity, policy)
        resource, meta = self._resource(identity), live["metadata"]
        try:
            self.client.delete(
                resource,
                identity.name,
                identity.namespace,
                propagation=policy,
                uid=identity.uid,
                resource_version=meta["resourceVersion"],
            )
        except NotFound:
            self._gone(identity)

    def _drop_references(self, identity: ObjectIdentity, owner_uids: Sequence[str]) -> None:
        patch = release_patch(owner_uids, identity.uid)

        def others(live: Object) -> list[Object]:
            return [{**each} for each in owner_references_of(live) if each["uid"] not in owner_uids]

        self._patch_references(identity, patch, others)

    def _unblock(self, identity: ObjectIdentity, live: Object) -> None:
        def unblocked(obj: Object) -> list[Object]:
            return [{**each, "blockOwnerDeletion": False} for each in owner_references_of(obj)]

        patch = {"metadata": {"uid": identity.uid, "ownerReferences": unblocked(live)}}
        self._patch_references(identity, patch, unblocked)

    def _patch_references(self, identity: ObjectIdentity, strategic: Object, wanted: ReferencesOf) -> None:
        """Send a strategic merge patch; to a kind without those, a merge patch of all references."""
        resource = self._resource(identity)
        try:
            self.client.patch(resource, identity.name, identity.namespace, strategic, type="strategic")
        except UnsupportedMediaType:
            if (live := self._live(identity)) is not None:
                version = live["metadata"]["resourceVersion"]
                patch = {"metadata": {"resourceVersion": version, "ownerReferences": wanted(live)}}
                self.client.patch(resource, identity.name, identity.namespace, patch)
        except NotFound:
            self._gone(identity)

    def _remove_finalizer(self, identity: ObjectIdentity, finalizer: str) -> None:
        live = self._live(identity)
        finalizers = (live or {}).get("metadata", {}).get("finalizers", [])
        if live is None or finalizer not in finalizers:
            return
        patch = {
            "metadata": {
                "resourceVersion": live["metadata"]["resourceVersion"],
                "finalizers": [each for each in finalizers if each != finalizer],
            }
        }
        self.client.patch(self._resource(identity), identity.name, identity.namespace, patch)

    def _resource(self, identity: ObjectIdentity) -> Resource:
        resource = self.monitors.resource(identity.api_version, identity.kind)
        if resource is None:
            raise UnknownKind(f"the API server has no kind {identity.api_version}/{identity.kind}")
        return resource

    # Owners known to be absent

    def _is_absent(self, identity: ObjectIdentity) -> bool:
        with self.lock:
            return identity in self.absent

    def _remember_absent(self, identity: ObjectIdentity) -> None:
        self.absent[identity] = None
        while len(self.absent) > REMEMBERED_ABSENT:
            self.absent.popitem(last=False)


GARBAGE_COLLECTOR = ControllerDescriptor(
    "garbage-collector-controller",
    GarbageCollector,
    account="generic-garbage-collector",
    rules=(can("delete get list patch update watch", "*", "*"), WRITE_EVENTS),
    watches_everything=True,
    aliases=("garbagecollector",),
)
