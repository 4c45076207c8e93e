"""Check the objects inside of custom resources that are marked with ``x-kubernetes-embedded-resource``.

Upstream: apiextensions-apiserver pkg/apiserver/schema/objectmeta/validation.go.
"""

from __future__ import annotations

from typing import Any

from apiserver.crdschema.structural import EMBEDDED, Errors, Schema, parts
from apiserver.model import metadata
from apiserver.model.kind import Kind
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import FieldError
from machinery.validation import is_dns1035_label


def check_embedded(schema: Schema, value: Any, path: str = "") -> Errors:
    """Yield what is wrong with the apiVersion, kind and metadata of the embedded objects in a value."""
    for inner, each, at in parts(schema, value, path):
        if inner.get(EMBEDDED) and isinstance(each, dict):
            yield from _check(each, at)


def _check(value: dict[str, Any], path: str) -> Errors:
    for field in ("apiVersion", "kind"):
        at, text = f"{path}.{field}", value.get(field)
        if field not in value:
            yield FieldError.required(at, "must not be empty")
        elif not isinstance(text, str):
            yield FieldError.invalid(at, text, "must be a string")
        elif not text:
            yield FieldError.invalid(at, text, "must not be empty")
        elif field == "apiVersion" and text.count("/") > 1:
            yield FieldError.invalid(at, text, f"unexpected GroupVersion string: {text}")
        elif field == "kind" and (errors := is_dns1035_label(text.lower())):
            why = f"may have mixed case, but should otherwise match: {','.join(errors)}"
            yield FieldError.invalid(at, text, why)
    found = value.get("metadata")
    if isinstance(found, dict):
        # The object may be a template, which needs no name yet.
        kind = Kind("", "", "", "", UpstreamCodec(""), namespaced=bool(found.get("namespace")))
        whole = {"metadata": {**found, "name": found.get("name") or "fakename"}}
        for error in metadata.validate(kind, whole):
            yield error._replace(field=f"{path}.{error.field}")
