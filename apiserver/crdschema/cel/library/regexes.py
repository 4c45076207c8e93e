"""find and findAll (upstream: apiserver pkg/cel/library/regex.go)."""

from __future__ import annotations

from typing import Any

from apiserver.crdschema import regex
from apiserver.crdschema.cel.declarations import Function, functions, overload
from apiserver.crdschema.cel.values import EvaluationError


def _compiled(pattern: str) -> Any:
    try:
        return regex.compiled(pattern)
    except ValueError as error:
        raise EvaluationError(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    match = _compiled(pattern).search(text)
    return match.group() if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for match in _compiled(pattern).finditer(text):
        if 0 <= limit <= len(found):
            break
        found.append(match.group())
    return found


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
