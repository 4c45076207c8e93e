"""Path elements: how a field, or an element of a list, is named in a set of fields.

    f:<name>    a field of a struct, a key of a map
    k:<keys>    an element of a list of maps, by the JSON of its keys: k:{"name":"sise"}
    v:<value>   an element of a set, by its JSON: v:"10.0.0.1"
    i:<index>   an element by its place (nobody makes these any longer, they are only understood)

Upstream: structured-merge-diff, fieldpath/element.go and serialize-pe.go.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from apiserver.schema.nodes import Array
from machinery.errors import quote

# Go's encoder writes these in a way that is safe inside of HTML.
_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
# How values of different types compare (upstream: value.Compare).
_RANKS = {float: 0, int: 0, str: 1, bool: 2, list: 3, dict: 4, type(None): 5}


class MissingKeyError(ValueError):
    """An element of a list that cannot be told from others; the text is upstream's."""


def of_item(array: Array, item: Any) -> str:
    """The element for an item of a list that is a set or a map; raises MissingKeyError."""
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
    return orjson.dumps(value).decode().translate(_ESCAPED)


def canonical(element: str) -> str:
    """A client's element as we write it, empty for one of an unknown sort; raises ValueError for nonsense."""
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
    """The elements of one level in upstream's order, "." first."""
    if len(level) < 2:
        return level
    keys = sorted(level)
    if keys[-1][0] != "f":  # the last of the sorts that have an order of their own, if there are any
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
    """The element as a part of a path that people read."""
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
    """A value as Go's printing shows it."""
    return quote(value) if isinstance(value, str) else _json(value)
