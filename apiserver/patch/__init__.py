"""The three patch types that say what to change: JSON patch, JSON merge patch, strategic merge patch.

``apply`` returns the changed object, which the kind's codec then checks against the schema like any body. The fourth
patch type, server-side apply, says what the result shall be: see ``managedfields``.

    json.py         JSON patch (RFC 6902) and JSON merge patch (RFC 7396)
    strategic.py    strategic merge patch, which merges lists by their keys
"""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.model import patchtypes
from apiserver.model.kind import Kind
from apiserver.model.patchtypes import STRATEGIC_MERGE_PATCH
from apiserver.patch.json import apply_json_patch, merge
from apiserver.patch.strategic import strategic_merge
from apiserver.schema.body import MalformedError, parse_json, unsupported_media_type, written
from apiserver.schema.decode import unfitting
from apiserver.schema.tree import MismatchError
from machinery.errors import BadRequest, FieldError, invalid
from machinery.objects import Object


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
    except MalformedError as error:
        raise BadRequest(f"{prefix}{error}") from None
    if type(value) is not wanted:
        go_type = "map[string]interface {}" if wanted is dict else "[]interface {}"
        raise BadRequest(f"{prefix}{MismatchError(value, go_type)}")
    return value
