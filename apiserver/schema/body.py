"""Read a request's bytes as a value: JSON with orjson, YAML with PyYAML.

orjson keeps the last of duplicate keys and does not report the others. Each key that it drops takes at least two
quotation marks along, so duplicates are found by counting the marks in the body and in the value written back. Only a
body in which the counts differ is parsed a second time, slowly, to name the duplicates.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import orjson
import yaml

from apiserver.schema import protobuf
from apiserver.schema.tree import Problem, SchemaNode
from machinery.errors import UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
# A YAML document of a few lines can stand for more nodes than fit into memory when its aliases refer to aliases.
_MOST_YAML_NODES = 1_000_000


class MalformedError(ValueError):
    """A body that is not valid JSON or YAML; the text says where."""


def parse(body: bytes, content_type: str) -> Any:
    """Return the value of a body; raises MalformedError, or UnsupportedMediaType for other content types.

    Of protobuf, the few bodies are understood that ``protobuf.parse`` knows.
    """
    if is_json(content_type):
        return parse_json(body)
    if is_yaml(content_type):
        return _parse_yaml(body)
    if _media_type(content_type) == PROTOBUF:
        value = protobuf.parse(body)
        if value is not None:
            return value
    raise unsupported_media_type(JSON, YAML)


def is_json(content_type: str) -> bool:
    """Return True for JSON, which is also what a body without a Content-Type is."""
    return _media_type(content_type) in (JSON, "")


def is_yaml(content_type: str) -> bool:
    """Return True for YAML."""
    return _media_type(content_type) == YAML


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def unsupported_media_type(*accepted: str) -> UnsupportedMediaType:
    """Return upstream's 415."""
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    )


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON text; raises MalformedError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(str(error)) from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one where it was built
    """A YAML loader that leaves times as strings, as upstream's does, and collects the keys that occur twice."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    self.duplicates.append(f'line {key.start_mark.line + 1}: key "{key.value}" already set in map')
                seen.add(key.value)
        constructed: dict[Any, Any] = super().construct_mapping(node, deep)
        return constructed


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _parse_yaml(body: bytes) -> Any:
    try:
        return _as_json(_load_yaml(body)[0], [_MOST_YAML_NODES])
    except RecursionError:
        raise MalformedError("error converting YAML to JSON: yaml: exceeded max depth") from None


def yaml_duplicates(body: bytes) -> list[str]:
    """Return a message of upstream's strict YAML reader about the keys that occur twice; [] when none does."""
    found = _load_yaml(body)[1]
    return ["yaml: unmarshal errors:\n  " + "\n  ".join(found)] if found else []


def _load_yaml(body: bytes) -> tuple[Any, list[str]]:
    try:
        loader = _Loader(body)
        try:
            # As upstream, this reads the first document and ignores the others.
            document = loader.get_data() if loader.check_data() else None
        finally:
            loader.dispose()
        return document, loader.duplicates
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MalformedError(f"error converting YAML to JSON: {_yaml_words(error)}") from None


def _yaml_words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"yaml: line {mark.line + 1}: {problem}" if mark else f"yaml: {problem}"


def _as_json(value: Any, budget: list[int]) -> Any:
    """Return a copy with aliases expanded and keys made strings; ``budget[0]`` is how many nodes it may still have."""
    budget[0] -= 1
    if budget[0] < 0:
        raise MalformedError("error converting YAML to JSON: yaml: document contains excessive aliasing")
    if isinstance(value, dict):
        return {_key(key): _as_json(child, budget) for key, child in value.items()}
    if isinstance(value, list):
        return [_as_json(child, budget) for child in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise MalformedError(f"error converting YAML to JSON: json: unsupported value: {value}")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value)  # which is what orjson makes of numbers of that size
    if isinstance(value, str | int | float) or value is None:
        return value
    raise MalformedError(f"error converting YAML to JSON: yaml: a {type(value).__name__} has no JSON form")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise MalformedError(f"error converting YAML to JSON: yaml: {key!r} cannot be a key")


def written(value: Any) -> bytes:
    """Return the value as JSON; raises MalformedError for one that could be read but not be written again."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # The value is nested deeper than 254 levels, or contains, from YAML, half of a surrogate pair.
        raise MalformedError("exceeded max depth") from None


def may_have_duplicates(body: bytes, again: bytes) -> bool:
    """Return False if no key occurs twice in a JSON body, True if one does or only ``strict_problems`` can tell.

    ``again`` is the body's value, written again.
    """
    return body.count(b'"') != again.count(b'"') or b"\\u0022" in body


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, duplicates included."""


def strict_problems(body: bytes, node: SchemaNode) -> list[Problem]:
    """Return the unknown and duplicate fields of a JSON body in the order of the document, as upstream lists them."""
    found: dict[Problem, None] = {}
    value = json.loads(body, object_pairs_hook=_Pairs)
    _collect(value, node, "", lambda problem: found.setdefault(problem))
    return list(found)


def _collect(value: Any, node: SchemaNode, path: str, report: Callable[[Problem], object]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, child in value:
            below = node.child(key)
            if below is None:
                report(Problem("unknown field", f"{path}.{key}"))
                continue
            if key in seen:
                report(Problem("duplicate field", f"{path}.{key}"))
            seen.add(key)
            _collect(child, below, f"{path}.{key}", report)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            below = node.child("")
            if below is not None:
                _collect(child, below, f"{path}[{index}]", report)
