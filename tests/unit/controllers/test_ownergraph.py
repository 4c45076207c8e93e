"""What each change gives the garbage collector to look at."""

from __future__ import annotations

from typing import Any

from controllers.garbagecollector.ownergraph import ObjectIdentity, OwnerGraph
from machinery.objects import Object


def obj(
    name: str, *owners: Object, namespace: str = "ns", deleting: bool = False, finalizers: tuple[str, ...] = ()
) -> Object:
    meta: dict[str, Any] = {"name": name, "uid": name, "ownerReferences": list(owners)}
    if namespace:
        meta["namespace"] = namespace
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if finalizers:
        meta["finalizers"] = list(finalizers)
    return {"apiVersion": "v1", "kind": "Thing", "metadata": meta}


def ref(name: str, *, blocks: bool = False, kind: str = "Thing", called: str = "") -> Object:
    reference = {"apiVersion": "v1", "kind": kind, "name": called or name, "uid": name}
    return {**reference, "blockOwnerDeletion": True} if blocks else reference


def identity(name: str, namespace: str = "ns", kind: str = "Thing") -> ObjectIdentity:
    return ObjectIdentity("v1", kind, namespace, name, name)


def graph_of(*objects: Object) -> OwnerGraph:
    graph = OwnerGraph()
    for each in objects:
        graph.change(None, each)
    return graph


def test_an_owner_that_goes_leaves_its_dependents_to_be_looked_at() -> None:
    graph = graph_of(obj("owner"), obj("child", ref("owner")))
    assert graph.change(obj("owner"), None).delete == {"child"}
    assert set(graph.nodes) == {"child"}


def test_an_owner_that_was_never_seen_is_verified() -> None:
    graph = OwnerGraph()
    assert graph.change(None, obj("child", ref("owner"))).delete == {"owner"}
    assert graph.nodes["owner"].virtual
    work, remember = graph.absent(identity("owner"))
    assert (work.delete, remember) == ({"child"}, True)
    assert "owner" not in graph.nodes


def test_an_owner_that_appears_later_is_real() -> None:
    graph = graph_of(obj("child", ref("owner")), obj("owner"))
    assert not graph.nodes["owner"].virtual
    assert graph.nodes["owner"].dependents == {"child"}


def test_foreground_deletion_looks_at_owner_and_dependents() -> None:
    graph = graph_of(obj("owner"), obj("child", ref("owner", blocks=True)))
    ending = obj("owner", deleting=True, finalizers=("foregroundDeletion",))
    assert graph.change(obj("owner"), ending).delete == {"owner", "child"}
    assert graph.nodes["owner"].deleting_dependents
    assert [each.identity.name for each in graph.blocking(graph.nodes["owner"])] == ["child"]
    assert graph.change(ending, ending).delete == set(), "the transition counts, not the state"
    assert graph.change(obj("child", ref("owner", blocks=True)), None).delete == {"owner"}


def test_a_dependent_that_stops_blocking_frees_its_owner() -> None:
    graph = graph_of(obj("owner"), obj("child", ref("owner", blocks=True)))
    assert graph.change(obj("child", ref("owner", blocks=True)), obj("child", ref("owner"))).delete == {"owner"}
    assert graph.blocking(graph.nodes["owner"]) == []


def test_a_reference_that_is_removed_frees_its_owner() -> None:
    graph = graph_of(obj("owner"), obj("child", ref("owner", blocks=True)))
    assert graph.change(obj("child", ref("owner", blocks=True)), obj("child")).delete == {"owner"}
    assert graph.nodes["owner"].dependents == set()


def test_orphaning() -> None:
    graph = graph_of(obj("owner"), obj("child", ref("owner")))
    work = graph.change(obj("owner"), obj("owner", deleting=True, finalizers=("orphan",)))
    assert (work.orphan, work.delete) == ({"owner"}, set())


def test_an_object_that_is_first_seen_while_it_is_deleted_in_the_foreground() -> None:
    graph = OwnerGraph()
    assert graph.change(None, obj("owner", deleting=True, finalizers=("foregroundDeletion",))).delete == {"owner"}


def test_an_owner_in_another_namespace_is_reported_and_the_dependent_looked_at() -> None:
    graph = graph_of(obj("owner"))
    work = graph.change(None, obj("child", ref("owner"), namespace="elsewhere"))
    assert work.delete == {"child"}
    assert [(node.identity.name, owner.name) for node, owner in work.misplaced] == [("child", "owner")]


def test_a_cluster_scoped_owner_may_be_referred_to_from_everywhere() -> None:
    graph = graph_of(obj("owner", namespace=""))
    work = graph.change(None, obj("child", ref("owner")))
    assert (work.delete, work.misplaced) == (set(), [])


def test_a_reference_with_a_wrong_name_is_looked_at() -> None:
    graph = graph_of(obj("owner"))
    assert graph.change(None, obj("child", ref("owner", called="other"))).delete == {"child"}


def test_a_virtual_owner_described_in_two_ways_is_verified_in_both() -> None:
    honest, liar = obj("honest", ref("owner")), obj("liar", ref("owner", kind="Other"))
    graph = graph_of(honest, liar)
    work, remember = graph.absent(identity("owner"))
    assert (work.delete, remember) == ({"honest", "owner"}, True)
    assert graph.nodes["owner"].identity == identity("owner", kind="Other")
    graph.change(honest, None)
    work, _ = graph.absent(identity("owner", kind="Other"))
    assert work.delete == {"liar"}
    assert "owner" not in graph.nodes


def test_a_real_owner_stays_when_somebody_lies_about_it() -> None:
    graph = graph_of(obj("owner"), obj("liar", ref("owner", kind="Other")))
    work, remember = graph.absent(identity("owner", kind="Other"))
    assert (work.delete, remember) == ({"liar"}, True)
    assert "owner" in graph.nodes


def test_a_virtual_owner_that_appears_as_something_else_has_its_dependents_looked_at() -> None:
    graph = graph_of(obj("child", ref("owner", kind="Other")))
    assert graph.change(None, obj("owner")).delete == {"child"}


def test_what_is_not_known_changes_nothing() -> None:
    graph = OwnerGraph()
    assert graph.change(obj("x"), None).delete == set()
    assert graph.absent(identity("x"))[0].delete == set()
