"""Read a request's bytes as a value: JSON with orjson, YAML with ``yamlbody``.

orjson keeps the last of duplicate keys and does not report the others. Each key that it drops takes at least two
quotation marks along, so duplicates are found by counting the marks in the body and in the value written back. Only a
body in which the counts differ is parsed a second time, slowly, to name the duplicates.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from apiserver.schema import yamlbody
from apiserver.schema.tree import Problem, SchemaNode
from machinery.errors import UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"


class MalformedError(ValueError):
    """A body that is not valid JSON or YAML; the text says where."""


class Source(NamedTuple):
    """Where an object comes from, for finding the fields that occur twice: the object no longer has them."""

    json: bytes = b""  # the body, if it is JSON
    written: bytes = b""  # the value of the body, written again as JSON
    duplicates: Sequence[str] = ()  # what ``yamlbody`` found


def parse(body: bytes, content_type: str) -> tuple[Any, Source]:
    """Return the value of a body; raises MalformedError, or UnsupportedMediaType for other content types."""
    if is_json(content_type):
        value = parse_json(body)
        return value, Source(body, written(value))
    if is_yaml(content_type):
        return parse_yaml(body)
    raise unsupported_media_type(JSON, YAML, *(() if is_protobuf(content_type) else (PROTOBUF,)))


def is_json(content_type: str) -> bool:
    """Return True for JSON, which is also what a body without a Content-Type is."""
    return _media_type(content_type) in (JSON, "")


def is_yaml(content_type: str) -> bool:
    """Return True for YAML."""
    return _media_type(content_type) == YAML


def is_protobuf(content_type: str) -> bool:
    """Return True for protobuf, which only built-in kinds can be in."""
    return _media_type(content_type) == PROTOBUF


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


def parse_yaml(body: bytes) -> tuple[Any, Source]:
    """Return the value of the first document in a YAML text; raises MalformedError."""
    try:
        value, duplicates = yamlbody.load(body)
        return value, Source(b"", written(value), _most(duplicates))
    except (yamlbody.YamlError, MalformedError) as error:
        raise MalformedError(f"error converting YAML to JSON: {error}") from None


def _most(duplicates: list[str]) -> list[str]:
    """Return one message of upstream's strict YAML reader about the keys that occur twice; [] when none does."""
    return ["yaml: unmarshal errors:\n  " + "\n  ".join(duplicates)] if duplicates else []


def written(value: Any) -> bytes:
    """Return the value as JSON; raises MalformedError for one that could be read but not be written again."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # The value is nested deeper than 254 levels, or contains, from YAML, half of a surrogate pair.
        raise MalformedError("exceeded max depth") from None


def may_have_duplicates(source: Source) -> bool:
    """Return False if no key occurs twice in a JSON body, True if one does or only a second look can tell."""
    return source.json.count(b'"') != source.written.count(b'"') or b"\\u0022" in source.json


def fields(source: Source, node: SchemaNode) -> Sequence[Problem]:
    """Return the unknown and duplicate fields of a JSON body in the order of the document, as upstream lists them."""
    return _collect(json.loads(source.json, object_pairs_hook=_Pairs), node)


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, duplicates included."""


def _collect(value: Any, node: SchemaNode) -> list[Problem]:
    found: list[Problem] = []
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, child in value:
            below = node.child(key)
            if below is None:
                found.append(Problem("unknown field", f".{key}"))
                continue
            if key in seen:
                found.append(Problem("duplicate field", f".{key}"))
            seen.add(key)
            if inside := _collect(child, below):
                found.append(Problem("", f".{key}", inside))
    elif isinstance(value, list):
        below = node.child("")
        for index, child in enumerate(value if below is not None else ()):
            if below is not None and (inside := _collect(child, below)):
                found.append(Problem("", f"[{index}]", inside))
    return found
