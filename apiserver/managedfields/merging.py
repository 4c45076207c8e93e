"""Merge a configuration into an object, and remove a set of fields from an object.

Nothing is changed in place, because arguments may belong to the watch cache; results share parts with them.
Upstream: structured-merge-diff, typed/merge.go and remove.go.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from apiserver.managedfields.fieldset import Fields, is_member
from apiserver.managedfields.walks import below, by_element, element_of, fits, is_atomic
from apiserver.schema.tree import Array, SchemaNode


def merge(node: SchemaNode, live: Any, config: Any) -> Any:
    """Return ``live`` with the fields of ``config`` set; lists of type ``set`` and ``map`` are merged item by item.

    A null in ``config`` replaces a scalar or atomic value, and leaves an object or list that can be merged as it is.
    """
    if is_atomic(node) or not fits(node, live):
        return config
    if isinstance(node, Array):
        return _merge_items(node, live, config) if live and config else live or config
    if type(live) is not dict:
        return config
    if config is None or config == {}:
        return live or config
    if type(config) is not dict:
        return config
    merged = dict(live)
    for key, value in config.items():
        merged[key] = merge(below(node, key), live[key], value) if key in live else value
    return merged


def _merge_items(node: Array, live: list[Any], config: list[Any]) -> list[Any]:
    """Return the items of both lists: those of ``config`` in its order, the others near where they were in ``live``.

    The two lists are walked in parallel, as by upstream's merge of lists. An item that only ``live`` has is taken when
    it is reached there. Items of both are taken in the order of ``config``; ``shared`` holds those that are still to
    come, and while the next of them is not the current one of ``live``, that one is passed over.
    """
    mine = [element_of(node, item) for item in live]
    theirs = [element_of(node, item) for item in config]
    wanted = dict(zip(theirs, config, strict=True))
    # Where several items have one key, it is undefined which one to merge with, so that none is.
    base = {element: same[0] for element, same in by_element(node, live).items() if len(same) == 1}
    live_elements = set(mine)
    shared = deque(element for element in wanted if element in live_elements)
    merged: list[Any] = []
    done: set[str] = set()

    def take(element: str) -> None:
        merged.append(merge(node.item, base[element], wanted[element]) if element in base else wanted[element])
        done.add(element)
        if shared and shared[0] == element:
            shared.popleft()

    left = right = 0
    while left < len(mine) or right < len(theirs):
        if left < len(mine):
            element = mine[left]
            if element not in wanted:
                merged.append(live[left])
                left += 1
                continue
            if right < len(theirs) and shared and shared[0] != element:
                left += 1  # it is taken in the order of the configuration
                continue
            if element in done or element == theirs[right]:
                left += 1
        if right < len(theirs):
            take(theirs[right])
            right += 1
    return merged


def remove(node: SchemaNode, value: Any, fields: Fields) -> Any:
    """Return the value without the members of a set; a list or object that loses everything becomes None."""
    if is_atomic(node):
        return None
    if type(value) is list:
        return (_remove_items(node, value, fields) or None) if isinstance(node, Array) else None
    if type(value) is not dict:
        return value
    kept = {}
    for key, child in value.items():
        at = fields.get(f"f:{key}")
        if at is None:
            kept[key] = child
        elif not is_member(at):
            kept[key] = remove(below(node, key), child, at)
    return kept or None


def _remove_items(node: Array, items: list[Any], fields: Fields) -> list[Any]:
    kept = []
    for item in items:
        at = fields.get(element_of(node, item))
        if at is None:
            kept.append(item)
        elif not is_member(at):
            kept.append(remove(node.item, item, at))
    return kept
