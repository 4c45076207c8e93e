"""A request's bytes as a value: JSON by orjson, YAML by PyYAML, with Go's words for what is malformed.

orjson keeps the last of duplicate keys without a word. Whether there were any is told by counting quotation marks in
the body and in the value written back: a dropped key takes at least two along. Only then is the body read twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import orjson
import yaml

from apiserver.schema import protobuf
from apiserver.schema.nodes import Node, Problem
from machinery.errors import UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
# A YAML document of aliases to aliases may be a few lines and still stand for more nodes than fit into memory.
_MOST_YAML_NODES = 1_000_000

# Python's words for a JSON error → what Go says after ``invalid character 'x'``.
_GO_WORDS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}


class MalformedError(ValueError):
    """A body that is no JSON or YAML; the text is upstream's."""


def parse(body: bytes, content_type: str) -> Any:
    """The value of a body; raises MalformedError, or UnsupportedMediaType for what is neither JSON nor YAML."""
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
    """Whether a body of this type is JSON, as it is when the client does not say."""
    return _media_type(content_type) in (JSON, "")


def is_yaml(content_type: str) -> bool:
    """Whether a body of this type is YAML."""
    return _media_type(content_type) == YAML


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def unsupported_media_type(*accepted: str) -> UnsupportedMediaType:
    """Upstream's 415."""
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    )


def parse_json(body: bytes) -> Any:
    """The value of a JSON text; raises MalformedError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(_go_words(body) or str(error)) from None


def _go_words(body: bytes) -> str:
    try:
        text = body.decode()
        json.loads(text)
    except UnicodeDecodeError:
        return "invalid UTF-8 in JSON text"
    except RecursionError:
        return "exceeded max depth"
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            return "unexpected end of JSON input"
        found = text[error.pos]
        if error.msg.startswith("Illegal trailing comma"):  # Python 3.13 points at the comma, Go at what follows it
            found = text[error.pos + 1 :].lstrip()[0]
        if error.msg == "Expecting ',' delimiter":
            words = "after " + _innermost(text[: error.pos])
        else:
            words = _GO_WORDS.get(error.msg.removesuffix(": "), error.msg)
        shown = found if found.isprintable() else f"\\x{ord(found):02x}"
        return f"invalid character '{shown}' {words}"
    return ""  # Python reads it (NaN, a lone surrogate): orjson's own words must do.


def _innermost(text: str) -> str:
    """What a comma was expected after; strings are skipped, the text up to here is known to be well-formed."""
    stack: list[str] = []
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            stack.append(character)
        elif character in "}]":
            stack.pop()
    return "array element" if stack and stack[-1] == "[" else "object key:value pair"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one where it was built
    """Times stay strings, as upstream's YAML reader leaves them; keys that occur twice are noted."""

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
    """Keys that occur twice in a YAML body, in the words of upstream's strict reader."""
    found = _load_yaml(body)[1]
    return ["yaml: unmarshal errors:\n  " + "\n  ".join(found)] if found else []


def _load_yaml(body: bytes) -> tuple[Any, list[str]]:
    try:
        loader = _Loader(body)
        try:
            # Further documents are not looked at, as upstream does.
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
    """A copy with aliases spelled out and keys made strings."""
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
        return float(value)  # as for JSON numbers of that size
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
    """The value as JSON; raises MalformedError for one that could be read but never be written again."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Nested deeper than 254 levels; or, from YAML, half of a surrogate pair.
        raise MalformedError("exceeded max depth") from None


def may_have_duplicates(body: bytes, again: bytes) -> bool:
    """False when no key occurs twice in a JSON body; true when one does, or when only a second reading can tell.

    ``again`` is the body's value, written again.
    """
    return body.count(b'"') != again.count(b'"') or b"\\u0022" in body


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all its members, duplicates too."""


def strict_problems(body: bytes, node: Node) -> list[Problem]:
    """Unknown and duplicate fields of a JSON body in the order of the document, as upstream lists them."""
    found: dict[Problem, None] = {}
    value = json.loads(body, object_pairs_hook=_Pairs)
    _collect(value, node, "", lambda problem: found.setdefault(problem))
    return list(found)


def _collect(value: Any, node: Node, path: str, report: Callable[[Problem], object]) -> None:
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
