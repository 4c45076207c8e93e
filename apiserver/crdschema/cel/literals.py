"""Check the constants of a typed expression (upstream: cel-go cel/validator.go, ext/formatting.go).

Arguments of duration() and timestamp(), patterns, formats, and that the items of a literal are of one type.
"""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.crdschema import regex
from apiserver.crdschema.cel import conversions, formatting, types
from apiserver.crdschema.cel.ast import Call, Comprehension, Entry, ListNode, Literal, MapNode, Node, Select
from apiserver.crdschema.cel.checker import Checked
from apiserver.crdschema.cel.source import Source
from apiserver.crdschema.cel.types import Type
from apiserver.crdschema.cel.values import EvaluationError

Parents = Mapping[Node, Node | None]


def descendants(root: Node) -> Parents:
    """Return the node that each node of a tree is part of; these come before their parts."""
    found: dict[Node, Node | None] = {}
    waiting: list[tuple[Node, Node | None]] = [(root, None)]
    while waiting:
        node, parent = waiting.pop()
        if node not in found:
            found[node] = parent
            waiting += [(child, node) for child in reversed(children(node))]
    return found


def children(node: Node) -> list[Node]:
    """Return the nodes directly inside a node."""
    match node:
        case Call():
            return node.args if node.target is None else [node.target, *node.args]
        case Select():
            return [node.operand]
        case ListNode():
            return node.elements
        case MapNode():
            return list(node.entries)
        case Entry():
            return [node.key, node.value]
        case Comprehension():
            parts = (node.range, node.init, node.condition, node.step, node.result)
            return [part for part in parts if part is not None]
    return []


def check_literals(parents: Parents, source: Source, checked: Checked) -> None:
    """Report the constants that cannot be right, in a tree whose nodes and their parents are given."""
    calls = [node for node in parents if isinstance(node, Call)]
    for function in ("duration", "timestamp", "matches"):
        for call in calls:
            argument = call.args[0] if call.function == function and call.args else None
            if isinstance(argument, Literal) and not _valid(function, argument):
                source.report(argument.offset, f"invalid {function} argument")
    for node in parents:
        if isinstance(node, ListNode) and not _in_format(node, parents):
            _check_list(node, source, checked)
    for node in parents:
        if isinstance(node, MapNode) and not _in_format(node, parents):
            _check_map(node, source, checked)
    for call in calls:
        if call.function == "format" and isinstance(call.target, Literal) and len(call.args) == 1:
            _check_format(call, str(call.target.value), source, checked)


def _valid(function: str, literal: Literal) -> bool:
    value = literal.value
    if function == "matches":
        return not isinstance(value, str) or not regex.problem(value)
    convert = {"duration": conversions.to_duration, "timestamp": conversions.to_timestamp}[function]
    try:
        convert(value)
    except EvaluationError:
        return False
    return True


def _in_format(node: Node, parents: Parents) -> bool:
    parent = parents[node]
    while isinstance(parent, (ListNode, MapNode, Entry)):
        parent = parents[parent]
    return isinstance(parent, Call) and parent.function == "format"


def _check_list(node: ListNode, source: Source, checked: Checked) -> None:
    wanted: Type | None = None
    for index, element in enumerate(node.elements):
        found = checked.types[element]
        if index in node.optional and found.params:
            found = found.params[0]
        if wanted is None:
            wanted = found
        elif found != wanted:
            source.report(element.offset, f"expected type '{wanted}' but found '{found}'")
            return


def _check_map(node: MapNode, source: Source, checked: Checked) -> None:
    if not node.entries:
        return
    wanted_key, wanted_value = checked.types[node.entries[0].key], _value_type(node.entries[0], checked)
    for entry in node.entries[1:]:
        key, value = checked.types[entry.key], _value_type(entry, checked)
        if key != wanted_key:
            source.report(entry.key.offset, f"expected type '{wanted_key}' but found '{key}'")
        if value != wanted_value:
            source.report(entry.value.offset, f"expected type '{wanted_value}' but found '{value}'")


def _value_type(entry: Entry, checked: Checked) -> Type:
    kind = checked.types[entry.value]
    return kind.params[0] if entry.optional and types.is_optional(kind) and kind.params else kind


def _check_format(call: Call, text: str, source: Source, checked: Checked) -> None:
    [arguments] = call.args
    if not isinstance(arguments, ListNode):
        return
    assert call.target is not None
    try:
        clauses = formatting.clauses(text)
    except EvaluationError as error:
        source.report(call.target.offset, str(error))
        return
    elements = arguments.elements
    for index, clause in enumerate(clauses):
        if index >= len(elements):
            source.report(call.target.offset, f"index {index} out of range")
            return
        kind = checked.types[elements[index]]
        if why := formatting.misfit(clause, kind):
            source.report(elements[index].offset, why)
    if len(elements) > len(clauses):
        why = f"too many arguments supplied to string.format (expected {len(clauses)}, got {len(elements)})"
        source.report(call.offset, why)
