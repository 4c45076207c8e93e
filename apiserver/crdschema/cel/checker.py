"""Find the types of an expression, and what is wrong with them (upstream: cel-go checker/checker.go)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as made
from typing import Protocol

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.ast import (
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    Struct,
    qualified_name,
)
from apiserver.crdschema.cel.declarations import Function, Overload
from apiserver.crdschema.cel.source import NOWHERE, Source
from apiserver.crdschema.cel.types import BOOL, DYN, ERROR, INT, STRING, Type

_LITERALS = {"bool", "int", "uint", "double", "string", "bytes", "null"}


class Fields(Protocol):
    """What is known of objects: the type of each field."""

    def field_type(self, name: str, field: str) -> Type | None:
        """Return the type of a field of the object type ``name``, None if it has no such field."""


@dataclass(slots=True)
class Checked:
    """What the checker found out. Nodes are keys by their identity, as a macro may use one node twice."""

    types: dict[Node, Type] = made(default_factory=dict)
    # The overloads that a call may turn out to be, in the order of their declaration.
    overloads: dict[Node, list[Overload]] = made(default_factory=dict)
    # The names of variables and types that identifiers and selections stand for.
    references: dict[Node, str] = made(default_factory=dict)
    # Calls whose target is the first part of the function's name, as in ``optional.of(x)``.
    qualified: dict[Node, str] = made(default_factory=dict)


def check(
    node: Node, source: Source, variables: Mapping[str, Type], functions: Mapping[str, Function], fields: Fields
) -> Checked:
    """Return the types of an expression; faults are reported to ``source``."""
    checker = _Checker(source, variables, functions, fields)
    try:
        checker.check(node)
    except RecursionError:
        source.report(NOWHERE, "expression recursion limit exceeded: 250")
    found = checker.found
    for each, kind in found.types.items():
        found.types[each] = checker.substitutions.apply(kind, to_dyn=True)
    return found


class _Checker:
    def __init__(
        self, source: Source, variables: Mapping[str, Type], functions: Mapping[str, Function], fields: Fields
    ) -> None:
        self.found = Checked()
        self.substitutions = types.Substitutions()
        self._source = source
        self._scopes: list[Mapping[str, Type]] = [variables]
        self._functions = functions
        self._fields = fields

    def check(self, node: Node) -> Type:
        """Return the type of a node, and remember it."""
        kind = self.found.types.get(node)
        if kind is None:
            match node:
                case Literal():
                    kind = Type(node.kind)
                case Call():
                    kind = self._call(node)
                case Ident():
                    kind = self._ident(node)
                case Select():
                    kind = self._select(node)
                case ListNode():
                    kind = self._list(node)
                case MapNode():
                    kind = self._map(node)
                case Comprehension():
                    kind = self._comprehension(node)
                case Struct():
                    kind = self._undeclared(node, node.name)
                case _:
                    raise AssertionError(node)
            self.found.types[node] = kind
        return kind

    def _undeclared(self, node: Node, name: str) -> Type:
        self._source.report(node.offset, f"undeclared reference to '{name}' (in container '')")
        return ERROR

    def _lookup(self, name: str) -> Type | None:
        name = name.removeprefix(".")
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return _TYPE_NAMES.get(name)

    def _ident(self, node: Ident) -> Type:
        found = self._lookup(node.name)
        if found is None:
            return self._undeclared(node, node.name)
        self.found.references[node] = node.name.removeprefix(".")
        return found

    def _select(self, node: Select) -> Type:
        name = "" if node.test else qualified_name(node)
        if name and (found := self._lookup(name)) is not None:
            self.found.references[node] = name.removeprefix(".")
            return found
        kind = self._field(node, node.operand, node.field)
        return BOOL if node.test else self.substitutions.apply(kind)

    def _field(self, node: Node, operand: Node, name: str, *, optional: bool = False) -> Type:
        kind = self.substitutions.apply(self.check(operand))
        was_optional = types.is_optional(kind)
        target = kind.params[0] if was_optional and kind.params else kind
        if was_optional:
            target = self.substitutions.apply(target)
        match target.kind:
            case "map":
                result = target.params[1]
            case "object":
                result = self._fields.field_type(target.name, name) or ERROR
                if result is ERROR:
                    self._source.report(node.offset, f"undefined field '{name}'")
            case "param":
                self.substitutions.assign(DYN, target)
                result = DYN
            case _:
                if not types.is_dynamic(target):
                    self._source.report(node.offset, f"type '{target}' does not support field selection")
                result = DYN if types.is_dynamic(target) else ERROR
        return types.optional_of(result) if was_optional or optional else result

    def _call(self, node: Call) -> Type:
        if node.function == "_?._":
            field = node.args[1]
            assert isinstance(field, Literal)
            # Upstream reports an undefined field at the operator.
            result = self._field(node, node.args[0], str(field.value), optional=True)
            self.found.types[field] = STRING
            return self.substitutions.apply(result)
        for argument in node.args:
            self.check(argument)
        if node.target is None:
            function = self._functions.get(node.function.removeprefix("."))
            if function is None:
                return self._undeclared(node, node.function)
            return self._resolved(node, function, None)
        prefix = qualified_name(node.target)
        name = f"{prefix}.{node.function}".removeprefix(".")
        if prefix and (function := self._functions.get(name)) is not None:
            self.found.qualified[node] = name
            return self._resolved(node, function, None)
        self.check(node.target)
        function = self._functions.get(node.function)
        if function is None:
            return self._undeclared(node, node.function)
        return self._resolved(node, function, node.target)

    def _resolved(self, node: Call, function: Function, target: Node | None) -> Type:
        """Find the overloads that a call may be, and return the type of its result."""
        arguments = [self.found.types[each] for each in ((target, *node.args) if target is not None else node.args)]
        chosen: list[Overload] = []
        result: Type | None = None
        for each in function.overloads:
            if each.member != (target is not None) or len(each.params) != len(arguments):
                continue
            names = {letter: self.substitutions.fresh() for letter in each.letters}
            wanted = [types.renamed(kind, names) for kind in each.params] if names else list(each.params)
            if not self.substitutions.assign_all(arguments, wanted):
                continue
            chosen.append(each)
            its = self.substitutions.apply(types.renamed(each.result, names) if names else each.result)
            if result is None:
                result = its
            elif result != DYN and its != result:
                result = DYN
        if result is None:
            shown = [str(self.substitutions.apply(kind, to_dyn=True)) for kind in arguments]
            signature = f"{shown[0]}.({', '.join(shown[1:])})" if target is not None else f"({', '.join(shown)})"
            name = self.found.qualified.get(node, node.function.removeprefix("."))
            self._source.report(node.offset, f"found no matching overload for '{name}' applied to '{signature}'")
            return ERROR
        self.found.overloads[node] = chosen
        return result

    def _mismatch(self, node: Node, wanted: Type, found: Type) -> None:
        shown, its = (self.substitutions.apply(kind, to_dyn=True) for kind in (wanted, found))
        self._source.report(node.offset, f"expected type '{shown}' but found '{its}'")

    def _join(self, previous: Type | None, current: Type) -> Type:
        """Return the common type of the items of a literal. That they are of one type is checked in literals.py."""
        return self.substitutions.joined(previous, current) or DYN

    def _unwrapped(self, node: Node, kind: Type, *, optional: bool) -> Type:
        if not optional:
            return kind
        inner = self.substitutions.apply(kind)
        if types.is_optional(inner) and inner.params:
            return inner.params[0]
        if not types.is_dynamic(inner):
            self._mismatch(node, types.optional_of(kind), kind)
        return DYN

    def _list(self, node: ListNode) -> Type:
        joined: Type | None = None
        for index, element in enumerate(node.elements):
            kind = self._unwrapped(element, self.check(element), optional=index in node.optional)
            joined = self._join(joined, kind)
        return types.list_of(joined or self.substitutions.fresh())

    def _map(self, node: MapNode) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            key = self._join(key, self.check(entry.key))
            kind = self._unwrapped(entry.value, self.check(entry.value), optional=entry.optional)
            value = self._join(value, kind)
        return types.map_of(key or self.substitutions.fresh(), value or self.substitutions.fresh())

    def _comprehension(self, node: Comprehension) -> Type:
        item = DYN
        if node.range is not None:
            self.check(node.range)
        accumulator = self.check(node.init)
        if node.range is not None:
            item = self._item(node.range)
        self._scopes.append({node.accumulator: accumulator})
        self._scopes.append({node.variable: item})
        if node.condition is not None:
            self._assert(node.condition, BOOL)
        self._assert(node.step, accumulator)
        self._scopes.pop()
        result = self.check(node.result)
        self._scopes.pop()
        return self.substitutions.apply(result)

    def _item(self, node: Node) -> Type:
        """Return the type of what a comprehension goes through: the items of a list, or the keys of a map."""
        kind = self.substitutions.apply(self.found.types[node])
        match kind.kind:
            case "list" | "map":
                return kind.params[0]
            case "dyn" | "error" | "param":
                self.substitutions.assign(DYN, kind)
                return DYN
        why = f"expression of type '{kind}' cannot be range of a comprehension (must be list, map, or dynamic)"
        self._source.report(node.offset, why)
        return ERROR

    def _assert(self, node: Node, wanted: Type) -> None:
        found = self.check(node)
        if not self.substitutions.assign(wanted, found):
            self._mismatch(node, wanted, found)


_TYPE_NAMES = {
    name: types.type_of(kind)
    for name, kind in {
        "bool": BOOL,
        "int": INT,
        "uint": types.UINT,
        "double": types.DOUBLE,
        "string": STRING,
        "bytes": types.BYTES,
        "null_type": types.NULL,
        "list": types.list_of(DYN),
        "map": types.map_of(DYN, DYN),
        "type": types.type_of(DYN),
        "google.protobuf.Timestamp": types.TIMESTAMP,
        "google.protobuf.Duration": types.DURATION,
        "optional_type": types.optional_of(DYN),
        "net.IP": types.opaque("net.IP"),
        "net.CIDR": types.opaque("net.CIDR"),
        "kubernetes.URL": types.object_type("kubernetes.URL"),
        "kubernetes.Quantity": types.object_type("kubernetes.Quantity"),
    }.items()
}


def type_value(name: str) -> Type | None:
    """Return the type that a name stands for as a value, None if it names none."""
    found = _TYPE_NAMES.get(name)
    return found.params[0] if found is not None else None
