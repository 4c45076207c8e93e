"""CEL's types, and which of them fit where (upstream: cel-go common/types, checker/types.go).

A type parameter (``A``) stands for any type. The checker gives each use of a function fresh parameters, and remembers
in ``Substitutions`` what they turned out to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Type(NamedTuple):
    """A type. ``kind`` is its family; ``name`` tells opaque types, objects and parameters apart."""

    kind: str
    name: str = ""
    params: tuple[Type, ...] = ()

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.params))
        match self.kind:
            case "list" | "map" | "type":
                return f"{self.kind}({inner})" if inner else self.kind
            case "opaque":
                return f"{self.name}({inner})" if inner else self.name
            case "object" | "param":
                return self.name
            case "error":
                return "!error!"
        return self.kind

    @property
    def runtime_name(self) -> str:
        """Return the name that ``type(x)`` has."""
        names = {"null": "null_type", "timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}
        return self.name or names.get(self.kind, self.kind)


BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, DYN, ERROR, TIMESTAMP, DURATION = (
    Type(kind)
    for kind in (
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "null",
        "dyn",
        "error",
        "timestamp",
        "duration",
    )
)
SCALARS = frozenset(("bool", "double", "duration", "int", "timestamp", "uint"))
# Null is a value of these types, as it is of protobuf's messages.
_NULLABLE = frozenset(("object", "opaque", "timestamp", "duration", "dyn", "error"))


def list_of(element: Type) -> Type:
    return Type("list", params=(element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", params=(key, value))


def type_of(inner: Type) -> Type:
    return Type("type", params=(inner,))


def optional_of(inner: Type) -> Type:
    return Type("opaque", "optional_type", (inner,))


def opaque(name: str) -> Type:
    return Type("opaque", name)


def param(name: str) -> Type:
    return Type("param", name)


def object_type(name: str) -> Type:
    return Type("object", name)


def is_optional(kind: Type) -> bool:
    return kind.kind == "opaque" and kind.name == "optional_type"


def is_dynamic(kind: Type) -> bool:
    return kind.kind in ("dyn", "error")


def letters(*kinds: Type) -> set[str]:
    """Return the names of the parameters in types."""
    found = {kind.name for kind in kinds if kind.kind == "param"}
    for kind in kinds:
        found |= letters(*kind.params)
    return found


def renamed(kind: Type, names: Mapping[str, Type]) -> Type:
    """Return the type with its parameters replaced."""
    if kind.kind == "param":
        return names.get(kind.name, kind)
    if not kind.params:
        return kind
    return Type(kind.kind, kind.name, tuple(renamed(inner, names) for inner in kind.params))


class Substitutions:
    """What type parameters stand for. What an attempt has changed is undone if it fails."""

    def __init__(self) -> None:
        self._known: dict[str, Type] = {}
        self._changes: list[tuple[str, Type | None]] = []
        self._count = 0

    def fresh(self) -> Type:
        """Return a parameter that nobody else uses."""
        self._count += 1
        return param(f"_var{self._count}")

    def apply(self, kind: Type, *, to_dyn: bool = False) -> Type:
        """Return the type with what is known put in; ``to_dyn`` makes the unknown dynamic."""
        if kind.kind == "param":
            known = self._known.get(kind.name)
            if known is not None:
                return self.apply(known, to_dyn=to_dyn)
            return DYN if to_dyn else kind
        if not kind.params:
            return kind
        return Type(kind.kind, kind.name, tuple(self.apply(inner, to_dyn=to_dyn) for inner in kind.params))

    def assign_all(self, found: Iterable[Type], wanted: Iterable[Type]) -> bool:
        """Return True if the types fit, and remember what follows for the parameters; else change nothing."""
        self._changes.clear()
        if all(self._assign(a, b) for a, b in zip(found, wanted, strict=True)):
            return True
        for name, before in reversed(self._changes):
            if before is None:
                del self._known[name]
            else:
                self._known[name] = before
        return False

    def assign(self, found: Type, wanted: Type) -> bool:
        return self.assign_all((found,), (wanted,))

    def joined(self, previous: Type | None, current: Type) -> Type | None:
        """Return the more general of two types, None if neither fits the other."""
        if previous is None:
            return current
        if self.assign(previous, current):
            return _more_general(previous, current)
        return None

    def _assign(self, one: Type, other: Type) -> bool:
        if other.kind == "param":
            fits, bound = self._substitute(one, other)
            if fits:
                return True
            if bound:
                return False
        if one.kind == "param":
            return self._substitute(other, one)[0]
        if is_dynamic(one) or is_dynamic(other):
            return True
        if one.kind == "null" or other.kind == "null":
            return one.kind == other.kind or (other if one.kind == "null" else one).kind in _NULLABLE
        if one.kind == "type":
            return other.kind == "type"
        if one.kind != other.kind or one.name != other.name or len(one.params) != len(other.params):
            return False
        return all(self._assign(a, b) for a, b in zip(one.params, other.params, strict=True))

    def _substitute(self, kind: Type, parameter: Type) -> tuple[bool, bool]:
        """Return whether the parameter may stand for the type, and whether it already stood for one."""
        if kind == parameter:
            return True, True
        bound = self._known.get(parameter.name)
        if bound is None:
            if self._refers(parameter, kind):
                return False, False
            self._bind(parameter, kind)
            return True, False
        if kind == bound:
            return True, True
        if not self._assign(kind, bound):
            return False, True
        general = _more_general(kind, bound)
        if not self._refers(parameter, general):
            self._bind(parameter, general)
        return True, True

    def _bind(self, parameter: Type, kind: Type) -> None:
        self._changes.append((parameter.name, self._known.get(parameter.name)))
        self._known[parameter.name] = kind

    def _refers(self, parameter: Type, kind: Type) -> bool:
        if kind == parameter:
            return True
        if kind.kind == "param":
            bound = self._known.get(kind.name)
            return bound is not None and self._refers(parameter, bound)
        return any(self._refers(parameter, inner) for inner in kind.params)


def _more_general(one: Type, other: Type) -> Type:
    return one if _as_general(one, other) else other


def _as_general(one: Type, other: Type) -> bool:
    """Return True if ``one`` is as general as ``other``, or more."""
    if is_dynamic(one) or one.kind == "param":
        return True
    if is_dynamic(other) or other.kind == "param":
        return False
    if one.kind == "null":
        return other.kind == "null"
    if other.kind == "null":
        return True
    if one.kind != other.kind or one.name != other.name or len(one.params) != len(other.params):
        return False
    return all(_as_general(a, b) for a, b in zip(one.params, other.params, strict=True))


def parse(text: str) -> Type:
    """Return the type that a signature names, such as ``map(string, list(A))``; an upper-case letter is a parameter."""
    found, rest = _parse(text.strip())
    if rest:
        raise ValueError(text)
    return found


def _parse(text: str) -> tuple[Type, str]:
    end = next((at for at, character in enumerate(text) if character in "(),"), len(text))
    name, rest = text[:end].strip(), text[end:]
    params: list[Type] = []
    if rest.startswith("("):
        while not rest.startswith(")"):
            inner, rest = _parse(rest[1:].lstrip())
            params.append(inner)
        rest = rest[1:]
    if name == "optional":
        return optional_of(*params), rest
    if len(name) == 1 and name.isupper():
        return param(name), rest
    if "." in name:
        return (opaque(name) if name.startswith("net.") else object_type(name)), rest
    return Type(name, params=tuple(params)), rest
