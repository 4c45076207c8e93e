"""Check that a schema is structural, which every schema of a definition must be.

JSON Schema can say "either this or that" about anything, so in general nobody can tell from a schema which fields an
object has. A structural schema is restricted so that its skeleton tells. In the skeleton, that is outside the junctors
(``allOf``, ``anyOf``, ``oneOf`` and ``not``), every field, item and additional property has one non-empty ``type``.
Below junctors a schema may only restrict values: it must not have types, defaults, descriptions or extensions
(``_FORBIDDEN``), and every field that it names must be in the skeleton as well (``_complete``). Exceptions are made for
x-kubernetes-int-or-string, whose idiom ``anyOf: [type: integer, type: string]`` is allowed, and for
x-kubernetes-preserve-unknown-fields, which needs no type.

Pruning, defaulting (``tree.py``), CEL types and OpenAPI publishing all rely on the skeleton. Upstream:
apiextensions-apiserver pkg/apiserver/schema, validation.go and complete.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.crdschema import regex
from machinery.errors import FieldError

Schema = dict[str, Any]
Errors = Iterator[FieldError]

EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
LIST_TYPE, LIST_KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
RULES = "x-kubernetes-validations"
JUNCTORS = ("anyOf", "allOf", "oneOf")
# Limits of numbers, and of strings and arrays.
BOUNDS = ("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum")
SIZES = ("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems")

_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"
_EITHER = [{"type": "integer"}, {"type": "string"}]
# What a schema below a junctor must not have, with the word for what it must be instead.
_FORBIDDEN = {
    **dict.fromkeys(("type", "title", "description", LIST_KEYS, RULES), "empty"),
    **dict.fromkeys(("additionalProperties", "default", LIST_TYPE, MAP_TYPE), "undefined"),
    **dict.fromkeys(("nullable", PRESERVE, EMBEDDED, INT_OR_STRING), "false"),
}


def check_structural(path: str, schema: Schema) -> list[FieldError]:
    """Return everything that keeps the schema at ``path`` from being structural, sorted as upstream sorts it."""
    return sorted([*_invariants(schema, _ROOT, path), *_complete(schema, schema, path, path)], key=str)


def below(schema: Schema, part: str) -> Schema | None:
    """Return the schema of ``items`` or ``additionalProperties``; None if there is a list or boolean, or nothing."""
    found = schema.get(part)
    return found if isinstance(found, dict) else None


def says(schema: Schema, extension: str) -> bool:
    """Return True if a schema, or one inside its skeleton, has an extension."""
    inner = [below(schema, part) for part in ("items", "additionalProperties")]
    inner += (schema.get("properties") or {}).values()
    return bool(schema.get(extension)) or any(says(child, extension) for child in inner if child is not None)


def rule_characters(schema: Schema) -> int:
    """Return the length of all expressions in a schema's rules."""
    inner = [below(schema, part) for part in ("items", "additionalProperties")]
    inner += (schema.get("properties") or {}).values()
    own = sum(len(rule.get(part) or "") for rule in schema.get(RULES) or () for part in ("rule", "messageExpression"))
    return own + sum(rule_characters(child) for child in inner if child is not None)


def parts(schema: Schema, value: Any, path: str = "") -> Iterator[tuple[Schema, Any, str]]:
    """Yield a value and every value in it that the schema describes, each with its own schema and path."""
    yield schema, value, path
    if isinstance(value, list):
        items = below(schema, "items")
        for index, element in enumerate(value if items is not None else ()):
            yield from parts(items or {}, element, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties, additional = schema.get("properties") or {}, below(schema, "additionalProperties")
        for key, child in value.items():
            if key in properties:
                yield from parts(properties[key], child, f"{path}.{key}" if path else key)
            elif additional is not None:
                yield from parts(additional, child, f"{path}[{key}]")


def is_either(schema: Schema) -> bool:
    """Return True for ``anyOf: [type: integer, type: string]``, the idiom that may accompany int-or-string."""
    return schema.get("anyOf") == _EITHER


def _invariants(schema: Schema, level: str, path: str) -> Errors:
    kind = schema.get("type", "")
    items, additional = below(schema, "items"), below(schema, "additionalProperties")
    if kind == "array" and items is None:
        yield FieldError.required(f"{path}.items", "must be specified")
    if items is not None:
        yield from _invariants(items, _ITEM, f"{path}.items")
    for name, child in (schema.get("properties") or {}).items():
        yield from _invariants(child, _FIELD, f"{path}.properties[{name}]")
    if "additionalProperties" in schema and level == _ROOT:
        yield FieldError.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if additional is not None:
        yield from _invariants(additional, _FIELD, f"{path}.additionalProperties")
    for extension in (PRESERVE, EMBEDDED):
        if schema.get(INT_OR_STRING) and schema.get(extension):
            yield FieldError.invalid(f"{path}.{extension}", True, f"must be false if {INT_OR_STRING} is true")
    skip_first = bool(schema.get("allOf")) and is_either(schema["allOf"][0])
    yield from _values(schema, path, skip_any=is_either(schema), skip_first=skip_first)
    yield from _type(schema, level, path)
    if level == _ROOT or schema.get(EMBEDDED):
        yield from _metadata(schema, level, path)
    if schema.get(EMBEDDED) and not schema.get(PRESERVE) and not schema.get("properties"):
        why = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        yield FieldError.required(f"{path}.properties", why)


def _type(schema: Schema, level: str, path: str) -> Errors:
    kind, why = schema.get("type", ""), f"must be object if {EMBEDDED} is true"
    if schema.get(EMBEDDED) and kind != "object":
        yield FieldError.invalid(f"{path}.type", kind, why) if kind else FieldError.required(f"{path}.type", why)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield FieldError.required(f"{path}.type", f"must not be empty {level}")
    if schema.get(EMBEDDED) and "additionalProperties" in schema:
        yield FieldError.forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set")
    if level == _ROOT and kind and kind != "object":
        yield FieldError.invalid(f"{path}.type", kind, "must be object at the root")


def _metadata(schema: Schema, level: str, path: str) -> Errors:
    properties = schema.get("properties") or {}
    for name, wanted in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        found = properties.get(name)
        if found is not None and found.get("type", "") != wanted:
            yield FieldError.invalid(f"{path}.properties[{name}].type", found.get("type", ""), f"must be {wanted}")
    metadata = properties.get("metadata")
    if metadata is not None and level == _ROOT:
        named = metadata.get("properties") or {}
        rest = {key for key in metadata if key not in ("type", "default", "properties")}
        if rest or not named.keys() <= {"name", "generateName"}:
            why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield FieldError.forbidden(f"{path}.properties[metadata]", why)


def _values(schema: Schema, path: str, *, skip_any: bool, skip_first: bool) -> Errors:
    """Check what is below the junctors of a schema, and its pattern."""
    for junctor in JUNCTORS:
        if junctor == "anyOf" and skip_any:
            continue
        for index, child in enumerate(schema.get(junctor) or ()):
            skip = junctor == "allOf" and skip_first and index == 0
            yield from _nested(child, f"{path}.{junctor}[{index}]", skip_any=skip)
    if schema.get("not") is not None:
        yield from _nested(schema["not"], f"{path}.not")
    if why := regex.problem(schema.get("pattern", "")):
        why = f"must be a valid regular expression, but isn't: {why}"
        yield FieldError.invalid(f"{path}.pattern", schema["pattern"], why)


def _nested(schema: Schema, path: str, *, skip_any: bool = False) -> Errors:
    """Check that a schema below a junctor only restricts values."""
    yield from _values(schema, path, skip_any=skip_any, skip_first=False)
    items = below(schema, "items")
    if items is not None:
        yield from _nested(items, f"{path}.items")
    properties = schema.get("properties") or {}
    for name, child in properties.items():
        yield from _nested(child, f"{path}.properties[{name}]")
    for key, wanted in _FORBIDDEN.items():
        if schema.get(key) or (wanted == "undefined" and key in schema):
            yield FieldError.forbidden(f"{path}.{key}", f"must be {wanted} to be structural")
    if "metadata" in properties:
        yield FieldError.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _complete(values: Schema, schema: Schema | None, path: str, values_path: str) -> Errors:
    """Check that ``schema``, the skeleton, has every field that ``values`` names below its junctors."""
    for junctor in JUNCTORS:
        for index, child in enumerate(values.get(junctor) or ()):
            yield from _complete_nested(child, schema, path, f"{values_path}.{junctor}[{index}]")
    if values.get("not") is not None:
        yield from _complete_nested(values["not"], schema, path, f"{values_path}.not")


def _complete_nested(values: Schema, schema: Schema | None, path: str, values_path: str) -> Errors:
    if schema is None:
        yield FieldError.required(path, f"because it is defined in {values_path}")
        return
    yield from _complete(values, schema, path, values_path)
    items = below(values, "items")
    if items is not None:
        yield from _complete_nested(items, below(schema, "items"), f"{path}.items", f"{values_path}.items")
    known = schema.get("properties") or {}
    for name, child in (values.get("properties") or {}).items():
        place = f"properties[{name}]"
        if name in known:
            yield from _complete_nested(child, known[name], f"{path}.{place}", f"{values_path}.{place}")
        else:
            yield FieldError.required(f"{path}.{place}", f"because it is defined in {values_path}.{place}")
