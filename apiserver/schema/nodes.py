"""The nodes that a definition is compiled to: a tree that checks a decoded JSON value in place, in one walk.

This is the hot path of every write, so a parent does its children's commonest check itself: each field's spec says
which exact Python type needs no conversion (``wanted``) and what more is to be looked at (``walk``); only what is
different goes through ``convert``. Nothing is allocated for an object that is in order.

The same tree tells a strategic merge patch how lists merge (``Array.merge``, ``Array.merge_key``), and server-side
apply what may have an owner of its own (``Array.list_type``, ``Array.list_keys``, ``atomic`` of structs and maps).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from apiserver.schema import formats


class Problem(NamedTuple):
    """What strict decoding refuses: ``unknown field`` or ``duplicate field``, and where, e.g. ``.spec.ports[0].x``."""

    what: str
    path: str

    def __str__(self) -> str:
        return f'{self.what} "{self.path.lstrip(".")}"'


class MismatchError(Exception):
    """A value that does not fit its Go type. Parents add where it is while it passes them."""

    def __init__(self, value: object = None, go_type: str = "", *, text: str = "") -> None:
        self.word = _word(value)
        self.go_type = go_type
        self.text = text
        self.struct = ""
        self.path: list[str] = []

    def inside(self, struct: str, field: str) -> None:
        """Go names the innermost struct and the fields from the outermost; list indexes and map keys do not count."""
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
    """The type of no value: what wants it always goes through ``convert``."""


_Walk = Callable[[Any], "list[Problem] | None"]
_Spec = tuple[type, "_Walk | None", Callable[[Any], Any], "Node"]


class Node:
    """Anything: a value whose form the API server does not know (RawExtension, FieldsV1)."""

    __slots__ = ("go",)
    wanted: type = Never
    walk: _Walk | None = None
    zero: Any = None  # what Go makes of null where a value must stand, and of a required scalar that is absent

    def __init__(self, go: str) -> None:
        self.go = go

    def convert(self, value: Any) -> Any:
        """Makes the value what it should be, or raises MismatchError."""
        return value

    def spec(self) -> _Spec:
        """What a parent needs to check a child of this kind."""
        return self.wanted, self.walk, self.convert, self

    def child(self, key: str) -> Node | None:
        """The node of a member; None for an unknown field."""
        return self

    def make_zero(self) -> Any:
        """A fresh zero value."""
        return self.zero


class Scalar(Node):
    """A string or a boolean: the right type is enough."""

    __slots__ = ("wanted", "zero")

    def __init__(self, go: str, wanted: type) -> None:
        super().__init__(go)
        self.wanted = wanted
        self.zero = wanted()

    def convert(self, value: Any) -> Any:
        raise MismatchError(value, self.go)


class Integer(Node):
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


class Number(Node):
    """A float64; whole numbers are numbers too."""

    __slots__ = ()
    wanted = float
    zero = 0

    def convert(self, value: Any) -> Any:
        if type(value) is int:
            return value
        raise MismatchError(value, self.go)


class Text(Node):
    """A string with a format: ``canonical`` returns it as it is stored, or raises ValueError."""

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


class Quantity(Text):
    """A quantity: numbers are taken by their digits."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("resource.Quantity", formats.canonical_quantity, "0")

    def convert(self, value: Any) -> Any:
        return super().convert(str(value).strip())


class IntOrString(Integer):
    """A port's number or name, a count or percentage."""

    __slots__ = ()
    wanted: type = Never

    def __init__(self) -> None:
        super().__init__("int32")

    def convert(self, value: Any) -> Any:
        if type(value) is str or (type(value) is int and self.least <= value <= self.most):
            return value
        return super().convert(value)


class Array(Node):
    """A list; with ``merge``, a strategic merge patch merges it by ``merge_key`` (scalars have none).

    ``list_type`` is x-kubernetes-list-type: ``atomic`` lists have one owner, the scalars of a ``set`` and the elements
    of a ``map``, told apart by ``list_keys``, have each their own. ``key_defaults`` stand in for absent keys.
    """

    __slots__ = ("item", "item_spec", "key_defaults", "list_keys", "list_type", "merge", "merge_key")
    wanted = list

    def __init__(
        self,
        item: Node,
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
                    problems = (problems or []) + [Problem(what, f"[{index}]{path}") for what, path in found]
            elif child is None:
                value[index] = item.make_zero()
            else:
                value[index] = convert(child)
        return problems

    def convert(self, value: Any) -> Any:
        raise MismatchError(value, self.go)

    def child(self, key: str) -> Node | None:
        return self.item


class Map(Node):
    """A map with free keys, such as labels; ``atomic`` (x-kubernetes-map-type) when only the whole has an owner."""

    __slots__ = ("atomic", "item", "item_spec")
    wanted = dict

    def __init__(self, item: Node, go: str = "", *, atomic: bool = False) -> None:
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
                    problems = (problems or []) + [Problem(what, f".{key}{path}") for what, path in found]
            elif child is None:
                value[key] = item.make_zero()
            else:
                value[key] = convert(child)
        return problems

    def convert(self, value: Any) -> Any:
        raise MismatchError(value, self.go)

    def child(self, key: str) -> Node | None:
        return self.item

    def make_zero(self) -> Any:
        return {}


class Struct(Node):
    """An object with known fields; ``atomic`` (x-kubernetes-map-type) when only the whole has an owner."""

    __slots__ = ("atomic", "empties", "name", "omitted", "replaced", "specs", "zeros")
    wanted = dict

    def __init__(self, definition: str, *, atomic: bool = False) -> None:
        package, _, self.name = definition.rpartition(".")
        super().__init__(f"{package.rpartition('.')[2]}.{self.name}")
        self.specs: dict[str, _Spec] = {}
        self.zeros: tuple[tuple[str, Any], ...] = ()
        # Fields that a strategic merge patch replaces as a whole.
        self.replaced: frozenset[str] = frozenset()
        self.atomic = atomic
        # What upstream's Go struct has in fields that are not set and are no pointers: nobody owns that they exist.
        self.empties: dict[str, Any] = {}
        # Lists and maps that upstream's encoder leaves out when there is nothing in them (omitempty).
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
                    problems = [*(problems or ()), Problem("unknown field", f".{key}")]
                    dropped = [*(dropped or ()), key]
                    continue
                wanted, walk, convert, _ = spec
                if not child and (child is None or (key in omitted and type(child) is wanted)):
                    dropped = [*(dropped or ()), key]
                elif type(child) is wanted:
                    if walk is not None and (found := walk(child)):
                        problems = (problems or []) + [Problem(what, f".{key}{path}") for what, path in found]
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

    def convert(self, value: Any) -> Any:
        raise MismatchError(value, self.go)

    def child(self, key: str) -> Node | None:
        spec = self.specs.get(key)
        return spec[3] if spec else None

    def make_zero(self) -> Any:
        value: dict[str, Any] = {}
        self.walk(value)
        return value


def _word(value: object) -> str:
    """What Go's decoder calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    words = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return words.get(type(value), "null")
