"""The extension of strings, version 2 (upstream: cel-go ext/strings.go). ``reverse`` is of version 3, and not here."""

from __future__ import annotations

from typing import Any

from apiserver.crdschema.cel.declarations import Function, functions, overload
from apiserver.crdschema.cel.formatting import format_string
from apiserver.crdschema.cel.values import EvaluationError

# A result that is longer than what may be computed at all is refused before it is made.
_MOST_CHARACTERS = 10_000_000
_UPPER = {ord(lower): ord(lower) - 32 for lower in "abcdefghijklmnopqrstuvwxyz"}
_LOWER = {upper: lower for lower, upper in _UPPER.items()}
# What Go's unicode.IsSpace takes for a space; Python's strip() would take more.
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000"
)
_ESCAPED = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
            "\\": "\\\\", '"': '\\"'}  # fmt: off


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if not part:
        return offset
    if not 0 <= offset <= len(text):
        raise EvaluationError(f"index out of range: {offset}")
    return text.find(part, offset)


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if offset is None:
        return text.rfind(part)
    if not part:
        return offset
    if not 0 <= offset <= len(text):
        raise EvaluationError(f"index out of range: {offset}")
    return text.rfind(part, 0, offset + len(part))


def _join(items: list[Any], separator: str = "") -> str:
    if not all(isinstance(item, str) for item in items):
        raise EvaluationError("no such overload")
    _bounded(sum(map(len, items)) + len(separator) * len(items))
    return separator.join(items)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    count = text.count(old) if old else len(text) + 1
    count = count if limit < 0 else min(count, limit)
    _bounded(len(text) + count * (len(new) - len(old)))
    return text.replace(old, new, limit if limit >= 0 else -1)


def _bounded(length: int) -> None:
    if length > _MOST_CHARACTERS:
        raise EvaluationError(f"result of {length} characters exceeds the limit of {_MOST_CHARACTERS}")


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if limit == 1:
        return [text]
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    characters = list(text)
    return characters if limit < 0 else [*characters[: limit - 1], *filter(None, ["".join(characters[limit - 1 :])])]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    if end is None:
        return text[start:]
    if not 0 <= end <= len(text):
        raise EvaluationError(f"index out of range: {end}")
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _quote(text: str) -> str:
    return '"' + "".join(_ESCAPED.get(character, character) for character in text) + '"'


STRINGS: list[Function] = functions(
    ("charAt", [overload("string_char_at_int", "string.(int) -> string", _char_at)]),
    (
        "indexOf",
        [
            overload("string_index_of_string", "string.(string) -> int", _index_of),
            overload("string_index_of_string_int", "string.(string, int) -> int", _index_of),
        ],
    ),
    (
        "lastIndexOf",
        [
            overload("string_last_index_of_string", "string.(string) -> int", _last_index_of),
            overload("string_last_index_of_string_int", "string.(string, int) -> int", _last_index_of),
        ],
    ),
    (
        "join",
        [
            overload("list_join", "list(string).() -> string", _join),
            overload("list_join_string", "list(string).(string) -> string", _join),
        ],
    ),
    ("lowerAscii", [overload("string_lower_ascii", "string.() -> string", lambda text: text.translate(_LOWER))]),
    ("upperAscii", [overload("string_upper_ascii", "string.() -> string", lambda text: text.translate(_UPPER))]),
    (
        "replace",
        [
            overload("string_replace_string_string", "string.(string, string) -> string", _replace),
            overload("string_replace_string_string_int", "string.(string, string, int) -> string", _replace),
        ],
    ),
    (
        "split",
        [
            overload("string_split_string", "string.(string) -> list(string)", _split),
            overload("string_split_string_int", "string.(string, int) -> list(string)", _split),
        ],
    ),
    (
        "substring",
        [
            overload("string_substring_int", "string.(int) -> string", _substring),
            overload("string_substring_int_int", "string.(int, int) -> string", _substring),
        ],
    ),
    ("trim", [overload("string_trim", "string.() -> string", lambda text: text.strip(_SPACES))]),
    ("format", [overload("string_format", "string.(list(dyn)) -> string", format_string)]),
    ("strings.quote", [overload("strings_quote", "(string) -> string", _quote)]),
)
