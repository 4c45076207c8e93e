"""Decode a body to a custom resource in upstream's steps: decode, prune, coerce metadata, fill in defaults.

Unlike for built-in kinds, the body must have a kind and apiVersion. The kind is kept as it was sent, and checked with
the rest of the object.
"""

from __future__ import annotations

from apiserver.model.kind import Kind
from apiserver.schema import body as bodies
from apiserver.schema.decode import cannot_be_handled, invalid_patch, read, strict, unrecognized
from apiserver.schema.tree import MismatchError, SchemaNode
from machinery.errors import BadRequest
from machinery.objects import Object


def decode_custom(
    kind: Kind, node: SchemaNode, body: bytes, content_type: str, field_validation: str
) -> tuple[Object, list[str]]:
    """Return the object in a body and warnings about what was dropped: see ``Codec.decode``."""
    obj, written = read(kind, body, content_type)
    if not obj.get("kind"):
        raise unrecognized(kind, f"Object 'Kind' is missing in '{body.decode(errors='replace')}'", body)
    if obj.get("apiVersion", "") != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({obj.get('apiVersion', '')}) does not match the expected API version "
            f"({kind.api_version})"
        )
    try:
        problems = node.walk(obj) if node.walk else None
    except MismatchError as mismatch:
        raise cannot_be_handled(kind, kind.version, obj["kind"], str(mismatch)) from None
    texts = [str(problem) for problem in problems or ()]
    obj.setdefault("metadata", {})
    texts, refused = strict(node, body, written, content_type, texts, field_validation)
    if refused:
        raise cannot_be_handled(kind, kind.version, obj["kind"], refused)
    return obj, texts


def check_custom(node: SchemaNode, obj: Object, field_validation: str) -> tuple[Object, list[str]]:
    """Prune and default an object that a patch produced: see ``Codec.check``."""
    try:
        problems = node.walk(obj) if node.walk else None
    except MismatchError as mismatch:
        raise invalid_patch(obj, str(mismatch)) from None
    obj.setdefault("metadata", {})
    texts = [str(problem) for problem in problems or ()]
    texts, refused = strict(node, b"", b"", bodies.PROTOBUF, texts, field_validation)
    if refused:
        raise invalid_patch(obj, refused)
    return obj, texts
