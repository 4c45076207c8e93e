"""Sets of fields, as tries of path elements. A set is kept in the form in which it is stored and sent, FieldsV1.

``{"f:spec": {"f:ports": {".": {}, "v:80": {}}}}`` is the set of ``.spec.ports`` and ``.spec.ports[=80]``. An element
with nothing below it is a member of the set; an element with something below it is a member only if "." is there too.
So ``.spec`` is not a member here. The empty trie, as a whole, is the empty set. Elements are in upstream's order.

Tries are immutable: operations share what they can, copy along the paths that differ, and return their argument itself
if nothing does. Upstream: structured-merge-diff, fieldpath/set.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apiserver.managedfields import elements
from machinery.goformat import go_value

Fields = dict[str, Any]

# A member with nothing below it. All tries share this one.
LEAF: Fields = {}
DOT = "."


def is_member(node: Fields) -> bool:
    """Return True if the element with this node is itself in the set, and does not only lead to members below it."""
    return not node or DOT in node


def member(below: Fields | None) -> Fields:
    """Return the node of a member that has these elements below it."""
    return {DOT: LEAF, **below} if below else LEAF


def union(left: Fields, right: Fields) -> Fields:
    """Return the members of either set."""
    if not left or not right:
        return left or right
    united = dict(left)
    for element, there in right.items():
        here = left.get(element)
        united[element] = there if here is None else _union_at(here, there)
    return elements.in_order(united) if len(united) > len(left) else united


def _union_at(left: Fields, right: Fields) -> Fields:
    if left is right:
        return left
    if left and right:
        return union(left, right)
    node = left or right
    return node if is_member(node) else member(node)


def intersection(left: Fields, right: Fields) -> Fields:
    """Return the members of both sets."""
    common: Fields = {}
    for element, here in left.items():
        there = right.get(element)
        if there is None:
            continue
        if here and there:
            below = intersection(here, there)
            if below:
                common[element] = _tidy(below)
        elif is_member(here) and is_member(there):
            common[element] = LEAF
    return common


def difference(left: Fields, right: Fields) -> Fields:
    """Return the members of ``left`` that are not in ``right``; ``left`` itself if that is all of them."""
    rest: Fields = {}
    changed = False
    for element, here in left.items():
        there = right.get(element)
        node: Fields | None = here if there is None else _difference_at(here, there)
        changed = changed or node is not here
        if node is not None:
            rest[element] = node
    return rest if changed else left


def _difference_at(left: Fields, right: Fields) -> Fields | None:
    if not left:
        return None if is_member(right) else left
    rest = difference(left, right or {DOT: LEAF})
    return _tidy(rest) if rest else None


def without(left: Fields, right: Mapping[str, Any]) -> Fields:
    """Return ``left`` without the members of ``right`` and everything below them (upstream: RecursiveDifference)."""
    rest: Fields = {}
    for element, here in left.items():
        there = right.get(element)
        if there is None or (not here and not is_member(there)):
            rest[element] = here
        elif not is_member(there) and (below := without(here, there)):
            rest[element] = _tidy(below)
    return rest


def _tidy(node: Fields) -> Fields:
    """Return LEAF for a node of nothing but ".", so that equal sets are equal tries."""
    return LEAF if len(node) == 1 and DOT in node else node


def has(fields: Fields, path: tuple[str, ...]) -> bool:
    """Return True if the field at a path of elements is in the set."""
    for element in path:
        node = fields.get(element)
        if node is None:
            return False
        fields = node
    return is_member(fields)


def paths(fields: Fields) -> Iterator[str]:
    """Yield every member as messages show it, ``.spec.containers[name="sise"].image``, in upstream's order."""
    for element, below in fields.items():
        if element != DOT and is_member(below):
            yield elements.describe(element)
    for element, below in fields.items():
        if below:
            before = elements.describe(element)
            yield from (before + path for path in paths(below))


def parse(value: Any) -> Fields:
    """Return a FieldsV1 that a client sent as a trie in order; raises ValueError if it is malformed."""
    if not isinstance(value, dict):
        raise ValueError(f"FieldsV1 must be an object, not {go_value(value)}")
    parsed: Fields = {}
    for element, below in value.items():
        if element == DOT:
            parsed[DOT] = LEAF
        elif known := elements.canonical(element):
            parsed[known] = _tidy(parse(below))
    return elements.in_order(parsed)
