"""Check that lists of type ``set`` and ``map`` have no item twice (upstream: schema/listtype/validation.go)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from apiserver.crdschema.structural import LIST_KEYS, LIST_TYPE, Errors, Schema, parts
from machinery.errors import FieldError


def check_uniqueness(schema: Schema, value: Any, path: str = "") -> Errors:
    """Yield an error for each item that occurs a second time."""
    for inner, each, at in parts(schema, value, path):
        if isinstance(each, list):
            yield from _check(inner, each, at)


def _check(schema: Schema, value: list[Any], path: str) -> Errors:
    kind = schema.get(LIST_TYPE)
    if kind == "set":
        for index in _repeated(value):
            yield FieldError.duplicate(f"{path}[{index}]", value[index])
    elif kind == "map":
        for index, element in enumerate(value):
            if element is not None and not isinstance(element, dict):
                why = "must be an object for an array of list-type map"
                yield FieldError.invalid(f"{path}[{index}]", element, why)
                return
        names = schema.get(LIST_KEYS) or ()
        keys = [{name: element[name] for name in names if name in (element or {})} for element in value]
        for index in _repeated(keys):
            yield FieldError.duplicate(f"{path}[{index}]", keys[index])


def _repeated(elements: Iterable[Any]) -> Iterator[int]:
    """Yield the index at which each repeated item occurs the second time."""
    seen: Counter[bytes] = Counter()
    for index, element in enumerate(elements):
        identity = orjson.dumps(element, option=orjson.OPT_SORT_KEYS)
        seen[identity] += 1
        if seen[identity] == 2:
            yield index
