"""find and findAll (upstream: apiserver pkg/cel/library/regex.go)."""

from __future__ import annotations

from typing import Any

from apiserver.crdschema import regex
from apiserver.crdschema.cel.declarations import Function, functions, overload
from apiserver.crdschema.cel.values import EvaluationError

# Each match takes some microseconds, much longer than upstream's cost of the function supposes.
_MOST_MATCHES = 50_000


def _compiled(pattern: str) -> Any:
    try:
        return regex.compiled(pattern)
    except ValueError as error:
        raise EvaluationError(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    match = _compiled(pattern).search(text)
    return match.group() if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """Return all matches, as Go does: no empty one right behind another."""
    compiled, raw = _compiled(pattern), text.encode("utf-8", "surrogatepass")
    found: list[str] = []
    position, behind = 0, -1
    while position <= len(raw) and len(found) != limit:
        match = compiled.search(raw, position)
        if match is None:
            break
        start, end = match.span()
        if end > position:
            position = end
        else:
            position += _width(raw[position : position + 1])
            if start == behind:
                behind = end
                continue
        behind = end
        found.append(raw[start:end].decode("utf-8", "surrogatepass"))
        if len(found) > _MOST_MATCHES:
            raise EvaluationError(f"findAll has more than {_MOST_MATCHES} results")
    return found


def _width(first: bytes) -> int:
    """Return how many bytes the character has that begins with this one."""
    if first < b"\xc0":
        return 1
    return 2 if first < b"\xe0" else 3 if first < b"\xf0" else 4


REGEXES: list[Function] = functions(
    ("find", [overload("string_find_string", "string.(string) -> string", _find)]),
    (
        "findAll",
        [
            overload("string_find_all_string", "string.(string) -> list(string)", _find_all),
            overload("string_find_all_string_int", "string.(string, int) -> list(string)", _find_all),
        ],
    ),
)
