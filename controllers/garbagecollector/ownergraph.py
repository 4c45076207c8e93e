"""Who owns whom, as a graph of all objects' metadata (upstream: pkg/controller/garbagecollector/graph_builder.go).

Pure: each change gives the uids at which the garbage collector must look again. An owner that is referred to
and was not seen is a *virtual* node, and stays one until the watch shows it or the API server says that it does
not exist. References are believed only as far as they go: two objects may give different names to the same uid,
and one of them lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from machinery.objects import Object, owner_references_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Identity(NamedTuple):
    """Where an object is and which one."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        place = f"namespace: {self.namespace}, name: {self.name}, uid: {self.uid}"
        return f"[{self.api_version}/{self.kind}, {place}]"


class Owner(NamedTuple):
    """One owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool = False

    def within(self, namespace: str) -> Identity:
        """The owner, if it lives in this namespace."""
        return Identity(self.api_version, self.kind, namespace, self.name, self.uid)

    def means(self, identity: Identity) -> bool:
        """The reference names this object, whatever its namespace."""
        return self[:4] == (identity.api_version, identity.kind, identity.name, identity.uid)


@dataclass(slots=True, eq=False)
class Node:
    """One object."""

    identity: Identity
    owners: tuple[Owner, ...] = ()
    dependents: set[str] = field(default_factory=set)
    virtual: bool = False
    being_deleted: bool = False
    deleting_dependents: bool = False


class Work(NamedTuple):
    """What a change gives to do: uids to consider for deletion, owners whose dependents to orphan, bad references."""

    delete: set[str]
    orphan: set[str]
    misplaced: list[tuple[Node, Owner]]

    @staticmethod
    def none() -> Work:
        return Work(set(), set(), [])


def owners_of(obj: Object) -> tuple[Owner, ...]:
    """The owner references of an object."""
    return tuple(
        Owner(each["apiVersion"], each["kind"], each["name"], each["uid"], bool(each.get("blockOwnerDeletion")))
        for each in owner_references_of(obj)
    )


def identity_of(obj: Object) -> Identity:
    """The identity of an object with kind and apiVersion."""
    meta = obj["metadata"]
    return Identity(obj["apiVersion"], obj["kind"], meta.get("namespace", ""), meta["name"], meta["uid"])


def deleted_with(obj: Object | None, finalizer: str) -> bool:
    """It is being deleted, and this finalizer holds it."""
    if obj is None or not obj["metadata"].get("deletionTimestamp"):
        return False
    return finalizer in obj["metadata"].get("finalizers", ())


class OwnerGraph:
    """Not locked: its user is."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def change(self, old: Object | None, new: Object | None) -> Work:
        """An object was added (no old), changed, or deleted (no new)."""
        if new is not None:
            return self._observe(old, new)
        return self._remove_observed(old) if old is not None else Work.none()

    def dependents(self, node: Node) -> list[Node]:
        """The objects that refer to this one as their owner."""
        return [self.nodes[uid] for uid in node.dependents if uid in self.nodes]

    def blocking(self, node: Node) -> list[Node]:
        """The dependents that must go before this object may, when it is deleted in the foreground."""
        uid = node.identity.uid
        return [each for each in self.dependents(node) if any(o.uid == uid and o.blocks for o in each.owners)]

    # Additions and updates

    def _observe(self, old: Object | None, new: Object) -> Work:
        work = Work.none()
        identity, owners = identity_of(new), owners_of(new)
        node = self.nodes.get(identity.uid)
        if node is None:
            node = self.nodes[identity.uid] = Node(identity)
            self._link(node, owners, work)
        else:
            if node.virtual:
                self._make_real(node, identity, work)
            self._relink(node, owners, work)
        node.owners = owners
        node.being_deleted = bool(new["metadata"].get("deletionTimestamp"))
        self._transitions(old, new, node, work)
        return work

    def _make_real(self, node: Node, identity: Identity, work: Work) -> None:
        """A virtual node is seen: dependents that described it otherwise may refer to nothing."""
        if node.identity != identity:
            _, others = self._split_dependents(node, identity)
            work.delete.update(each.identity.uid for each in others)
        node.identity = identity
        node.virtual = False

    def _relink(self, node: Node, owners: tuple[Owner, ...], work: Work) -> None:
        before = {owner.uid: owner for owner in node.owners}
        after = {owner.uid: owner for owner in owners}
        for uid, owner in before.items():
            if owner.blocks and not (uid in after and after[uid].blocks) and uid in self.nodes:
                work.delete.add(uid)
            if uid not in after and uid in self.nodes:
                self.nodes[uid].dependents.discard(node.identity.uid)
        self._link(node, (owner for owner in owners if owner.uid not in before), work)

    def _link(self, node: Node, owners: Iterable[Owner], work: Work) -> None:
        for reference in owners:
            owner = self.nodes.get(reference.uid)
            if owner is None:
                owner = Node(reference.within(node.identity.namespace), virtual=True)
                self.nodes[reference.uid] = owner
                work.delete.add(reference.uid)
            elif owner.identity.namespace and owner.identity.namespace != node.identity.namespace:
                work.delete.add(node.identity.uid)
                if not owner.virtual:
                    work.misplaced.append((node, reference))
            elif not reference.means(owner.identity):
                work.delete.add(node.identity.uid)
            owner.dependents.add(node.identity.uid)

    def _transitions(self, old: Object | None, new: Object, node: Node, work: Work) -> None:
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

    def _remove(self, node: Node) -> Work:
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

    def absent(self, identity: Identity) -> tuple[Work, bool]:
        """The API server does not know this object. True: dependents that name it so may count on its absence."""
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

    def _split_dependents(self, node: Node, identity: Identity) -> tuple[list[Node], list[Node]]:
        """The dependents whose reference means this very object, and those with one that means another."""
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

    def _alternative(self, dependents: Iterable[Node], absent: Identity) -> Identity | None:
        """What else the uid could be, by what these dependents say: the next after the absent one, round and round."""
        said = {
            owner.within(each.identity.namespace)
            for each in dependents
            for owner in each.owners
            if owner.uid == absent.uid
        } - {absent}
        ordered = sorted(said, key=_order)
        return next((each for each in ordered if _order(each) > _order(absent)), ordered[0] if ordered else None)


def _order(identity: Identity) -> tuple[str, str, str, str]:
    return identity.kind, identity.api_version, identity.namespace, identity.name
