"""The tree that an expression is parsed to. Macros such as ``all`` are expanded to comprehensions (``macros.py``)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Node:
    """A part of an expression; ``offset`` is its place in the text, in characters."""

    offset: int


@dataclass(eq=False, slots=True)
class Literal(Node):
    value: object
    kind: str


@dataclass(eq=False, slots=True)
class Ident(Node):
    name: str


@dataclass(eq=False, slots=True)
class Select(Node):
    """``operand.field``, or has(operand.field) if it is a test."""

    operand: Node
    field: str
    test: bool = False


@dataclass(eq=False, slots=True)
class Call(Node):
    """A call of a function or operator, of a ``target`` if it is a member call."""

    function: str
    target: Node | None
    args: list[Node]


@dataclass(eq=False, slots=True)
class ListNode(Node):
    elements: list[Node]
    optional: frozenset[int] = frozenset()


@dataclass(eq=False, slots=True)
class Entry(Node):
    key: Node
    value: Node
    optional: bool = False


@dataclass(eq=False, slots=True)
class MapNode(Node):
    entries: list[Entry] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Struct(Node):
    """A message literal, such as ``google.protobuf.Timestamp{seconds: 1}``. None can be made in Kubernetes."""

    name: str


@dataclass(eq=False, slots=True)
class Comprehension(Node):
    """A loop over ``range``: ``accumulator`` begins as ``init`` and becomes ``step`` in each round.

    ``condition`` is None where upstream has ``true``. A binding (of optMap) has the range None: it only names ``init``.
    """

    range: Node | None
    variable: str
    accumulator: str
    init: Node
    condition: Node | None
    step: Node
    result: Node


def qualified_name(node: Node) -> str:
    """Return ``a.b.c`` for identifiers and selections of them, else ""."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test:
        prefix = qualified_name(node.operand)
        return f"{prefix}.{node.field}" if prefix else ""
    return ""
