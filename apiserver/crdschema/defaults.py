"""Check that defaults are valid values themselves (upstream: pkg/apiserver/schema/defaulting/validation.go)."""

from __future__ import annotations

import orjson

from apiserver.crdschema import embedded, tree, values
from apiserver.crdschema.structural import EMBEDDED, Errors, Schema, below
from apiserver.schema.tree import MismatchError
from machinery.errors import FieldError


def check_defaults(path: str, schema: Schema) -> Errors:
    """Yield what is wrong with the defaults in a schema."""
    if schema.get("default") is not None:
        yield from _check(f"{path}.default", schema)
    items = below(schema, "items")
    if items is not None:
        yield from check_defaults(f"{path}.items", items)
    for name, child in (schema.get("properties") or {}).items():
        yield from check_defaults(f"{path}.properties[{name}]", child)


def _check(path: str, schema: Schema) -> Errors:
    default = schema["default"]
    pruned = orjson.loads(orjson.dumps(default))
    node = tree.compile_schema({**schema, "default": None})
    try:
        if node.walk is not None and type(pruned) is node.wanted and node.walk(pruned):
            yield FieldError.invalid(path, default, "must not have unknown fields")
    except MismatchError as mismatch:
        yield FieldError.invalid(f"{path}.metadata", default.get("metadata"), str(mismatch))
        return
    if schema.get(EMBEDDED) and (errors := list(embedded.check_embedded(schema, default, path))):
        yield from errors
        return
    for error in values.check_values(schema, default):
        yield error._replace(field=f"{path}.{error.field}" if error.field else path)
