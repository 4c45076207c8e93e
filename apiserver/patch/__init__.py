"""The three patch types that say what to change: JSON patch, JSON merge patch, strategic merge patch.

``apply`` returns the changed object, and ``checked`` checks it against the schema like any body. The fourth patch type,
server-side apply, says what the result shall be: see ``managedfields``.

    json.py         JSON patch (RFC 6902) and JSON merge patch (RFC 7396)
    strategic.py    strategic merge patch, which merges lists by their keys
"""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.model import patchtypes
from apiserver.model.kind import Kind
from apiserver.model.patchtypes import STRATEGIC_MERGE_PATCH
from apiserver.patch.json import MEMBERS, apply_json_patch, merge
from apiserver.patch.strategic import strategic_merge
from apiserver.schema.body import (
    MalformedError,
    Source,
    fields,
    may_have_duplicates,
    parse_json,
    unsupported_media_type,
    written,
)
from apiserver.schema.decode import invalid_patch, unfitting
from apiserver.schema.tree import Array, MismatchError, SchemaNode, Struct, listed
from machinery.errors import BadRequest, FieldError, invalid
from machinery.objects import Object

_ANYTHING = SchemaNode("interface {}")
_OPERATION = Struct("handlers.jsonPatchOp")
_OPERATION.specs = {member: _ANYTHING.spec() for member in MEMBERS}
_OPERATIONS = Array(_OPERATION)


def checked(
    kind: Kind, changed: Object, patch: bytes, content_type: str, field_validation: str
) -> tuple[Object, list[str]]:
    """Bring what a patch has made into its stored form; return it with warnings about the fields that were dropped.

    Raises Invalid if it does not fit the schema.
    """
    strict = field_validation == "Strict"
    new, unknown = kind.codec.check(changed, field_validation="Warn" if strict else field_validation)
    warnings = [*(() if field_validation == "Ignore" else duplicates(kind, patch, content_type)), *unknown]
    if strict and warnings:
        raise invalid_patch(new, f"strict decoding error: {', '.join(warnings)}")
    return new, warnings


def duplicates(kind: Kind, patch: bytes, content_type: str) -> list[str]:
    """Return texts about the fields that occur twice in a patch; of a JSON patch also about those that it has not."""
    value = parse_json(patch)
    source = Source(patch, written(value))
    if accepted_type(content_type, kind) == patchtypes.JSON_PATCH:
        unknown = any(key not in MEMBERS for operation in value for key in operation or ())
        found = listed(fields(source, _OPERATIONS)) if unknown or may_have_duplicates(source) else ()
        return [f"json patch {problem}" for problem in found]
    return list(map(str, listed(fields(source, _ANYTHING)))) if may_have_duplicates(source) else []


def apply(kind: Kind, current: Object, patch: bytes, content_type: str) -> Object:
    """Return a changed copy of ``current``; raises BadRequest, Invalid or UnsupportedMediaType as upstream does."""
    media_type = accepted_type(content_type, kind)
    # This is the fastest deep copy. ``current`` may belong to the watch cache.
    original: Object = orjson.loads(orjson.dumps(current))
    try:
        changed = _apply(kind, original, patch, media_type)
        written(changed)
    except (MalformedError, RecursionError):
        raise BadRequest("error decoding patch: exceeded max depth") from None
    if not isinstance(changed, dict):
        raise BadRequest("the patch does not leave an object: its root is replaced by something else")
    _keep_identity(kind, changed, current, media_type)
    return changed


def _keep_identity(kind: Kind, changed: Object, before: Object, media_type: str) -> None:
    """Keep a patch from changing apiVersion and kind, as upstream does.

    Upstream ignores what a strategic merge patch says about them, and refuses the other patches (Invalid).
    """
    identity: Object = {field: before[field] for field in ("apiVersion", "kind") if field in before}
    kept = {field: changed.get(field) or value for field, value in identity.items()}
    changed |= identity if media_type == STRATEGIC_MERGE_PATCH else kept
    if kept == identity or media_type == STRATEGIC_MERGE_PATCH or not all(isinstance(v, str) for v in kept.values()):
        return  # a value of another type is refused when the object is checked against the schema
    why = unfitting(kind, kept["apiVersion"], kept["kind"])
    raise invalid("", "", [FieldError.invalid("patch", orjson.dumps(changed).decode(), why)])


def accepted_type(content_type: str, kind: Kind) -> str:
    """Return the media type of a patch; raises UnsupportedMediaType for one that the kind does not take."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in kind.codec.patch_types:
        raise unsupported_media_type(*kind.codec.patch_types)
    return media_type


def _apply(kind: Kind, original: Object, patch: bytes, media_type: str) -> Any:
    match media_type:
        case patchtypes.JSON_PATCH:
            return apply_json_patch(original, _parse(patch, list, "error decoding patch: "))
        case patchtypes.MERGE_PATCH:
            return merge(original, _parse(patch, dict, "error decoding patch: "))
    return strategic_merge(original, _parse(patch, dict, ""), kind.codec.node)


def _parse(patch: bytes, wanted: type, prefix: str) -> Any:
    try:
        value = parse_json(patch)
        written(value)
    except MalformedError as error:
        raise BadRequest(f"{prefix}{error}") from None
    if type(value) is not wanted:
        go_type = "map[string]interface {}" if wanted is dict else "[]handlers.jsonPatchOp"
        raise BadRequest(f"{prefix}{MismatchError(value, go_type)}")
    return value
