"""The part of kubectl's JSONPath that printer columns use (upstream: client-go util/jsonpath).

It has fields (also quoted, or with escaped dots), indexes and slices, wildcards, ``..``, unions, and filters that
compare.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson

from machinery.goformat import go_value

# A step of a path: takes one value and yields those that it leads to.
Step = Callable[[Any], Iterator[Any]]

_FIELD = re.compile(r"\.((?:[^.\[\\]|\\.)+)")
_SLICE = re.compile(r"(-?\d*)(:(-?\d*)(:(-?\d*))?)?")
_COMPARISON = re.compile(r"([^!<>=]*)([!<>=]*)")
_MOST_VALUES = 100_000  # of one path: ``..`` after ``..`` leads to the same values again and again
_COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


class JSONPathError(ValueError):
    """A path that cannot be parsed, or that does not fit a value."""


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[Step, ...]:
    """Return the steps of a path; raises JSONPathError."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        if path.startswith("..", at):
            steps.append(_descend)
            at += 1 if path[at + 2 : at + 3] not in ("", "[", ".") else 2
        elif match := _FIELD.match(path, at):
            name = re.sub(r"\\(.)", r"\1", match[1])
            steps.append(_all if name == "*" else _field(name))
            at = match.end()
        elif path[at] == "[":
            end = _closing(path, at)
            steps.append(_bracket(path[at + 1 : end]))
            at = end + 1
        elif path[at:] == ".":
            break
        else:
            raise JSONPathError(f"unrecognized character in action: U+{ord(path[at]):04X} '{path[at]}'")
    return tuple(steps)


def find(path: str, value: Any) -> list[Any]:
    """Return all values that a path leads to, without those that are missing; raises JSONPathError."""
    values = [value]
    for step in parse(path):
        values = list(islice((found for each in values for found in step(each)), _MOST_VALUES + 1))
        if len(values) > _MOST_VALUES:
            raise JSONPathError(f"more than {_MOST_VALUES} values")
    return values


def text(value: Any) -> str:
    """Return a value as a cell shows it: a string as it is, null as Go prints it, everything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    return orjson.dumps(value).decode()


def _closing(path: str, at: int) -> int:
    quote = ""
    for index in range(at + 1, len(path)):
        character = path[index]
        if quote:
            quote = "" if character == quote and path[index - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character == "]":
            return index
    raise JSONPathError("unterminated array")


def _bracket(inner: str) -> Step:
    if inner.startswith("?(") and inner.endswith(")"):
        return _filter_of(inner[2:-1])
    if re.fullmatch(r"'.*'|\".*\"", inner) and "," not in inner:
        return _field(re.sub(r"\\(.)", r"\1", inner[1:-1]))
    if inner == "*":
        return _all
    if "," in inner:
        return _union([_bracket(part.strip()) for part in inner.split(",")])
    if match := _SLICE.fullmatch(inner):
        return _elements(*match.group(1, 2, 3, 5))
    raise JSONPathError(f"invalid array index {inner}")


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _all(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _descend(value: Any) -> Iterator[Any]:
    inner = list(_all(value))
    if inner:
        yield value
    for each in inner:
        yield from _descend(each)


def _union(steps: list[Step]) -> Step:
    def step(value: Any) -> Iterator[Any]:
        for each in steps:
            yield from each(value)

    return step


def _elements(first: str, colon: str | None, last: str | None, stride: str | None) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if value is None:
            return
        if not isinstance(value, list):
            raise JSONPathError(f"{go_value(value)} is not array or slice")
        if colon is None:
            index = int(first or 0)
            if not -len(value) <= index < len(value):
                raise JSONPathError(f"array index out of bounds: index {index}, length {len(value)}")
            yield value[index]
        else:
            yield from value[slice(*(int(part) if part else None for part in (first, last, stride)))]

    return step


def _filter_of(expression: str) -> Step:
    """Return the step of ``@.path`` or ``@.path == literal``; raises JSONPathError."""
    comparison = _COMPARISON.match(expression)
    path, sign = (comparison[1].strip(), comparison[2]) if comparison else ("", "")
    literal = expression[comparison.end() :].strip() if comparison else ""
    if not path.startswith("@") or (sign and sign not in _COMPARE):
        raise JSONPathError(f"invalid filter {expression}")
    return _filter(path[1:], sign, literal)


def _filter(path: str, sign: str, literal: str) -> Step:
    steps = parse(path)
    wanted = _literal(literal) if sign else None

    def step(value: Any) -> Iterator[Any]:
        if not isinstance(value, list):
            raise JSONPathError(f"{go_value(value)} is not array or slice and cannot be filtered")
        for element in value:
            found = [element]
            for each in steps:
                found = [inner for outer in found for inner in each(outer)]
            if found and (not sign or _holds(sign, found[0], wanted)):
                yield element

    return step


def _holds(sign: str, left: Any, right: Any) -> bool:
    try:
        return bool(_COMPARE[sign](left, right))
    except TypeError:
        raise JSONPathError("incompatible types for comparison") from None


def _literal(source: str) -> Any:
    if source[:1] in "'\"" and source[-1:] == source[:1] and len(source) > 1:
        return re.sub(r"\\(.)", r"\1", source[1:-1])
    try:
        return orjson.loads(source)
    except orjson.JSONDecodeError:
        raise JSONPathError(f"unrecognized filter operand {source}") from None
