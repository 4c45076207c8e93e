"""The nodes of a compiled schema: a tree that brings a decoded JSON value into its stored form, in place, in one walk.

In one walk, a node

- drops the fields that its struct does not have (pruning), and reports each as a Problem,
- drops null fields, and empty lists and maps that upstream's encoder would leave out (``omitempty``),
- raises MismatchError for a value of the wrong type, with the text of Go's decoder,
- rewrites strings with a format, such as times and quantities, in their canonical form,
- and gives required scalars that are absent Go's zero value.

Defaults that a schema spells out exist only in custom resources: ``crdschema.tree`` has nodes that fill them in. Those
of built-in kinds are filled in by their strategies.

Every write walks its object, so speed decides the form. A parent does the commonest check of its children itself: the
spec of a field says which exact Python type needs no conversion (``wanted``) and what looks inside such a value
(``walk``, None if nothing need). Only other values go through ``convert``. A valid object costs no allocation.

The same tree tells a strategic merge patch which lists to merge (``Array.merge``, ``Array.merge_key``), and server-side
apply what has an owner of its own (``Array.list_type``, ``Array.list_keys``, ``atomic`` of structs and maps).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from apiserver.schema import formats

# Upstream reports at most this many unknown and duplicate fields (sigs.k8s.io/json: saveStrictError).
_MOST_PROBLEMS = 100
# No more are listed once their paths have so many characters together: each path may be as long as a body.
_MOST_PATHS = 64 * 1024


class Problem(NamedTuple):
    """What strict decoding refuses: an ``unknown field`` or ``duplicate field``, at e.g. ``.spec.ports[0].x``.

    A walk returns the problems of one value. What is wrong inside of a member stands there as one Problem, which has
    the member's path and its problems in ``inside``: so nothing is copied on the way up, however many there are and
    however deep. ``listed`` returns them one by one.
    """

    what: str
    path: str
    inside: Sequence[Problem] = ()

    def __str__(self) -> str:
        return f'{self.what} "{self.path.lstrip(".")}"'


def listed(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems with their whole paths, in order, each once; of very many the first."""
    found: dict[Problem, None] = {}
    length = 0
    for problem in _leaves(problems, ()):
        found[problem] = None
        length += len(problem.path)
        if len(found) >= _MOST_PROBLEMS or length > _MOST_PATHS:
            break
    return list(found)


def _leaves(problems: Iterable[Problem], before: tuple[str, ...]) -> Iterator[Problem]:
    for what, path, inside in problems:
        if inside:
            yield from _leaves(inside, (*before, path))
        else:
            yield Problem(what, "".join((*before, path)))


class MismatchError(Exception):
    """A value that does not fit its Go type; ``str()`` is the text of Go's decoder.

    Each struct that the error passes on its way up adds itself with ``inside``.
    """

    def __init__(self, value: object = None, go_type: str = "", *, text: str = "") -> None:
        self.word = _word(value)
        self.go_type = go_type
        self.text = text
        self.struct = ""
        self.path: list[str] = []

    def inside(self, struct: str, field: str) -> None:
        """Add a struct and one of its fields, in which the value is.

        Go's text names the innermost struct and all fields from the outermost on, without list indexes and map keys.
        """
        self.struct = self.struct or struct
        self.path.insert(0, field)

    def __str__(self) -> str:
        if self.text:
            return self.text
        if not self.struct:
            return f"json: cannot unmarshal {self.word} into Go value of type {self.go_type}"
        where = f"{self.struct}.{'.'.join(self.path)}"
        return f"json: cannot unmarshal {self.word} into Go struct field {where} of type {self.go_type}"


class Never:
    """A type that no value has: every value of a node that wants it goes through ``convert``."""


_Walk = Callable[[Any], "list[Problem] | None"]
_Spec = tuple[type, "_Walk | None", Callable[[Any], Any], "SchemaNode"]


class SchemaNode:
    """A value of any form, which is kept as it is (RawExtension, FieldsV1); the base of all other nodes.

    ``go`` is the name of the Go type, for messages.
    """

    __slots__ = ("go",)
    wanted: type = Never
    walk: _Walk | None = None
    zero: Any = None  # what Go makes of a null in a list or map, and of a required scalar that is absent

    def __init__(self, go: str) -> None:
        self.go = go

    def convert(self, value: Any) -> Any:
        """Return the value in its stored form; raises MismatchError if it has none."""
        return value

    def spec(self) -> _Spec:
        """Return what a parent needs to check a value of this node."""
        return self.wanted, self.walk, self.convert, self

    def child(self, key: str) -> SchemaNode | None:
        """Return the node of a member (for lists, of every item), None for an unknown field."""
        return self

    def make_zero(self) -> Any:
        """Return a new zero value."""
        return self.zero


class TypedNode(SchemaNode):
    """A value of one type: every other one is a mismatch."""

    __slots__ = ()

    def convert(self, value: Any) -> Any:
        raise MismatchError(value, self.go)


class Scalar(TypedNode):
    """A string without a format, or a boolean: every value of the type is valid."""

    __slots__ = ("wanted", "zero")

    def __init__(self, go: str, wanted: type) -> None:
        super().__init__(go)
        self.wanted = wanted
        self.zero = wanted()


class Integer(SchemaNode):
    """An int32 or int64."""

    __slots__ = ("least", "most")
    wanted: type = int
    zero = 0

    def __init__(self, go: str) -> None:
        super().__init__(go)
        self.most = 2 ** (int(go[3:]) - 1) - 1
        self.least = -self.most - 1

    def walk(self, value: int) -> None:
        if not self.least <= value <= self.most:
            self.convert(value)

    def convert(self, value: Any) -> Any:
        mismatch = MismatchError(value, self.go)
        if mismatch.word == "number":
            mismatch.word = f"number {value}"
        raise mismatch


class Number(SchemaNode):
    """A float64; integers are accepted too."""

    __slots__ = ()
    wanted = float
    zero = 0

    def convert(self, value: Any) -> Any:
        if type(value) is int:
            return value
        raise MismatchError(value, self.go)


class Text(SchemaNode):
    """A string with a format: ``canonical`` returns its stored form, or raises ValueError."""

    __slots__ = ("canonical", "zero")

    def __init__(self, go: str, canonical: Callable[[str], str], zero: str | None = None) -> None:
        super().__init__(go)
        self.canonical = canonical
        self.zero = zero

    def convert(self, value: Any) -> Any:
        if type(value) is not str:
            raise MismatchError(value, self.go)
        try:
            return self.canonical(value)
        except ValueError as error:
            raise MismatchError(text=str(error)) from None


class QuantityText(Text):
    """A resource.Quantity, which may also be given as a JSON number."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("resource.Quantity", formats.canonical_quantity, "0")

    def convert(self, value: Any) -> Any:
        return super().convert(str(value).strip())


class IntOrString(Integer):
    """An intstr.IntOrString: a port's number or name, a count or a percentage."""

    __slots__ = ()
    wanted: type = Never

    def __init__(self) -> None:
        super().__init__("int32")

    def convert(self, value: Any) -> Any:
        if type(value) is str or (type(value) is int and self.least <= value <= self.most):
            return value
        return super().convert(value)


class Array(TypedNode):
    """A list.

    ``merge``: strategic merge patches merge it item by item. Items are identified by the field ``merge_key``; it is ""
    for lists of scalars, which are identified by themselves.

    ``list_type`` (x-kubernetes-list-type) is for server-side apply. An ``atomic`` list has one owner. In a ``set`` of
    scalars and in a ``map``, whose items are identified by the fields ``list_keys``, each item has its own owners.
    ``key_defaults`` are the values of keys that are absent.
    """

    __slots__ = ("item", "item_spec", "key_defaults", "list_keys", "list_type", "merge", "merge_key")
    wanted = list

    def __init__(
        self,
        item: SchemaNode,
        *,
        merge: bool = False,
        merge_key: str = "",
        list_type: str = "atomic",
        list_keys: Sequence[str] = (),
        key_defaults: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"[]{item.go}")
        self.item = item
        self.item_spec = item.spec()
        self.merge = merge
        self.merge_key = merge_key
        self.list_type = list_type
        self.list_keys = tuple(sorted(list_keys))
        self.key_defaults = key_defaults or {}

    def walk(self, value: list[Any]) -> list[Problem] | None:
        wanted, walk, convert, item = self.item_spec
        problems: list[Problem] | None = None
        for index, child in enumerate(value):
            if type(child) is wanted:
                if walk is not None and (found := walk(child)):
                    problems = problems or []
                    problems.append(Problem("", f"[{index}]", found))
            elif child is None:
                value[index] = item.make_zero()
            else:
                value[index] = convert(child)
        return problems

    def child(self, key: str) -> SchemaNode | None:
        return self.item


class Map(TypedNode):
    """A map with free keys, such as labels. If ``atomic`` (x-kubernetes-map-type), it has one owner as a whole."""

    __slots__ = ("atomic", "item", "item_spec")
    wanted = dict

    def __init__(self, item: SchemaNode, go: str = "", *, atomic: bool = False) -> None:
        super().__init__(go or f"map[string]{item.go}")
        self.item = item
        self.item_spec = item.spec()
        self.atomic = atomic

    def walk(self, value: dict[str, Any]) -> list[Problem] | None:
        wanted, walk, convert, item = self.item_spec
        problems: list[Problem] | None = None
        for key, child in value.items():
            if type(child) is wanted:
                if walk is not None and (found := walk(child)):
                    problems = problems or []
                    problems.append(Problem("", f".{key}", found))
            elif child is None:
                value[key] = item.make_zero()
            else:
                value[key] = convert(child)
        return problems

    def child(self, key: str) -> SchemaNode | None:
        return self.item

    def make_zero(self) -> Any:
        return {}


class Struct(TypedNode):
    """An object with known fields. If ``atomic`` (x-kubernetes-map-type), it has one owner as a whole."""

    __slots__ = ("atomic", "empties", "name", "omitted", "replaced", "specs", "zeros")
    wanted = dict

    def __init__(self, definition: str, *, atomic: bool = False) -> None:
        package, _, self.name = definition.rpartition(".")
        super().__init__(f"{package.rpartition('.')[2]}.{self.name}")
        self.specs: dict[str, _Spec] = {}
        # Required scalars, with the zero value that they get when they are absent.
        self.zeros: tuple[tuple[str, Any], ...] = ()
        # Fields that a strategic merge patch replaces as a whole.
        self.replaced: frozenset[str] = frozenset()
        self.atomic = atomic
        # Fields that are no pointers in Go, and so are there with these values even if nobody set them. Managed fields
        # do not count a field that has only this value as set.
        self.empties: dict[str, Any] = {}
        # Lists and maps that upstream's encoder leaves out when they are empty (omitempty).
        self.omitted: frozenset[str] = frozenset()

    def walk(self, value: dict[str, Any]) -> list[Problem] | None:
        specs, omitted = self.specs, self.omitted
        problems: list[Problem] | None = None
        dropped: list[str] | None = None
        key = ""
        try:
            for key, child in value.items():
                spec = specs.get(key)
                if spec is None:
                    problems, dropped = problems or [], dropped or []
                    problems.append(Problem("unknown field", f".{key}"))
                    dropped.append(key)
                    continue
                wanted, walk, convert, _ = spec
                if not child and (child is None or (key in omitted and type(child) is wanted)):
                    dropped = dropped or []
                    dropped.append(key)
                elif type(child) is wanted:
                    if walk is not None and (found := walk(child)):
                        problems = problems or []
                        problems.append(Problem("", f".{key}", found))
                else:
                    value[key] = convert(child)
        except MismatchError as mismatch:
            mismatch.inside(self.name, key)
            raise
        for key in dropped or ():
            del value[key]
        for key, zero in self.zeros:
            if key not in value:
                value[key] = zero
        return problems

    def child(self, key: str) -> SchemaNode | None:
        spec = self.specs.get(key)
        return spec[3] if spec else None

    def make_zero(self) -> Any:
        value: dict[str, Any] = {}
        self.walk(value)
        return value


def _word(value: object) -> str:
    """Return what Go's decoder calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    words = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return words.get(type(value), "null")
