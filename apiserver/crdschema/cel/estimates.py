"""Estimate what an expression costs at most, from the sizes that its values can have.

A unit is about one step of evaluation. Upstream: cel-go v0.22 checker/cost.go, and for the libraries apiserver
pkg/cel/library/cost.go. The figures are part of the API: they decide which definitions are accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.ast import Call, Comprehension, Ident, ListNode, Literal, MapNode, Node, Select
from apiserver.crdschema.cel.checker import Checked
from apiserver.crdschema.cel.types import Type

MOST = 2**64 - 1
# What charges a character of a text that is gone through, or of a pattern.
TRAVERSAL, PATTERN = 0.1, 0.25
LIST_COST, MAP_COST = 10, 30
_FORMAT_PATTERN_SIZE = 128
_FORMAT_SIZE = 64
Path = tuple[str, ...]
# Returns the greatest size of the value at a path (a variable, then fields, @items, @keys and @values).
SizeOf = Callable[[Path], int | None]


class Range(NamedTuple):
    """A cost or size: at least ``low``, at most ``high``."""

    low: int
    high: int

    def __add__(self, other: Range) -> Range:  # type: ignore[override]
        high = self[1] + other[1]
        return Range(self[0] + other[0], high) if high < MOST else Range(min(MOST, self[0] + other[0]), MOST)

    def __mul__(self, other: Range) -> Range:  # type: ignore[override]
        return Range(min(MOST, self.low * other.low), min(MOST, self.high * other.high))

    def times(self, factor: float) -> Range:
        """Return the range multiplied, rounded up."""
        return Range(_times(self.low, factor), _times(self.high, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))


def _times(value: int, factor: float) -> int:
    result = math.ceil(float(value) * factor)
    return min(MOST, result)


ZERO, ONE, ANY = Range(0, 0), Range(1, 1), Range(0, MOST)


class _Sized(NamedTuple):
    """A node with what sizes are estimated by."""

    node: Node | None
    type: Type
    path: Path
    computed: Range | None


class _Estimate(NamedTuple):
    """The cost of a call without that of its arguments, and the size of its result."""

    cost: Range
    size: Range | None = None


def estimate(root: Node, checked: Checked, size_of: SizeOf) -> int:
    """Return the greatest cost of an expression, which is at most 2^64-1."""
    return _Estimator(checked, size_of).cost(root).high


class _Estimator:
    def __init__(self, checked: Checked, size_of: SizeOf) -> None:
        self._checked = checked
        self._size_of = size_of
        self._paths: dict[Node, Path] = {}
        self._sizes: dict[Node, Range] = {}
        self._costs: dict[Node, Range] = {}
        self._variables: dict[str, list[Path]] = {}

    def cost(self, node: Node) -> Range:
        """Return the cost of a node, with that of all nodes in it."""
        # A macro may use a node twice, so that without this the time would double with each macro around another.
        found = self._costs.get(node)
        if found is None:
            match node:
                case Call():
                    found = self._call(node)
                case Ident():
                    scopes = self._variables.get(node.name)
                    self._paths[node] = scopes[-1] if scopes else (node.name.removeprefix("."),)
                    found = ONE
                case Select():
                    found = self._select(node)
                case ListNode():
                    found = sum(map(self.cost, node.elements), Range(LIST_COST, LIST_COST))
                case MapNode():
                    found = Range(MAP_COST, MAP_COST)
                    for entry in node.entries:
                        found = found + self.cost(entry.key) + self.cost(entry.value)
                case Comprehension():
                    found = self._comprehension(node)
                case _:
                    found = ZERO
            self._costs[node] = found
        return found

    def _select(self, node: Select) -> Range:
        if node in self._checked.references:
            self._paths[node] = (self._checked.references[node],)
            return ONE
        total = self.cost(node.operand)
        if node.test:
            return total
        if self._checked.types[node.operand].kind in ("map", "object", "param", "dyn"):
            total = total + (ONE if self._checked.types[node.operand].kind != "dyn" else ZERO)
        self._paths[node] = (*self._paths.get(node.operand, ()), node.field)
        return total

    def _comprehension(self, node: Comprehension) -> Range:
        total = ZERO
        if node.range is not None:
            total = self.cost(node.range)
        total = total + self.cost(node.init)
        if node.range is None:
            path, name = self._paths.get(node.init, ()), node.accumulator
            self._variables.setdefault(name, []).append(path)
            total = total + self.cost(node.result)
            self._variables[name].pop()
            return total
        part = "@keys" if self._checked.types[node.range].kind == "map" else "@items"
        scopes = self._variables.setdefault(node.variable, [])
        scopes.append((*self._paths.get(node.range, ()), part))
        loop = ZERO if node.condition is None else self.cost(node.condition)
        step = self.cost(node.step)
        scopes.pop()
        count = self._sizes[node] = self._size(self._sized(node.range))
        return total + self.cost(node.result) + count * (step + loop)

    def _sized(self, node: Node) -> _Sized:
        return _Sized(node, self._checked.types[node], self._paths.get(node, ()), self._sizes.get(node))

    def _known_size(self, sized: _Sized) -> Range | None:
        if sized.computed is not None:
            return sized.computed
        match sized.node:
            case Literal():
                length = _literal_size(sized.node)
                return Range(length, length)
            case ListNode():
                return Range(len(sized.node.elements), len(sized.node.elements))
            case MapNode():
                return Range(len(sized.node.entries), len(sized.node.entries))
        found = self._size_of(sized.path) if sized.path else None
        return None if found is None else Range(0, found)

    def _size(self, sized: _Sized) -> Range:
        """Return the size of a value as the language's own functions see it."""
        known = self._known_size(sized)
        if known is None:
            return ONE if sized.type.kind in types.SCALARS else ANY
        return known

    def _library_size(self, sized: _Sized) -> Range:
        return self._known_size(sized) or ANY

    def _element(self, sized: _Sized) -> _Sized | None:
        """Return the elements of a list (or the keys of a map, as upstream), None for a type without parameters."""
        if not sized.type.params:
            return None
        return _Sized(None, sized.type.params[0], (*sized.path, "@items") if sized.path else (), None)

    def _call(self, node: Call) -> Range:
        if node.function in ("_&&_", "_||_"):
            left, right = node.args
            first = self.cost(left)
            return Range(first.low, (first + self.cost(right)).high)
        arguments = ZERO
        costs = []
        for argument in node.args:
            costs.append(self.cost(argument))
            arguments = arguments + costs[-1]
        if node.function == "_?._":
            return arguments + ONE
        sized = [self._sized(argument) for argument in node.args]
        name = self._checked.qualified.get(node, node.function.removeprefix("."))
        target: _Sized | None = None
        total = ZERO
        if node.target is not None and node not in self._checked.qualified:
            total = self.cost(node.target)
            target = self._sized(node.target)
        best = Range(MOST, 0)
        size: Range | None = None
        for overload in self._checked.overloads.get(node, ()):
            if overload.id == "conditional":
                best = best.union(costs[0] + costs[1].union(costs[2]))
                size = self._size(sized[1]).union(self._size(sized[2]))
                continue
            found = self._function(name, overload.id, target, sized)
            best = best.union(found.cost + arguments)
            if found.size is not None:
                size = found.size if size is None else size.union(found.size)
            if overload.id in ("index_list", "index_map"):
                part = "@items" if overload.id == "index_list" else "@values"
                self._paths[node] = (*self._paths.get(node.args[0], ()), part)
        if size is not None:
            self._sizes[node] = size
        return total + best

    def _function(self, name: str, identity: str, target: _Sized | None, args: list[_Sized]) -> _Estimate:
        found = self._library(name, identity, target, args)
        if found is None:
            found = self._standard(identity, target, args)
        return found or _Estimate(ONE)

    def _library(self, name: str, identity: str, target: _Sized | None, args: list[_Sized]) -> _Estimate | None:
        size = self._library_size
        match name:
            case "sets.contains" | "sets.intersects" | "sets.equivalent":
                factor = 2 if name == "sets.equivalent" else 1
                return _Estimate((size(args[0]) * size(args[1])).times(factor) + ONE)
            case "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" if target is not None:
                return self._of_list(target)
            case "url":
                return _Estimate(size(args[0]).times(TRAVERSAL), size(args[0]))
            case "quantity" | "isQuantity" | "cidr" | "isIP" | "isCIDR":
                return _Estimate(size(args[0]).times(TRAVERSAL))
            case "ip" if args:
                return _Estimate(size(args[0]).times(TRAVERSAL))
            case "ip.isCanonical":
                return _Estimate(size(args[0]).times(2 * TRAVERSAL))
            case "lowerAscii" | "upperAscii" | "substring" | "trim" if target is not None:
                return _Estimate(size(target).times(TRAVERSAL), size(target))
            case "replace" if target is not None and len(args) >= 2:
                sized = _replaced(size(target), size(args[0]), size(args[1]))
                return _Estimate(size(target).times(2 * TRAVERSAL), sized)
            case "split" if target is not None:
                return _Estimate(size(target).times(2 * TRAVERSAL), Range(0, _limit(args, size(target).high)))
            case "join" if target is not None:
                return self._join(target, args)
            case "find" | "findAll" if target is not None and args:
                text = (size(target) + ONE).times(TRAVERSAL)
                return _Estimate(text * size(args[0]).times(PATTERN), Range(0, size(target).high))
            case "containsIP" | "containsCIDR" if target is not None and args:
                return self._contains(name, identity, args[0])
            case "validate" if target is not None:
                cost = size(args[0]).times(TRAVERSAL).times(_FORMAT_PATTERN_SIZE * PATTERN)
                return _Estimate(cost)
            case "_==_":
                return _opaque_equality(args)
        return None

    def _of_list(self, target: _Sized) -> _Estimate:
        element = self._element(target)
        if element is None:
            return _Estimate(self._library_size(target).times(TRAVERSAL))
        cost = ONE
        if element.type.kind in ("string", "bytes"):
            cost = cost + self._library_size(element).times(TRAVERSAL)
        return _Estimate(self._library_size(target) * cost)

    def _join(self, target: _Sized, args: list[_Sized]) -> _Estimate:
        count, element = self._library_size(target), self._element(target)
        size = ZERO if element is None else count * self._library_size(element)
        if args:
            size = size + self._library_size(args[0]) * Range(max(0, count.low - 1), max(0, count.high - 1))
        return _Estimate(size.times(TRAVERSAL), size)

    def _contains(self, name: str, identity: str, other: _Sized) -> _Estimate:
        address = Range(4, 16)
        cost = (address + address).times(TRAVERSAL)
        if name == "containsCIDR":
            cost = cost + address.times(TRAVERSAL) + ONE
        if identity.endswith("_string"):
            cost = cost + self._library_size(other).times(TRAVERSAL)
        return _Estimate(cost)

    def _standard(self, identity: str, target: _Sized | None, args: list[_Sized]) -> _Estimate | None:
        size = self._size
        match identity:
            case "string_format" if target is not None:
                return _Estimate(size(target).times(TRAVERSAL))
            case "string_to_bytes":
                sized = size(args[0])
                return _Estimate(sized.times(TRAVERSAL), Range(sized.low, min(MOST, sized.high * 4)))
            case "bytes_to_string":
                sized = size(args[0])
                return _Estimate(sized.times(TRAVERSAL), Range(sized.low // 4, sized.high))
            case "strings_quote":
                sized = size(args[0])
                return _Estimate(sized.times(TRAVERSAL), Range(sized.low + 2, min(MOST, sized.high * 2 + 2)))
            case "starts_with_string" | "ends_with_string":
                return _Estimate(size(args[0]).times(TRAVERSAL))
            case "in_list":
                return _Estimate(size(args[1]))
            case "matches_string" if target is not None:
                return _Estimate((size(target) + ONE).times(TRAVERSAL) * size(args[0]).times(PATTERN))
            case "contains_string" if target is not None:
                return _Estimate(size(target).times(TRAVERSAL) * size(args[0]).times(TRAVERSAL))
            case "add_list":
                return _Estimate(ONE, size(args[0]) + size(args[1]))
            case "add_string" | "add_bytes":
                sized = size(args[0]) + size(args[1])
                return _Estimate(sized.times(TRAVERSAL), sized)
        if identity in COMPARED_BY_SIZE:
            high = min(size(args[0]).high, size(args[1]).high)
            return _Estimate(Range(1 if high else 0, high).times(TRAVERSAL))
        return None


COMPARED_BY_SIZE = frozenset(
    f"{operator}_{kind}"
    for operator in ("less", "less_equals", "greater", "greater_equals")
    for kind in ("string", "bytes")
) | {"equals", "not_equals"}


def _literal_size(literal: Literal) -> int:
    return len(literal.value) if isinstance(literal.value, (str, bytes)) else 1


def _limit(args: list[_Sized], otherwise: int) -> int:
    """Return the most parts that split() makes: its limit, where that is a constant."""
    if len(args) > 1 and isinstance(args[1].node, Literal) and isinstance(args[1].node.value, int):
        return args[1].node.value & MOST
    return otherwise


def _replaced(size: Range, old: Range, new: Range) -> Range:
    """Return the size of a text in which ``old`` is replaced by ``new``."""
    most = least = kept_most = kept_least = 0
    if old.low == 0:
        # An empty text is found around each character.
        most, kept_most = min(MOST, size.high + 1), size.high
    elif new.high <= old.low:
        kept_most = size.high
    else:
        most = math.ceil(size.high / old.low)
    if old.high == 0:
        least, kept_least = min(MOST, size.low + 1), size.low
    elif old.high <= new.low:
        kept_least = size.low
    else:
        least = math.ceil(size.low / old.high)
    return Range(least, most) * new + Range(kept_least, kept_most)


def _opaque_equality(args: list[_Sized]) -> _Estimate | None:
    if args[0].type != args[1].type:
        return None
    match args[0].type.name:
        case "net.IP" | "net.CIDR" | "kubernetes.Quantity":
            return _Estimate(ONE)
        case "kubernetes.NamedFormat":
            return _Estimate(Range(1, _FORMAT_SIZE).times(TRAVERSAL))
        case "kubernetes.URL":
            size = args[1].computed or ONE
            return _Estimate(Range(1, size.high).times(TRAVERSAL))
    return None
