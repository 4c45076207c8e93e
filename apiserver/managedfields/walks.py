"""Walk objects along their schema to get sets of fields: of what an object has, or of what differs between two.

The schema (``schema.tree``) says what divides into parts that have owners of their own:

    struct, map     into their fields and keys, unless they are ``atomic``
    list            into its items if its type is ``set`` (by value) or ``map`` (by its keys); by default it is atomic
    no schema       objects divide by their keys, lists are atomic

``compare`` gives the sets of what was added or modified and of what was removed: updates are tracked by it. ``owned``
gives the fields of a configuration, which an apply claims. ``present`` gives every field, for finding out what a
removal would take along.

A new object is compared with an empty one, so most of the work of a creation is done in ``added``, which is written for
speed. Upstream: structured-merge-diff, typed/compare.go and typed/tofieldset.go.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from apiserver.managedfields import elements
from apiserver.managedfields.fieldset import DOT, LEAF, Fields, member
from apiserver.schema.tree import Array, Map, SchemaNode, Struct

# The node of values that the schema does not describe.
ANY = SchemaNode("interface {}")
_ABSENT = object()


class Comparison(NamedTuple):
    """The differences between two objects, each in one of the sets."""

    taken: Fields  # added or modified: whoever made the change owns these now
    removed: Fields


def below(node: SchemaNode, key: str) -> SchemaNode:
    """Return the node of a member of a value, ANY for a field that the schema does not know."""
    return node.child(key) or ANY


def added(node: SchemaNode, value: Any) -> Fields:
    """Return the trie node of a value that was not there before: the value itself and everything in it are members."""
    kind = type(value)
    if kind is dict:
        if isinstance(node, Struct):
            if node.atomic:
                return LEAF
            specs, empties = node.specs, node.empties
            tree: Fields = {DOT: LEAF}
            if empties:
                value = {**empties, **value}
            for key in sorted(value):
                child = value[key]
                if type(child) is dict or type(child) is list:
                    spec = specs.get(key)
                    tree[f"f:{key}"] = added(spec[3] if spec is not None else below(node, key), child)
                else:
                    tree[f"f:{key}"] = LEAF
            return tree if len(tree) > 1 else LEAF
        if isinstance(node, Map):
            return _added_keys(node.item, value) if value and not node.atomic else LEAF
        return _added_keys(ANY, value) if value and not isinstance(node, Array) else LEAF
    if kind is list and value and isinstance(node, Array) and node.list_type != "atomic":
        return {DOT: LEAF, **_added_items(node, value)}
    return LEAF


def _added_keys(item: SchemaNode, value: dict[str, Any]) -> Fields:
    tree: Fields = {DOT: LEAF}
    for key in sorted(value):
        child = value[key]
        tree[f"f:{key}"] = added(item, child) if type(child) is dict or type(child) is list else LEAF
    return tree


def _added_items(node: Array, items: list[Any]) -> Fields:
    # Items with the same key have one owner together (upstream: since structured-merge-diff 4.4).
    tree: Fields = {}
    item = node.item
    for child in items:
        element = element_of(node, child)
        tree[element] = LEAF if element in tree else added(item, child)
    return elements.in_order(tree)


def element_of(node: Array, item: Any) -> str:
    """Return the path element of an item of a stored object, which validation has already seen."""
    try:
        return elements.of_item(node, item)
    except elements.MissingKeyError:
        # The object is valid, so what is missing are keys that may be absent.
        return "k:{}" if node.list_type == "map" else "v:null"


def compare(node: SchemaNode, old: dict[str, Any], new: dict[str, Any], skipped: Collection[str] = ()) -> Comparison:
    """Return the differences between two objects of a schema, without those in the top-level fields ``skipped``."""
    comparison = Comparison({}, {})
    if skipped:
        old = {key: value for key, value in old.items() if key not in skipped}
        new = {key: value for key, value in new.items() if key not in skipped}
    if isinstance(node, Struct):
        _compare_fields(node, old, new, *comparison)
    else:
        _compare_keys(ANY, old, new, *comparison)
    return Comparison(elements.in_order(comparison.taken), elements.in_order(comparison.removed))


def _compare_fields(node: Struct, old: dict[str, Any], new: dict[str, Any], taken: Fields, removed: Fields) -> None:
    empties = node.empties
    for key, after in new.items():
        before = old.get(key, _ABSENT)
        if before == after:
            continue
        if before is _ABSENT:
            before = empties.get(key, _ABSENT)
        if before != after:
            _compare_at(below(node, key), f"f:{key}", before, after, taken, removed)
    for key, before in old.items():
        if key not in new and (after := empties.get(key, _ABSENT)) != before:
            _compare_at(below(node, key), f"f:{key}", before, after, taken, removed)


def _compare_keys(item: SchemaNode, old: dict[str, Any], new: dict[str, Any], taken: Fields, removed: Fields) -> None:
    for key, after in new.items():
        before = old.get(key, _ABSENT)
        if before != after:
            _compare_at(item, f"f:{key}", before, after, taken, removed)
    for key, before in old.items():
        if key not in new:
            removed[f"f:{key}"] = added(item, before)


def _compare_at(node: SchemaNode, element: str, before: Any, after: Any, taken: Fields, removed: Fields) -> None:
    """Add to the sets how two values of one element differ; either may be _ABSENT."""
    if before is _ABSENT:
        taken[element] = added(node, after)
        return
    if after is _ABSENT:
        removed[element] = added(node, before)
        return
    inside, gone = Comparison({}, {})
    if not _compare_inside(node, before, after, inside, gone):
        taken[element] = member(elements.in_order(inside))
    elif inside:
        taken[element] = elements.in_order(inside)
    if gone:
        removed[element] = elements.in_order(gone)


def _compare_inside(node: SchemaNode, before: Any, after: Any, taken: Fields, removed: Fields) -> bool:
    """Add to the sets how two values differ inside. Return False if the value has been modified as a whole.

    That is so for scalars and everything atomic: they have no inside. So it is for values of a type that the schema
    does not allow, which validation refuses later, or which are older than the schema.
    """
    if is_atomic(node) or not (before or after) or not (fits(node, before) and fits(node, after)):
        return False
    if isinstance(node, Array):
        _compare_items(node, before or [], after or [], taken, removed)
        return True
    if isinstance(node, Struct):
        _compare_fields(node, before or {}, after or {}, taken, removed)
        return True
    if isinstance(node, Map):
        _compare_keys(node.item, before or {}, after or {}, taken, removed)
        return True
    return _compare_any(before, after, taken, removed)


def _compare_any(before: Any, after: Any, taken: Fields, removed: Fields) -> bool:
    # A value without a schema may change its type. Then its keys come or go, and it is modified as a whole as well.
    old, new = (value if type(value) is dict else {} for value in (before, after))
    _compare_keys(ANY, old, new, taken, removed)
    return all(type(value) is dict or value is None for value in (before, after))


def _compare_items(node: Array, before: list[Any], after: list[Any], taken: Fields, removed: Fields) -> None:
    old, new = by_element(node, before), by_element(node, after)
    for element, here in new.items():
        there = old.get(element, [])
        if here == there:
            continue
        if len(here) > 1 and len(there) > 1:
            taken[element] = LEAF
        elif len(here) > 1:
            if there:
                removed[element] = added(node.item, there[0])
            taken[element] = LEAF
        elif len(there) > 1:
            taken[element] = added(node.item, here[0])
            removed[element] = LEAF
        else:
            _compare_at(node.item, element, there[0] if there else _ABSENT, here[0], taken, removed)
    for element, there in old.items():
        if element not in new:
            removed[element] = LEAF if len(there) > 1 else added(node.item, there[0])


def by_element(node: Array, items: list[Any]) -> dict[str, list[Any]]:
    """Return path element → items. Several items with one key are invalid in most schemas, but not refused in all."""
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(element_of(node, item), []).append(item)
    return found


def owned(node: SchemaNode, value: Any) -> Fields:
    """Return the fields that a configuration sets.

    These are its leaves (scalars and atomic values), and the list items and map keys on the way to them. The fields of
    structs on the way are not among them: who sets ``.spec.replicas`` does not own ``.spec``.
    """
    return _owned_below(node, value, every=False) or {}


def present(node: SchemaNode, value: Any) -> Fields:
    """Return every field of an object: what ``owned`` returns and also all fields of structs."""
    return _owned_below(node, value, every=True) or {}


def _owned_below(node: SchemaNode, value: Any, *, every: bool) -> Fields | None:
    """Return the set of what is inside a value, None for a value that has no inside (scalars, everything atomic)."""
    if is_atomic(node) or not fits(node, value):
        return None
    if isinstance(node, Array):
        return _owned_items(node, value or [], every=every)
    if isinstance(node, Struct):
        return _owned_keys(value or {}, node, () if every else node.specs, every=every)
    if isinstance(node, Map) or type(value) is dict:
        return _owned_keys(value or {}, node, (), every=every)
    return None


def _owned_keys(value: dict[str, Any], node: SchemaNode, known: Collection[str], *, every: bool) -> Fields:
    # A field in ``known`` (of a struct) is a member only if there is nothing inside it that is. A map's key always is.
    tree: Fields = {}
    for key, child in value.items():
        inside = _owned_below(below(node, key), child, every=every)
        if inside is None or child is None or child == {} or key not in known:
            tree[f"f:{key}"] = member(inside)
        elif inside:
            tree[f"f:{key}"] = inside
    return elements.in_order(tree)


def _owned_items(node: Array, items: list[Any], *, every: bool) -> Fields:
    tree: Fields = {}
    for element, same in by_element(node, items).items():
        tree[element] = LEAF if len(same) > 1 else member(_owned_below(node.item, same[0], every=every))
    return elements.in_order(tree)


def with_fields(node: SchemaNode, fields: Fields) -> Fields:
    """Return the set with the fields of structs that lead to members added.

    Upstream: EnsureNamedFieldsAreMembers.
    """
    tree: Fields = {}
    for element, inside in fields.items():
        if inside:
            field = element[2:] if element[:2] == "f:" else ""
            child = below(node, field) if field else node.item if isinstance(node, Array) else ANY
            inside = with_fields(child, inside)
            if field and isinstance(node, Struct) and field in node.specs:
                inside = {DOT: LEAF, **inside}
        tree[element] = inside
    return tree


def reconciled(node: SchemaNode, fields: Fields) -> Fields:
    """Return a stored set in terms of a schema that has changed since.

    Whoever owned a part of what is now atomic owns the whole. Whoever owned something that is no longer atomic keeps
    owning the field itself. Upstream: typed/reconcile_schema.go.
    """
    tree: Fields = {}
    for element, inside in fields.items():
        if inside:
            child = node.item if isinstance(node, Array) else node.child(element[2:]) if element[:2] == "f:" else None
            if child is not None:
                inside = LEAF if is_atomic(child) else reconciled(child, inside)
        tree[element] = inside
    return fields if tree == fields else tree


def fits(node: SchemaNode, value: Any) -> bool:
    """Return False for anything but a list, or an object, where the schema wants one; null fits everywhere."""
    if isinstance(node, Array):
        return value is None or type(value) is list
    return value is None or type(value) is dict or not isinstance(node, Struct | Map)


def is_atomic(node: SchemaNode) -> bool:
    """Return True if the schema says that a list or object has one owner as a whole. (Scalars need not say so.)"""
    return node.list_type == "atomic" if isinstance(node, Array) else getattr(node, "atomic", False)
