"""Check ``openAPIV3Schema`` for everything else than being structural.

Upstream: ValidateCustomResourceDefinitionOpenAPISchema and validateMapListKeysMapSet, apiextensions validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from apiserver.crdschema.structural import (
    BOUNDS,
    EMBEDDED,
    JUNCTORS,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
    SIZES,
    Errors,
    Schema,
    below,
)
from apiserver.model import checks
from machinery.errors import FieldError

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_META_FIELDS = ("metadata", "kind", "apiVersion")
# What a schema may have at its root if the version has the subresource status.
_AT_ROOT = (
    *("description", "type", "format", "title"),
    *BOUNDS,
    *SIZES,
    *("multipleOf", "required", "items", "properties", "externalDocs", "example"),
    *(PRESERVE, RULES),
)


@dataclass(frozen=True)
class _Place:
    """What the schemas around a schema forbid in it."""

    root: bool = False
    inside_metadata: bool = False
    no_default: str = ""  # why a default may not stand here


def check_schema(path: str, schema: Schema, *, status: bool) -> Errors:
    """Yield everything that is wrong with a version's schema. ``status``: the version has that subresource."""
    if status:
        yield from _root_with_status(path, schema)
    if schema.get("nullable"):
        yield FieldError.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    yield from _check(path, schema, _Place(root=True))


def _root_with_status(path: str, schema: Schema) -> Errors:
    for key, value in schema.items():
        if key == "type" and value != "object":
            why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            yield FieldError.invalid(f"{path}.type", value, why)
            return
        if key not in _AT_ROOT and value:
            names = " ".join(_go_name(name) for name in _AT_ROOT)
            why = f"only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
            yield FieldError.invalid(path, schema, why)
            return


def _go_name(key: str) -> str:
    if key.startswith("x-kubernetes-"):
        return "X" + "".join(word.capitalize() for word in key.removeprefix("x-kubernetes-").split("-"))
    return key[:1].upper() + key[1:]


def _check(path: str, schema: Schema, place: _Place) -> Errors:
    yield from _unsupported(path, schema, place)
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield FieldError.forbidden(f"{path}.uniqueItems", why)
    if "additionalProperties" in schema and schema.get("properties") and schema["additionalProperties"] is not True:
        why = "additionalProperties and properties are mutual exclusive"
        yield FieldError.forbidden(f"{path}.additionalProperties", why)
    for at, child, its_place in _children(schema, place):
        yield from _check(f"{path}.{at}", child, its_place)
    if schema.get(PRESERVE) is False:
        yield FieldError.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")
    yield from _map_type(path, schema)
    yield from _list_type(path, schema)
    if schema.get(LIST_TYPE) == "map":
        yield from _list_map(path, schema)
    yield from _keys(path, schema)


def _children(schema: Schema, place: _Place) -> Iterator[tuple[str, Schema, _Place]]:
    """Yield every schema directly inside a schema, with its relative path and place."""
    inner = replace(place, root=False)
    additional = below(schema, "additionalProperties")
    if additional is not None:
        reason = "inside additionalProperties applying to object metadata"
        yield "additionalProperties", additional, replace(inner, no_default=reason) if place.inside_metadata else inner
    for name, child in (schema.get("properties") or {}).items():
        its = inner
        if (place.root or schema.get(EMBEDDED)) and name in _META_FIELDS:
            its = replace(its, inside_metadata=True)
            if place.root:
                its = replace(its, no_default=f"in top-level {name}")
        yield f"properties[{name}]", child, its
    if schema.get("not") is not None:
        yield "not", schema["not"], inner
    for junctor in JUNCTORS:
        for index, child in enumerate(schema.get(junctor) or ()):
            yield f"{junctor}[{index}]", child, inner
    items = below(schema, "items")
    if items is not None:
        yield "items", items, inner


def _unsupported(path: str, schema: Schema, place: _Place) -> Errors:
    kind = schema.get("type", "")
    yield from checks.supported(f"{path}.type", kind or None, TYPES)
    if schema.get("default") is not None and place.no_default:
        yield FieldError.forbidden(f"{path}.default", f"must not be set {place.no_default}")
    for key in _UNSUPPORTED:
        if schema.get(key) not in (None, "", {}):
            yield FieldError.forbidden(f"{path}.{key}", f"{key} is not supported")
    if kind == "null":
        why = "type cannot be set to null, use nullable as an alternative"
        yield FieldError.forbidden(f"{path}.type", why)
    if isinstance(schema.get("items"), list):
        yield FieldError.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.inside_metadata and schema.get(EMBEDDED):
        yield FieldError.forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta")


def _of_type(path: str, schema: Schema, wanted: str, extension: str) -> Errors:
    kind, why = schema.get("type", ""), f"must be {wanted} if {extension} is specified"
    if not kind:
        yield FieldError.required(f"{path}.type", why)
    elif kind != wanted:
        yield FieldError.invalid(f"{path}.type", kind, why)


def _map_type(path: str, schema: Schema) -> Errors:
    found = schema.get(MAP_TYPE)
    if found is None:
        return
    yield from _of_type(path, schema, "object", MAP_TYPE)
    yield from checks.supported(f"{path}.{MAP_TYPE}", found, ("atomic", "granular"))


def _list_type(path: str, schema: Schema) -> Errors:
    found, items = schema.get(LIST_TYPE), below(schema, "items")
    if found is not None:
        if schema.get("type") != "array":
            yield from _of_type(path, schema, "array", LIST_TYPE)
        elif found == "set" and items is not None:
            why = f"must be atomic as item of a list with {LIST_TYPE}=set"
            if items.get("type") == "array" and items.get(LIST_TYPE, "atomic") != "atomic":
                yield FieldError.invalid(f"{path}.items.{LIST_TYPE}", items[LIST_TYPE], why)
            if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
                yield FieldError.invalid(f"{path}.items.{MAP_TYPE}", items.get(MAP_TYPE), why)
        yield from checks.supported(f"{path}.{LIST_TYPE}", found, ("atomic", "set", "map"))
    if schema.get(LIST_KEYS) and found != "map":
        why = f"must be map if {LIST_KEYS} is non-empty"
        at = f"{path}.{LIST_TYPE}"
        yield FieldError.required(at, why) if found is None else FieldError.invalid(at, found, why)


def _list_map(path: str, schema: Schema) -> Errors:
    keys, items = schema.get(LIST_KEYS) or [], below(schema, "items")
    if not keys:
        yield FieldError.required(f"{path}.{LIST_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    if "items" not in schema:
        yield FieldError.required(f"{path}.items", f"must have a schema if {LIST_TYPE} is map")
    elif items is None:
        why = f"must only have a single schema if {LIST_TYPE} is map"
        yield FieldError.invalid(f"{path}.items", schema["items"], why)
    elif items.get("type") != "object":
        why = f"must be object if parent array's {LIST_TYPE} is map"
        yield FieldError.invalid(f"{path}.items.type", items.get("type", ""), why)
    else:
        yield from _list_keys(path, keys, items)


def _list_keys(path: str, keys: list[str], items: Schema) -> Errors:
    properties = items.get("properties") or {}
    again = set(checks.repeated(keys))
    for index, key in enumerate(keys):
        if key not in properties:
            yield FieldError.invalid(f"{path}.{LIST_KEYS}", keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            why = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            yield FieldError.invalid(f"{path}.items.properties[{key}].type", items.get("type", ""), why)
        if index in again:
            yield FieldError.invalid(f"{path}.{LIST_KEYS}", keys, "must not contain duplicate entries")


def _keys(path: str, schema: Schema) -> Errors:
    """Check that items of sets and maps always have what identifies them: a value, or all keys."""
    items, found = below(schema, "items"), schema.get(LIST_TYPE)
    if items is None or found not in ("set", "map"):
        return
    if items.get("nullable"):
        yield FieldError.forbidden(f"{path}.items.nullable", f"cannot be nullable when {LIST_TYPE} is {found}")
    if found == "set":
        return
    required = frozenset(items.get("required") or ())
    for key in schema.get(LIST_KEYS) or ():
        child = (items.get("properties") or {}).get(key)
        if child is None:
            continue
        at = f"{path}.items.properties[{key}]"
        if key not in required and child.get("default") is None:
            why = f"this property is in {LIST_KEYS}, so it must have a default or be a required property"
            yield FieldError.required(f"{at}.default", why)
        if child.get("nullable"):
            yield FieldError.forbidden(f"{at}.nullable", f"this property is in {LIST_KEYS}, so it cannot be nullable")
