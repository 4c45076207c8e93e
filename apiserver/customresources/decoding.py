"""Decode a body to a custom resource in upstream's steps: decode, prune, coerce metadata, fill in defaults.

Unlike for built-in kinds, the body must have a kind and apiVersion. The kind is kept as it was sent, and checked with
the rest of the object.
"""

from __future__ import annotations

from functools import partial

from apiserver.crdschema import numbers
from apiserver.model.kind import Kind
from apiserver.schema.decode import cannot_be_handled, fit, read, unrecognized
from apiserver.schema.tree import SchemaNode
from machinery.errors import BadRequest
from machinery.objects import Object


def decode_custom(
    kind: Kind, node: SchemaNode, body: bytes, content_type: str, field_validation: str
) -> tuple[Object, list[str]]:
    """Return the object in a body and warnings about what was dropped: see ``Codec.decode``."""
    obj, source = read(kind, body, content_type)
    if not obj.get("kind"):
        raise unrecognized(kind, f"Object 'Kind' is missing in '{body.decode(errors='replace')}'", body)
    if obj.get("apiVersion", "") != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({obj.get('apiVersion', '')}) does not match the expected API version "
            f"({kind.api_version})"
        )
    numbers.normalize(obj)
    refuse = partial(cannot_be_handled, kind, kind.version, obj["kind"])
    warnings = fit(node, obj, source, field_validation=field_validation, refuse=refuse)
    obj.setdefault("metadata", {})
    return obj, warnings
