"""Laws of sets of fields, and of applying: what holds whatever the fields and objects are."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import assume, given
from hypothesis import strategies as st

from apiserver import managedfields
from apiserver.kinds.pods.row import PODS
from apiserver.managedfields import entries, fieldset, merging, updating, walks
from apiserver.managedfields.fieldset import Fields
from apiserver.model.fieldmanager import Writer
from apiserver.schema.compiled import node_of
from apiserver.schema.tree import Array, SchemaNode
from machinery.errors import Conflict
from machinery.objects import Object

NODE = node_of(PODS.definition)
ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'k:{"port":80}', 'k:{"port":443}', 'v:"x"', "v:2"])
NAMES = st.sampled_from("xyz")


def tries(depth: int = 3) -> st.SearchStrategy[Fields]:
    """Sets of fields in every form that they can be sent in."""
    below = st.just({}) if depth == 0 else st.one_of(st.just({}), st.deferred(lambda: tries(depth - 1)))
    level = st.dictionaries(ELEMENTS, below, max_size=3)
    return st.builds(lambda level, itself: {**level, ".": {}} if itself else level, level, st.booleans())


def tries_at_the_top() -> st.SearchStrategy[Fields]:
    return tries().map(lambda trie: fieldset.parse({key: below for key, below in trie.items() if key != "."}))


@given(tries_at_the_top(), tries_at_the_top(), tries_at_the_top())
def test_sets(a: Fields, b: Fields, c: Fields) -> None:
    assert fieldset.union(a, b) == fieldset.union(b, a)
    assert fieldset.union(a, fieldset.union(b, c)) == fieldset.union(fieldset.union(a, b), c)
    assert fieldset.intersection(a, b) == fieldset.intersection(b, a)
    assert fieldset.intersection(a, fieldset.union(b, c)) == fieldset.union(
        fieldset.intersection(a, b), fieldset.intersection(a, c)
    )
    assert fieldset.union(a, a) == fieldset.intersection(a, a) == a
    assert fieldset.difference(a, a) == {}
    assert fieldset.difference(a, {}) == a
    assert fieldset.union(fieldset.difference(a, b), fieldset.intersection(a, b)) == a
    assert fieldset.intersection(fieldset.difference(a, b), b) == {}
    assert fieldset.without(a, b) == fieldset.difference(fieldset.without(a, b), b)


@given(tries_at_the_top(), tries_at_the_top())
def test_sets_are_sets_of_paths(a: Fields, b: Fields) -> None:
    left, right = set(fieldset.paths(a)), set(fieldset.paths(b))
    assert set(fieldset.paths(fieldset.union(a, b))) == left | right
    assert set(fieldset.paths(fieldset.intersection(a, b))) == left & right
    assert set(fieldset.paths(fieldset.difference(a, b))) == left - right
    assert len(list(fieldset.paths(a))) == len(left)


@given(tries_at_the_top(), tries_at_the_top())
def test_a_set_is_written_and_read_in_one_form(a: Fields, b: Fields) -> None:
    united = fieldset.union(a, b)
    written = orjson.dumps(united)
    assert orjson.dumps(fieldset.parse(orjson.loads(written))) == written
    shuffled = dict(reversed(united.items()))
    assert orjson.dumps(fieldset.parse(shuffled)) == written


def containers() -> st.SearchStrategy[list[Any]]:
    ports = st.lists(
        st.fixed_dictionaries({"containerPort": st.integers(1, 3)}, optional={"hostIP": NAMES}),
        unique_by=lambda port: port["containerPort"],
        max_size=3,
    )
    container = st.fixed_dictionaries(
        {"name": NAMES}, optional={"image": NAMES, "args": st.lists(NAMES, max_size=2), "ports": ports}
    )
    return st.lists(container, unique_by=lambda container: container["name"], max_size=3)


def pods() -> st.SearchStrategy[Object]:
    metadata = st.fixed_dictionaries(
        {},
        optional={
            "labels": st.dictionaries(NAMES, NAMES, max_size=3),
            "finalizers": st.lists(NAMES, unique=True, max_size=3),
        },
    )
    spec = st.fixed_dictionaries(
        {}, optional={"containers": containers(), "nodeName": NAMES, "nodeSelector": st.dictionaries(NAMES, NAMES)}
    )
    return st.builds(
        lambda metadata, spec: {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, metadata, spec
    )


def applied(live: Object | None, config: Object, name: str, *, force: bool = True) -> Object:
    before = copy.deepcopy((live, config))
    new = managedfields.apply(PODS, live, config, Writer(name), force=force)
    assert (live, config) == before, "neither the object nor the configuration may be changed"
    new["metadata"]["uid"] = "1"
    return new


def leaves(node: SchemaNode, value: Any, path: str = "") -> dict[str, Any]:
    """What an object says, but for the order of lists that are sets or maps, and the form of what is empty."""
    if isinstance(value, dict):
        members = [(f".{key}", walks.below(node, key), child) for key, child in value.items()]
    elif isinstance(node, Array) and node.list_type != "atomic":
        members = [(walks.element_of(node, child), node.item, child) for child in value or ()]
    else:
        return {path: value} if value is not None else {}
    return {leaf: found for step, at, child in members for leaf, found in leaves(at, child, path + step).items()}


@given(pods(), pods())
def test_applying_twice_is_applying_once(first: Object, second: Object) -> None:
    live = applied(applied(None, first, "a"), second, "b")
    assume("managedFields" in live["metadata"])
    again = applied(live, second, "b")
    managedfields.settle(again, live)
    assert again == live


@given(pods(), pods())
def test_what_is_applied_is_there(first: Object, second: Object) -> None:
    live = applied(applied(None, first, "a"), second, "b")
    assert walks.compare(NODE, merging.merge(NODE, live, second), live) == ({}, {})


@given(pods(), pods())
def test_applying_nothing_takes_everything_back(first: Object, second: Object) -> None:
    start = applied(None, first, "a", force=False)
    assume(owners(start))
    try:
        live = applied(start, second, "b", force=False)
    except Conflict:
        return
    empty: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {}}
    back = applied(live, empty, "b")
    assert owners(back) == owners(start)
    for obj in (start, back):
        obj["metadata"].pop("managedFields", None)
    assert leaves(NODE, back) == leaves(NODE, start)


def owners(obj: Object) -> list[str]:
    return [str(who) for who in entries.read(obj["metadata"].get("managedFields", ()))]


@given(pods(), pods(), pods())
def test_nobody_owns_what_is_not_there(first: Object, second: Object, third: Object) -> None:
    live = copy.deepcopy(first)
    managedfields.created(PODS, live, Writer("a"))
    live["metadata"]["uid"] = "1"
    live = applied(live, second, "b")
    new = copy.deepcopy(third)
    managedfields.updated(PODS, new, live, Writer("c"))
    there = walks.added(NODE, {key: value for key, value in new.items() if key != "metadata"})
    there = fieldset.union(there, {"f:metadata": walks.added(walks.below(NODE, "metadata"), new["metadata"])})
    for owned in entries.read(new["metadata"].get("managedFields", ())).values():
        assert fieldset.difference(owned.fields, there) == {}


@given(pods(), pods())
def test_a_comparison_is_what_makes_one_of_the_other(first: Object, second: Object) -> None:
    taken, removed = walks.compare(NODE, first, second)
    assert fieldset.intersection(taken, removed) == {}
    there, back = walks.compare(NODE, second, first)
    assert fieldset.difference(removed, there) == {}
    assert (taken, removed) != ({}, {}) or (there, back) == ({}, {})


@given(pods(), pods())
def test_an_update_leaves_one_owner_of_what_it_changes(first: Object, second: Object) -> None:
    schema = updating.VersionedSchema(NODE, "v1", {})
    a, b = (entries.manager(name, entries.UPDATE, "v1") for name in "ab")
    start = updating.update(schema, updating.compare(schema, {}, first), {}, a, "1")
    difference = updating.compare(schema, first, second)
    after = updating.update(schema, difference, start, b, "2")
    assert a not in after or fieldset.intersection(after[a].fields, difference.taken) == {}
    assert (b in after) == bool(difference.taken)
    assert b not in after or after[b].fields == difference.taken
