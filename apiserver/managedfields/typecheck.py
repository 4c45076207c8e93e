"""Check a configuration against the schema (upstream: structured-merge-diff, typed/validate.go).

A configuration is only a part of an object, so required fields may be missing. But unlike other bodies it may not have
fields that the schema does not know: nobody could own them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.managedfields import elements
from apiserver.managedfields.walks import below
from apiserver.schema.tree import Array, Map, SchemaNode, Struct
from machinery.goformat import go_syntax, go_value


def problems(node: SchemaNode, value: Any) -> str:
    """Return upstream's message about everything that does not fit, "" if all does."""
    found = [f"{path}: {why}" if path else why for path, why in _problems(node, value)]
    return "\n  ".join(["errors:", *found]) if len(found) > 1 else "".join(found)


_Problems = Iterator[tuple[str, str]]


def _problems(node: SchemaNode, value: Any) -> _Problems:
    if value is None:
        return
    if isinstance(node, Array):
        yield from _item_problems(node, value)
    elif isinstance(node, Struct | Map):
        yield from _key_problems(node, value)
    elif node.wanted in _SCALARS:
        wanted, types = _SCALARS[node.wanted]
        if type(value) not in types:
            yield "", f"expected {wanted}, got {_shown(node.wanted, value)}"


# A node's ``wanted`` → what upstream calls this type, and the types that fit. Nodes of other types accept anything.
_SCALARS: dict[type, tuple[str, tuple[type, ...]]] = {
    str: ("string", (str,)),
    bool: ("boolean", (bool,)),
    int: ("numeric (int or float)", (int, float)),
    float: ("numeric (int or float)", (int, float)),
}
_GO_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64"}


def _shown(wanted: type, value: Any) -> str:
    # Upstream prints the value with %v, of Go types that differ from case to case.
    if wanted is str:
        return f"&value.valueUnstructured{{Value:{go_syntax(value)}}}"
    if wanted is bool:
        return f"&{{{go_value(value)}}}"
    return _GO_TYPES.get(type(value), "[]interface {}" if isinstance(value, list) else "map[string]interface {}")


def _item_problems(node: Array, value: Any) -> _Problems:
    if type(value) is not list:
        yield "", f"expected list, got &{{{go_value(value)}}}"
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        element = f"i:{index}"
        if node.list_type != "atomic":
            try:
                element = elements.of_item(node, item)
            except elements.MissingKeyError as error:
                yield "", f"element {index}: {error}"
                return
            if element in seen:
                yield "", f"duplicate entries for key {elements.describe(element)}"
            seen.add(element)
        yield from _inside(element, node.item, item)


def _key_problems(node: Struct | Map, value: Any) -> _Problems:
    if type(value) is not dict:
        yield "", f"expected map, got &{{{go_value(value)}}}"
        return
    for key, child in value.items():
        if node.child(key) is None:
            yield f".{key}", "field not declared in schema"
            return
        yield from _inside(f"f:{key}", below(node, key), child)


def _inside(element: str, node: SchemaNode, value: Any) -> _Problems:
    for path, why in _problems(node, value):
        yield elements.describe(element) + path, why
