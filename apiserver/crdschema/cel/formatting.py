"""The function ``'…'.format([…])`` (upstream: cel-go ext/formatting.go)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from apiserver.crdschema.cel.conversions import to_string
from apiserver.crdschema.cel.types import Type, is_dynamic
from apiserver.crdschema.cel.values import Duration, EvaluationError, Timestamp, keys, type_of

_MOST_PRECISION = 1_000
_ON_TEXT = ("string", "bool", "bytes", "int", "uint", "double", "map", "list", "type", "duration", "timestamp", "null")
# What each verb can be used on, and how that is told.
_VERBS: dict[str, tuple[tuple[str, ...], str]] = {
    "s": (
        _ON_TEXT,
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and "
        "timestamps",
    ),
    "d": (("int", "uint", "double"), "decimal clause can only be used on integers"),
    "f": (("double", "int", "uint"), "fixed-point clause can only be used on doubles"),
    "e": (("double", "int", "uint"), "scientific clause can only be used on doubles"),
    "b": (("int", "uint", "bool"), "only integers and bools can be formatted as binary"),
    "x": (("int", "uint", "string", "bytes"), "only integers, byte buffers, and strings can be formatted as hex"),
    "X": (("int", "uint", "string", "bytes"), "only integers, byte buffers, and strings can be formatted as hex"),
    "o": (("int", "uint"), "octal clause can only be used on integers"),
}


class Clause(NamedTuple):
    """A ``%.2f`` of a format, with the text before it."""

    before: str
    verb: str
    precision: int


def clauses(text: str) -> list[Clause]:
    """Return the clauses of a format. Raises EvaluationError."""
    return _parsed(text)[0]


def _parsed(text: str) -> tuple[list[Clause], str]:
    found: list[Clause] = []
    before: list[str] = []
    at = 0
    while True:
        percent = text.find("%", at)
        if percent < 0:
            return found, "".join([*before, text[at:]])
        before.append(text[at:percent])
        at = percent + 1
        if at >= len(text):
            raise EvaluationError("unexpected end of string")
        if text[at] == "%":
            before.append("%")
            at += 1
            continue
        precision = 6
        if text[at] == ".":
            end = at + 1
            while end < len(text) and text[end] in "0123456789":
                end += 1
            if end >= len(text):
                raise EvaluationError("could not parse formatting clause: unable to find end of precision specifier")
            digits = text[at + 1 : end]
            if not digits or len(digits) > 4 or int(digits) > _MOST_PRECISION:
                raise EvaluationError("could not parse formatting clause: error while converting precision to integer")
            precision, at = int(digits), end
        if text[at] not in _VERBS:
            raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{text[at]}"')
        found.append(Clause("".join(before), text[at], precision))
        before = []
        at += 1


def misfit(clause: Clause, kind: Type) -> str:
    """Return why a clause cannot be used on values of a type, "" if it can."""
    allowed, why = _VERBS[clause.verb]
    if is_dynamic(kind) or kind.kind in allowed:
        return ""
    return f"error during formatting: {why}, was given {kind.runtime_name}"


def format_string(text: str, arguments: list[Any]) -> str:
    """Return the format with its clauses filled in."""
    try:
        found, rest = _parsed(text)
    except EvaluationError as error:
        raise EvaluationError(f"error during formatting: {error}") from None
    parts: list[str] = []
    for index, clause in enumerate(found):
        if index >= len(arguments):
            raise EvaluationError(f"error during formatting: index {index} out of range")
        if why := misfit(clause, type_of(arguments[index])):
            raise EvaluationError(why)
        parts += (clause.before, _filled(clause, arguments[index]))
    return "".join([*parts, rest])


def _filled(clause: Clause, value: Any) -> str:
    match clause.verb:
        case "s":
            return _text(value)
        case "d":
            return _text(value) if isinstance(value, float) else str(int(value))
        case "f" | "e":
            return _double(float(value), clause)
        case "b":
            return format(int(value), "b")
        case "o":
            return format(value, "o")
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    shown = raw.hex() if isinstance(raw, bytes) else format(raw, "x")
    return shown.upper() if clause.verb == "X" else shown


def _double(value: float, clause: Clause) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return format(value, f".{clause.precision}{clause.verb}")


def _text(value: Any, *, inside: bool = False) -> str:
    match value:
        case None:
            return "null"
        case list():
            return f"[{', '.join(_text(each, inside=True) for each in value)}]"
        case dict():
            shown = sorted((_text(key, inside=True), _text(each, inside=True)) for key, each in
                           zip(keys(value), value.values(), strict=True))  # fmt: off
            return "{" + ", ".join(f"{key}: {each}" for key, each in shown) + "}"
        case str() if inside:
            return f'"{value}"'
        case Timestamp() if inside:
            return f'timestamp("{to_string(value)}")'
        case Duration() if inside:
            return f'duration("{to_string(value)}")'
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
    return to_string(value)
