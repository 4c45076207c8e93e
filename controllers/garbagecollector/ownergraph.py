"""The graph of owners and dependents of all objects (upstream: pkg/controller/garbagecollector/graph_builder.go).

No I/O: each change returns the uids of the objects at which the garbage collector must look.

- An owner that is referred to and was not seen yet is a *virtual* node, until the watch shows it or the API server
  says that it does not exist.
- References are not trusted: two objects may refer to the same uid by different names, and at least one of them is
  wrong. Therefore all parts of a reference are compared, and not the uid alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from machinery.objects import Object, owner_references_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class ObjectIdentity(NamedTuple):
    """Which object: where it is, and its uid."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        place = f"namespace: {self.namespace}, name: {self.name}, uid: {self.uid}"
        return f"[{self.api_version}/{self.kind}, {place}]"


class OwnerEdge(NamedTuple):
    """One owner reference; ``blocks`` is its blockOwnerDeletion."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool = False

    def within(self, namespace: str) -> ObjectIdentity:
        """Return the owner's identity if it is in this namespace; a reference does not say in which it is."""
        return ObjectIdentity(self.api_version, self.kind, namespace, self.name, self.uid)

    def means(self, identity: ObjectIdentity) -> bool:
        """Return True if the reference names this object; namespaces are not compared."""
        return self[:4] == (identity.api_version, identity.kind, identity.name, identity.uid)


@dataclass(slots=True, eq=False)
class GraphNode:
    """One object in the graph; ``dependents`` are uids."""

    identity: ObjectIdentity
    owners: tuple[OwnerEdge, ...] = ()
    dependents: set[str] = field(default_factory=set)
    virtual: bool = False
    being_deleted: bool = False
    deleting_dependents: bool = False


class Work(NamedTuple):
    """What a change makes necessary.

    ``delete`` are uids of objects that may have to be deleted, ``orphan`` uids of owners whose dependents are to be
    orphaned, ``misplaced`` references to owners in another namespace.
    """

    delete: set[str]
    orphan: set[str]
    misplaced: list[tuple[GraphNode, OwnerEdge]]

    @staticmethod
    def none() -> Work:
        return Work(set(), set(), [])


def owners_of(obj: Object) -> tuple[OwnerEdge, ...]:
    """Return the owner references of an object."""
    return tuple(
        OwnerEdge(each["apiVersion"], each["kind"], each["name"], each["uid"], bool(each.get("blockOwnerDeletion")))
        for each in owner_references_of(obj)
    )


def identity_of(obj: Object) -> ObjectIdentity:
    """Return the identity of an object that has kind and apiVersion."""
    meta = obj["metadata"]
    return ObjectIdentity(obj["apiVersion"], obj["kind"], meta.get("namespace", ""), meta["name"], meta["uid"])


def deleted_with(obj: Object | None, finalizer: str) -> bool:
    """Return True if the object is being deleted and has this finalizer."""
    if obj is None or not obj["metadata"].get("deletionTimestamp"):
        return False
    return finalizer in obj["metadata"].get("finalizers", ())


class OwnerGraph:
    """All objects as nodes. It is not thread-safe: the garbage collector holds a lock around each call."""

    def __init__(self) -> None:
        self.nodes: dict[str, GraphNode] = {}

    def change(self, old: Object | None, new: Object | None) -> Work:
        """Note that an object was added (``old`` is None), changed, or deleted (``new`` is None)."""
        if new is not None:
            return self._observe(old, new)
        return self._remove_observed(old) if old is not None else Work.none()

    def dependents(self, node: GraphNode) -> list[GraphNode]:
        """Return the objects that refer to this one as their owner."""
        return [self.nodes[uid] for uid in node.dependents if uid in self.nodes]

    def blocking(self, node: GraphNode) -> list[GraphNode]:
        """Return the dependents that must be gone before this object, if it is deleted in the foreground."""
        uid = node.identity.uid
        return [each for each in self.dependents(node) if any(o.uid == uid and o.blocks for o in each.owners)]

    # Additions and updates

    def _observe(self, old: Object | None, new: Object) -> Work:
        work = Work.none()
        identity, owners = identity_of(new), owners_of(new)
        node = self.nodes.get(identity.uid)
        if node is None:
            node = self.nodes[identity.uid] = GraphNode(identity)
            self._link(node, owners, work)
        else:
            if node.virtual:
                self._make_real(node, identity, work)
            self._relink(node, owners, work)
        node.owners = owners
        node.being_deleted = bool(new["metadata"].get("deletionTimestamp"))
        self._transitions(old, new, node, work)
        return work

    def _make_real(self, node: GraphNode, identity: ObjectIdentity, work: Work) -> None:
        """Turn a virtual node into a real one; look at dependents that described it differently."""
        if node.identity != identity:
            _, others = self._split_dependents(node, identity)
            work.delete.update(each.identity.uid for each in others)
        node.identity = identity
        node.virtual = False

    def _relink(self, node: GraphNode, owners: tuple[OwnerEdge, ...], work: Work) -> None:
        before = {owner.uid: owner for owner in node.owners}
        after = {owner.uid: owner for owner in owners}
        for uid, owner in before.items():
            if owner.blocks and not (uid in after and after[uid].blocks) and uid in self.nodes:
                work.delete.add(uid)
            if uid not in after and uid in self.nodes:
                self.nodes[uid].dependents.discard(node.identity.uid)
        self._link(node, (owner for owner in owners if owner.uid not in before), work)

    def _link(self, node: GraphNode, owners: Iterable[OwnerEdge], work: Work) -> None:
        for reference in owners:
            owner = self.nodes.get(reference.uid)
            if owner is None:
                owner = GraphNode(reference.within(node.identity.namespace), virtual=True)
                self.nodes[reference.uid] = owner
                work.delete.add(reference.uid)
            elif owner.identity.namespace and owner.identity.namespace != node.identity.namespace:
                work.delete.add(node.identity.uid)
                if not owner.virtual:
                    work.misplaced.append((node, reference))
            elif not reference.means(owner.identity):
                work.delete.add(node.identity.uid)
            owner.dependents.add(node.identity.uid)

    def _transitions(self, old: Object | None, new: Object, node: GraphNode, work: Work) -> None:
        uid = node.identity.uid
        if deleted_with(new, ORPHAN) and not deleted_with(old, ORPHAN):
            work.orphan.add(uid)
        elif deleted_with(new, FOREGROUND) and not deleted_with(old, FOREGROUND):
            node.deleting_dependents = True
            work.delete.update(node.dependents, [uid])

    # Deletions

    def _remove_observed(self, obj: Object) -> Work:
        node = self.nodes.get(obj["metadata"]["uid"])
        return self._remove(node) if node is not None else Work.none()

    def _remove(self, node: GraphNode) -> Work:
        work = Work.none()
        uid = node.identity.uid
        self.nodes.pop(uid, None)
        work.delete.update(node.dependents)
        for reference in node.owners:
            owner = self.nodes.get(reference.uid)
            if owner is not None:
                owner.dependents.discard(uid)
                if owner.deleting_dependents:
                    work.delete.add(reference.uid)
        return work

    def absent(self, identity: ObjectIdentity) -> tuple[Work, bool]:
        """Note that the API server does not have this object.

        The second result is True if dependents refer to exactly this object, so that its absence should be remembered.
        """
        node = self.nodes.get(identity.uid)
        if node is None:
            return Work.none(), False
        if node.virtual:
            matching, others = self._split_dependents(node, identity)
            if not others:
                return self._remove(node), bool(matching)
            if node.identity == identity:
                node.identity = self._alternative(others, identity) or identity
                work = Work({each.identity.uid for each in matching} | {identity.uid}, set(), [])
                return work, bool(matching)
        elif node.identity == identity:
            had_dependents = bool(node.dependents)
            return self._remove(node), had_dependents
        else:
            matching, _ = self._split_dependents(node, identity)
        return Work({each.identity.uid for each in matching}, set(), []), bool(matching)

    def _split_dependents(self, node: GraphNode, identity: ObjectIdentity) -> tuple[list[GraphNode], list[GraphNode]]:
        """Return the dependents that refer to exactly this object, and those that refer to another with its uid."""
        matching, others = [], []
        for each in self.dependents(node):
            references = [owner for owner in each.owners if owner.uid == identity.uid]
            if identity.namespace and identity.namespace != each.identity.namespace:
                others.append(each)
                continue
            if any(owner.means(identity) for owner in references):
                matching.append(each)
            if any(not owner.means(identity) for owner in references):
                others.append(each)
        return matching, others

    def _alternative(self, dependents: Iterable[GraphNode], absent: ObjectIdentity) -> ObjectIdentity | None:
        """Return another identity that these dependents give for the uid, None if there is none.

        It is the next one after ``absent`` in a fixed order, and after the last comes the first.
        """
        said = {
            owner.within(each.identity.namespace)
            for each in dependents
            for owner in each.owners
            if owner.uid == absent.uid
        } - {absent}
        ordered = sorted(said, key=_order)
        return next((each for each in ordered if _order(each) > _order(absent)), ordered[0] if ordered else None)


def _order(identity: ObjectIdentity) -> tuple[str, str, str, str]:
    return identity.kind, identity.api_version, identity.namespace, identity.name
