"""Field paths such as ``.spec.color`` and ``.spec['a-b']``, by which selectable fields and rules name a field.

Upstream: ValidFieldPath, apiextensions-apiserver pkg/apiserver/schema/cel/validation.go.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from apiserver.crdschema.structural import Schema, below

_TOKEN = re.compile(r"'(?:\\.|[^'\\])*(?:\\|')?|[.\[\]]|[^.\[\]']+", re.DOTALL)


class Place(NamedTuple):
    """A field: its schema, the keys that lead to it, and its path as messages show it."""

    schema: Schema
    keys: tuple[str, ...]
    text: str


def find(path: str, schema: Schema, *, brackets: bool = True) -> Place:
    """Return the field that a path names; raises ValueError with upstream's text."""
    tokens, keys, text = _TOKEN.findall(path), [], ""
    position = 0

    def take() -> str:
        nonlocal position
        if position >= len(tokens):
            raise ValueError("unexpected end of JSON path")
        position += 1
        return str(tokens[position - 1])

    while position < len(tokens):
        token = take()
        if token == ".":
            key = take()
        elif token == "[":
            if not brackets:
                raise ValueError("array notation is not allowed")
            quoted = take()
            if len(quoted) < 2 or quoted[0] != "'" or quoted[-1] != "'":
                raise ValueError(f"expected single quoted string but got {quoted}")
            key = re.sub(r"\\(.)", r"\1", quoted[1:-1])
            if (end := take()) != "]":
                raise ValueError(f"expected ] but got {end}")
        else:
            raise ValueError(f"expected [ or . but got: {token}")
        properties, additional = schema.get("properties"), below(schema, "additionalProperties")
        if properties is not None and key in properties:
            schema, text = properties[key], f"{text}.{key}" if text else key
        elif properties is None and additional is not None:
            schema, text = additional, f"{text}[{key}]"
        else:
            raise ValueError("does not refer to a valid field")
        keys.append(key)
    return Place(schema, tuple(keys), text)


def value_at(obj: Any, keys: tuple[str, ...]) -> Any:
    """Return the value of an object at these keys, None if it has none."""
    for key in keys:
        if not isinstance(obj, dict) or key not in obj:
            return None
        obj = obj[key]
    return obj


def keys_of(path: str) -> tuple[str, ...]:
    """Return the keys of a path in plain dot notation."""
    return tuple(path.removeprefix(".").split("."))
