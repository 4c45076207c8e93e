"""Path elements: the names of fields and of list items in a set of fields.

    f:<name>    a field of a struct, a key of a map
    k:<keys>    an item of a list of maps, by the JSON of its keys: k:{"name":"sise"}
    v:<value>   an item of a set, by its JSON: v:"10.0.0.1"
    i:<index>   an item by its index; read if a client sends one, never written

Upstream: structured-merge-diff, fieldpath/element.go and serialize-pe.go.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from apiserver.schema.tree import Array
from machinery.errors import quote

# Go's JSON encoder escapes these so that the text is safe inside HTML.
_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
# The order of values of different types (upstream: value.Compare).
_RANKS = {float: 0, int: 0, str: 1, bool: 2, list: 3, dict: 4, type(None): 5}


class MissingKeyError(ValueError):
    """A list item without the keys that would identify it; the text is upstream's."""


def of_item(array: Array, item: Any) -> str:
    """Return the element of an item of a list whose type is ``set`` or ``map``; raises MissingKeyError."""
    if array.list_type == "set":
        return _of_scalar(item)
    if type(item) is not dict:
        what = "a null element" if item is None else "non-map elements"
        raise MissingKeyError(f"associative list with keys may not have {what}")
    keys = {}
    for key in array.list_keys:
        value = item.get(key, _ABSENT)
        if value is _ABSENT:
            value = array.key_defaults.get(key, _ABSENT)
            if value is _ABSENT:
                raise MissingKeyError(
                    f"associative list with keys has an element that omits key field {quote(key)} "
                    "(and doesn't have default value)"
                )
        keys[key] = value
    return f"k:{_json(keys)}"


_ABSENT = object()


def _of_scalar(item: Any) -> str:
    match item:
        case dict():
            raise MissingKeyError("associative list without keys has an element that's a map type")
        case list():
            raise MissingKeyError("not supported: associative list with lists as elements")
        case None:
            raise MissingKeyError("associative list without keys has an element that's an explicit null")
    return f"v:{_json(item)}"


def _json(value: Any) -> str:
    text = orjson.dumps(value).decode()
    if text.isascii() and "<" not in text and ">" not in text and "&" not in text:
        return text
    return text.translate(_ESCAPED)


def canonical(element: str) -> str:
    """Return an element that a client sent as this server writes it, "" for one of an unknown type.

    Raises ValueError for malformed elements.
    """
    sort, colon, rest = element[:1], element[1:2], element[2:]
    if len(element) < 2:
        raise ValueError("key must be 2 characters long:")
    if colon != ":":
        raise ValueError(f"missing colon: {element}")
    match sort:
        case "f":
            return element
        case "k":
            keys = orjson.loads(rest)
            if not isinstance(keys, dict):
                raise ValueError(f"keys must be an object: {element}")
            return f"k:{_json(dict(sorted(keys.items())))}"
        case "v":
            return f"v:{_json(orjson.loads(rest))}"
        case "i":
            return f"i:{int(rest)}"
    return ""


def in_order(level: dict[str, Any]) -> dict[str, Any]:
    """Return the elements of one level in upstream's order: "." first, then f:, k:, v: and i:."""
    if len(level) < 2:
        return level
    keys = sorted(level)
    if keys[-1][0] != "f":  # "." and "f" come first in both orders, so only k:, v: and i: need the slow key
        keys.sort(key=_order)
    return {key: level[key] for key in keys}


@lru_cache(maxsize=4096)
def _order(element: str) -> tuple[Any, ...]:
    sort, rest = element[:1], element[2:]
    match sort:
        case "k":
            return (2, tuple((key, *_comparable(value)) for key, value in orjson.loads(rest).items()))
        case "v":
            return (3, _comparable(orjson.loads(rest)))
        case "i":
            return (4, int(rest))
    return (1, rest) if sort == "f" else (0,)


def _comparable(value: Any) -> tuple[int, Any]:
    rank = _RANKS[type(value)]
    return rank, value if rank < 3 else _json(value)


@lru_cache(maxsize=4096)
def describe(element: str) -> str:
    """Return the element as messages show it: ``.spec``, ``[name="sise"]``, ``[=80]``."""
    sort, rest = element[:1], element[2:]
    match sort:
        case "f":
            return f".{rest}"
        case "k":
            return "[" + ",".join(f"{key}={shown(value)}" for key, value in orjson.loads(rest).items()) + "]"
        case "v":
            return f"[={shown(orjson.loads(rest))}]"
    return f"[{rest}]"


def shown(value: Any) -> str:
    """Return a key's value as messages show it."""
    return quote(value) if isinstance(value, str) else _json(value)
