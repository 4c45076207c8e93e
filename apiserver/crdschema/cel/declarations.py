"""How functions are declared: a name, and overloads with the types that they take and give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.types import Type
from apiserver.crdschema.cel.values import type_of


class Overload(NamedTuple):
    """One way to call a function.

    ``params`` begin with the target if it is a ``member``. ``call`` gets the values and returns one, or raises
    EvaluationError. ``letters`` are the type parameters.
    """

    id: str
    member: bool
    params: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]
    letters: tuple[str, ...] = ()


class Function(NamedTuple):
    name: str
    overloads: tuple[Overload, ...]


def overload(identity: str, signature: str, call: Callable[..., Any]) -> Overload:
    """Return an overload with a signature such as ``string.(int, A) -> bool``; without the dot it is no member."""
    left, _, result = signature.rpartition(" -> ")
    target, dot, arguments = left.rpartition(".(") if ".(" in left else ("", "", left[1:])
    params = [types.parse(target)] if dot else []
    params += [types.parse(each) for each in _split(arguments.removesuffix(")"))]
    returned = types.parse(result)
    letters = tuple(sorted(types.letters(*params, returned)))
    return Overload(identity, bool(dot), tuple(params), returned, call, letters)


def _split(text: str) -> list[str]:
    """Split at the commas outside of parentheses."""
    found, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            found.append(text[start:at])
            start = at + 1
    return [each.strip() for each in [*found, text[start:]] if each.strip()]


def functions(*rows: tuple[str, Sequence[Overload]]) -> list[Function]:
    return [Function(name, tuple(overloads)) for name, overloads in rows]


def merged(groups: Sequence[Sequence[Function]]) -> dict[str, Function]:
    """Return all functions by name; functions of the same name are one, with all their overloads."""
    found: dict[str, Function] = {}
    for group in groups:
        for function in group:
            known = found.get(function.name)
            overloads = known.overloads + function.overloads if known else function.overloads
            found[function.name] = Function(function.name, overloads)
    return found


def fits(kind: Type, value: Any) -> bool:
    """Return True if a value may be passed for a parameter, as far as it can be told from the value."""
    if kind.kind in ("param", "dyn"):
        return True
    its = type_of(value)
    if its.kind != kind.kind or (kind.kind in ("opaque", "object") and its.name != kind.name):
        return False
    if kind.kind != "list" or not kind.params or kind.params[0].kind in ("param", "dyn"):
        return True
    return all(fits(kind.params[0], item) for item in value)
