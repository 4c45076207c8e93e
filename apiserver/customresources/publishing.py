"""Convert a custom resource's schema to the form in which OpenAPI publishes it, for kubectl explain and validation.

OpenAPI v2 has no junctors and no null. And since kubectl takes a v2 schema with properties to forbid all other fields,
schemas that preserve unknown fields are published without any. Upstream: apiextensions-apiserver
pkg/controller/openapi, builder and v2.
"""

from __future__ import annotations

from typing import Any

from apiserver.crdschema.structural import (
    BOUNDS,
    EMBEDDED,
    INT_OR_STRING,
    JUNCTORS,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
    SIZES,
    Schema,
    below,
    is_either,
)
from apiserver.model.kind import Kind

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_CONVENTIONS = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
# As upstream's TypeMeta and PartialObjectMetadata describe them.
_DESCRIPTIONS = {
    "apiVersion": "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
    "recognized schemas to the latest internal value, and may reject unrecognized values. "
    f"{_CONVENTIONS}#resources",
    "kind": "Kind is a string value representing the REST resource this object represents. Servers may infer this from "
    "the endpoint the client submits requests to. Cannot be updated. In CamelCase. "
    f"{_CONVENTIONS}#types-kinds",
    "metadata": f"Standard object's metadata. {_CONVENTIONS}#metadata",
}
_EMBEDDED_DESCRIPTIONS = {
    "apiVersion": "apiVersion defines the versioned schema of this representation of an object. "
    f"{_CONVENTIONS}#resources",
    "kind": f"kind is a string value representing the type of this object. In CamelCase. {_CONVENTIONS}#types-kinds",
    "metadata": _DESCRIPTIONS["metadata"],
}
# The members of a schema that are published as they are.
_KEPT = (
    *("description", "title", "type", "format", "default", "nullable"),
    *BOUNDS,
    *SIZES,
    *("multipleOf", "enum", "maxProperties", "minProperties", "required"),
    *(PRESERVE, EMBEDDED, INT_OR_STRING, LIST_KEYS, LIST_TYPE, MAP_TYPE, RULES),
)


def definitions(kind: Kind, schema: Schema, *, v2: bool) -> dict[str, Schema]:
    """Return the definitions of a version, whose schema this is, and of its lists, by name."""
    references = _V2 if v2 else _V3
    if v2 and schema.get(PRESERVE):
        # If even kind or metadata were mentioned, kubectl would forbid all other fields.
        published: Schema = {"type": "object"}
    else:
        published = _v2(schema) if v2 else _v3(schema)
        published.setdefault("properties", {}).update(_standard_fields(references, _DESCRIPTIONS))
    list_name = f"{kind.definition.rpartition('.')[0]}.{kind.list_kind}"
    return {
        kind.definition: {**published, "x-kubernetes-group-version-kind": [_gvk(kind, kind.kind)]},
        list_name: _list(kind, references),
    }


class _References:
    """References to other definitions, in the form of one version of OpenAPI."""

    def __init__(self, place: str, *, wrapped: bool) -> None:
        self._place = place
        self._wrapped = wrapped

    def to(self, name: str, description: str = "") -> Schema:
        """Return a reference with a description, which in v3 must not stand directly beside it."""
        reference = {"$ref": f"#/{self._place}/{name}"}
        if not description:
            return reference
        described: Schema = {"description": description}
        return described | ({"allOf": [reference]} if self._wrapped else reference)


_V2 = _References("definitions", wrapped=False)
_V3 = _References("components/schemas", wrapped=True)


def _standard_fields(references: _References, descriptions: dict[str, str]) -> dict[str, Schema]:
    fields: dict[str, Schema] = {}
    for name in ("apiVersion", "kind"):
        fields[name] = {"description": descriptions[name], "type": "string"}
    return fields | {"metadata": references.to(f"{_META}.ObjectMeta", descriptions["metadata"])}


def _gvk(kind: Kind, name: str) -> dict[str, str]:
    return {"group": kind.group, "kind": name, "version": kind.version}


def _list(kind: Kind, references: _References) -> Schema:
    items = {
        "description": f"List of {kind.plural}. {_CONVENTIONS}",
        "type": "array",
        "items": references.to(kind.definition),
    }
    fields = _standard_fields(references, _DESCRIPTIONS)
    fields["metadata"] = references.to(f"{_META}.ListMeta", f"Standard list metadata. {_CONVENTIONS}#types-kinds")
    return {
        "description": f"{kind.list_kind} is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**fields, "items": items},
        "x-kubernetes-group-version-kind": [_gvk(kind, kind.list_kind)],
    }


def _v2(schema: Schema) -> Schema:
    published = _kept(schema)
    if published.pop("nullable", False):
        published.pop("type", None)
    elif not schema.get(PRESERVE):
        _inside(schema, published, _v2)
    if published.get("type") == "array" and "items" not in published:
        del published["type"]
    if schema.get(PRESERVE) and published.get("type") == "object":
        del published["type"]
    properties = schema.get("properties") or {}
    if "required" in published:
        must = [name for name in published["required"] if not properties.get(name, {}).get("nullable")]
        published["required"] = must
        if not must or (below(schema, "additionalProperties") or {}).get("nullable"):
            del published["required"]
    if schema.get(EMBEDDED) and not schema.get(PRESERVE):
        _embed(published, _V2)
    return published


def _v3(schema: Schema) -> Schema:
    published = _kept(schema)
    for junctor in JUNCTORS:
        if schema.get(junctor):
            published[junctor] = [_v3(child) for child in schema[junctor]]
    if schema.get("not") is not None:
        published["not"] = _v3(schema["not"])
    _inside(schema, published, _v3)
    if schema.get(INT_OR_STRING) and not is_either(schema) and not is_either((schema.get("allOf") or [{}])[0]):
        either = [{"type": "integer"}, {"type": "string"}]
        if "anyOf" in published:
            published["allOf"] = [{"anyOf": either}, *published.get("allOf", ())]
        else:
            published["anyOf"] = either
    if schema.get(EMBEDDED):
        _embed(published, _V3)
    return published


def _kept(schema: Schema) -> Schema:
    return {key: schema[key] for key in _KEPT if key in schema and schema[key] not in (None, "", False, [])}


def _inside(schema: Schema, published: Schema, publish: Any) -> None:
    if "properties" in schema:
        published["properties"] = {name: publish(child) for name, child in schema["properties"].items()}
    items, additional = below(schema, "items"), schema.get("additionalProperties")
    if items is not None:
        published["items"] = publish(items)
    if additional is not None:
        published["additionalProperties"] = publish(additional) if isinstance(additional, dict) else additional


def _embed(published: Schema, references: _References) -> None:
    published["properties"] = published.get("properties", {}) | _standard_fields(references, _EMBEDDED_DESCRIPTIONS)
    required = published.get("required", [])
    published["required"] = [*required, *(name for name in ("kind", "apiVersion") if name not in required)]
