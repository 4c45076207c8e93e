"""Convert upstream's definitions to the forms of OpenAPI v2 and v3.

The package kubernetes-validate has rewritten them for a JSON schema validator: optional types are ``[type, "null"]``,
quantities and int-or-string are alternatives, the kind's own name is an enum. This restores what upstream serves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apiserver.model.kind import Kind
from apiserver.schema import definitions as source
from apiserver.schema.definitions import Definition, Definitions, target

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
STATUS = f"{META}.Status"
LIST_SUFFIX = "List"
_COMMON = (
    STATUS,
    f"{META}.ObjectMeta",
    *(f"{META}.{kind}" for kind in ("DeleteOptions", "Patch", "WatchEvent", "APIGroup", "APIGroupList")),
    *(f"{META}.{kind}" for kind in ("APIResourceList", "APIVersions")),
    "io.k8s.apimachinery.pkg.version.Info",
)
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


def group_versions(kinds: Iterable[Kind]) -> dict[str, tuple[str, str]]:
    """Return ``api/v1`` or ``apis/<group>/<version>`` → (group, version) for each that is served."""
    return {
        f"apis/{kind.group}/{version}" if kind.group else f"api/{version}": (kind.group, version)
        for kind in kinds
        for version in kind.versions
    }


def versioned(kind: Kind, version: str) -> str:
    """Return the name of a kind's definition in one of its versions, which differs from the kind's only in that."""
    if version == kind.version:
        return kind.definition
    package, _, name = kind.definition.rpartition(".")
    return f"{package.rpartition('.')[0]}.{version}.{name}"


def list_definition(kind: Kind, version: str) -> str:
    """Return the name of the definition of a kind's list."""
    return f"{versioned(kind, version).rpartition('.')[0]}.{kind.list_kind}"


def published(kinds: Iterable[Kind], *, v2: bool) -> dict[str, Any]:
    """Return the definitions that the rows' codecs make: those of custom resources, in their final form."""
    return {name: definition for kind in kinds for name, definition in kind.codec.published(kind, v2=v2).items()}


def collect(kinds: Iterable[Kind], only: tuple[str, str] | None = None) -> Definitions:
    """Return upstream's definitions that these rows, or one group version of them, and their subresources need."""
    known = dict(source.load())
    roots = list(_COMMON)
    for kind in kinds:
        for version in kind.versions:
            if only is not None and only != (kind.group, version):
                continue
            for suffix in ("", LIST_SUFFIX):
                roots.append(versioned(kind, version) + suffix)
                _add_version(known, kind, version, suffix)
            roots += [row.definition for row in kind.subresources if row.definition]
    return {name: known[name] for name in source.reachable(known, roots)}


def _add_version(known: dict[str, Definition], kind: Kind, version: str, suffix: str) -> None:
    # Upstream has dropped the definitions of older versions, which are described by that of the stored version.
    name = versioned(kind, version) + suffix
    stored = known.get(kind.definition + suffix)
    if name in known or stored is None:
        return
    copy = {**stored, "properties": dict(stored.get("properties", {}))}
    copy["x-kubernetes-group-version-kind"] = [{"group": kind.group, "kind": kind.kind + suffix, "version": version}]
    if suffix:
        reference = source.REFERENCE_PREFIX + versioned(kind, version)
        copy["properties"]["items"] = {**copy["properties"]["items"], "items": {"$ref": reference}}
    known[name] = copy


def v2_form(name: str, definition: Definition) -> dict[str, Any]:
    """Return one definition for ``definitions`` of a v2 document."""
    if name == _QUANTITY:
        return {**_described(definition), "type": "string"}
    if name == _INT_OR_STRING:
        return {**_described(definition), "type": "string", "format": "int-or-string"}
    return _v2_schema(definition)


def _v2_schema(schema: Definition) -> dict[str, Any]:
    converted = _plain(schema, _v2_schema)
    if name := target(schema):
        converted["$ref"] = f"#/definitions/{name}"
    return converted


def v3_form(name: str, definition: Definition) -> dict[str, Any]:
    """Return one definition for ``components.schemas`` of a v3 document."""
    if name == _QUANTITY:
        return {**_described(definition), "oneOf": [{"type": "string"}, {"type": "number"}]}
    if name == _INT_OR_STRING:
        alternatives = [{"type": "integer"}, {"type": "string"}]
        return {**_described(definition), "format": "int-or-string", "oneOf": alternatives}
    return _v3_schema(definition)


def _v3_schema(schema: Definition) -> dict[str, Any]:
    converted = _plain(schema, _v3_schema)
    if name := target(schema):
        reference = {"$ref": f"#/components/schemas/{name}"}
        if not converted:
            return reference
        # In v3, a reference must not have siblings.
        converted["allOf"] = [reference]
    return converted


def _described(definition: Definition) -> dict[str, Any]:
    return {"description": definition["description"]} if "description" in definition else {}


def _plain(schema: Definition, convert: Any) -> dict[str, Any]:
    """Return a schema without what is only for validators, its parts converted with ``convert``."""
    converted: dict[str, Any] = {}
    for key, value in schema.items():
        match key:
            case "$ref" | "enum" | "oneOf":
                continue
            case "type":
                converted[key] = value if isinstance(value, str) else value[0]
            case "properties":
                converted[key] = {name: convert(child) for name, child in value.items()}
            case "items" | "additionalProperties":
                converted[key] = convert(value)
            case _:
                converted[key] = value
    return converted
