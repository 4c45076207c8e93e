"""Check the objects inside of custom resources that are marked with ``x-kubernetes-embedded-resource``.

Upstream: apiextensions-apiserver pkg/apiserver/schema/objectmeta/validation.go.
"""

from __future__ import annotations

from typing import Any

from apiserver.crdschema.structural import EMBEDDED, Errors, Schema, below
from apiserver.model import metadata
from apiserver.model.kind import Kind
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import FieldError
from machinery.validation import is_dns1035_label


def check_embedded(schema: Schema, value: Any, path: str = "") -> Errors:
    """Yield what is wrong with the apiVersion, kind and metadata of the embedded objects in a value."""
    if isinstance(value, list):
        items = below(schema, "items")
        for index, element in enumerate(value):
            if items is not None:
                yield from check_embedded(items, element, f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    if schema.get(EMBEDDED):
        yield from _check(value, path)
    properties, additional = schema.get("properties") or {}, below(schema, "additionalProperties")
    for key, child in value.items():
        if key in properties:
            yield from check_embedded(properties[key], child, f"{path}.{key}" if path else key)
        elif additional is not None:
            yield from check_embedded(additional, child, f"{path}[{key}]")


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
