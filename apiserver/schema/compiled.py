"""Compile upstream's definitions to trees of nodes, each once: when it is first needed, or ahead by ``preload``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from apiserver.schema import definitions, formats, gotypes
from apiserver.schema.definitions import Definition, Definitions, target
from apiserver.schema.gotypes import KEY_DEFAULTS, GoField
from apiserver.schema.tree import (
    Array,
    Integer,
    IntOrString,
    Map,
    MismatchError,
    Number,
    QuantityText,
    Scalar,
    SchemaNode,
    Struct,
    Text,
)

_nodes: dict[str, SchemaNode] = {}
# (apiVersion, kind) of all kinds that upstream's definitions know, served here or not.
_registered: set[tuple[str, str]] = set()


def preload(names: Iterable[str]) -> None:
    """Compile these definitions and all that they refer to; unknown names are skipped.

    The server calls this once before it forks its workers, so that they share the memory.
    """
    known = definitions.load()
    # This compiles into a copy, because another thread must not find a struct before its fields are there.
    nodes = dict(_nodes)
    compiler = _Compiler(known, nodes)
    for name in names:
        if name in known:
            compiler.definition(name)
    _nodes.update(nodes)
    if not _registered:
        rows = [row for schema in known.values() for row in schema.get("x-kubernetes-group-version-kind", ())]
        _registered.update((f"{row['group']}/{row['version']}".lstrip("/"), row["kind"]) for row in rows)


def node_of(definition: str) -> SchemaNode:
    """Return the node of a definition; raises KeyError for an unknown name."""
    if definition not in _nodes:
        preload([definition])
    return _nodes[definition]


def is_registered(api_version: str, kind: str) -> bool:
    """Return True if upstream knows such a kind: messages about a body of the wrong kind depend on it."""
    if not _registered:
        preload(())
    return (api_version, kind) in _registered


class _Compiler:
    """Compiles definitions; ``known`` has those that are compiled, and gets the others."""

    def __init__(self, definitions: Definitions, known: dict[str, SchemaNode]) -> None:
        self._definitions = definitions
        self._known = known
        self._structs = gotypes.load()

    def definition(self, name: str) -> SchemaNode:
        """Return the node of a named definition."""
        node = self._known.get(name)
        if node is None:
            schema = self._definitions[name]
            special = _SPECIAL.get(name)
            if special is not None or "properties" not in schema:
                node = self._known[name] = special() if special else self._plain(name, schema)
            else:
                # Some definitions contain themselves, so this one must be known before its fields are compiled.
                struct = node = self._known[name] = Struct(name, atomic=_is_atomic(schema))
                self._fill(struct, schema, gotypes.flat(self._structs, gotypes.alias(name)))
        return node

    def _plain(self, name: str, schema: Definition) -> SchemaNode:
        # An object without properties is an empty struct, such as the marker of a subresource in a definition.
        is_struct = schema.get("type") == ["object", "null"] and name not in _OPEN
        return Struct(name) if is_struct else SchemaNode("interface {}")

    def _fill(self, struct: Struct, schema: Definition, go: dict[str, GoField]) -> None:
        required = schema.get("required", ())
        for key in schema["properties"].keys() - go.keys():  # apiVersion and kind, and structs that are not in the file
            optional = key not in required
            go[key] = GoField(key, 0, "", "", "", optional and key != "metadata", optional, False)
        nodes = {key: self._schema(child, go[key].go) for key, child in schema["properties"].items()}
        struct.specs = {key: node.spec() for key, node in nodes.items()}
        struct.zeros = tuple(
            (key, node.zero)
            for key, node in nodes.items()
            if isinstance(node.zero, str | int) and not (go[key].pointer or go[key].omitempty)
        )
        struct.replaced = frozenset(
            key for key, child in schema["properties"].items() if child.get("x-kubernetes-patch-strategy") == "replace"
        )
        # An empty managedFields is kept, because it asks to forget all managers.
        struct.omitted = frozenset(
            key
            for key, node in nodes.items()
            if go[key].omitempty and (isinstance(node, Array | Map) or go[key].is_scalar) and key != "managedFields"
        )
        for key, node in nodes.items():
            if isinstance(node, Array | Map):
                if not go[key].omitempty:
                    struct.empties[key] = [] if isinstance(node, Array) else {}
            elif not go[key].pointer and (isinstance(node, Struct) or go[key].type in _TIMES):
                struct.empties[key] = {} if isinstance(node, Struct) else None

    def _schema(self, schema: Definition, go: str = "") -> SchemaNode:
        """Return the node of a schema; ``go`` is the Go type of the strings in it."""
        if name := target(schema):
            return _with_map_type(self.definition(name), schema)
        match _type_of(schema):
            case "string" if "format" in schema:
                return _STRINGS[schema["format"]]
            case "string":
                return _text(go if "." in go else "string")
            case "boolean":
                return _BOOLEAN
            case "integer":
                return _INT32 if schema.get("format") == "int32" else _INT64
            case "number":
                return _FLOAT
            case "array":
                return Array(
                    self._schema(schema["items"], go),
                    merge="merge" in schema.get("x-kubernetes-patch-strategy", "").split(","),
                    merge_key=schema.get("x-kubernetes-patch-merge-key", ""),
                    list_type=schema.get("x-kubernetes-list-type", "atomic"),
                    list_keys=schema.get("x-kubernetes-list-map-keys", ()),
                    key_defaults=self._key_defaults(schema),
                )
            case "object" if "additionalProperties" in schema:
                item = self._schema(schema["additionalProperties"])
                return Map(item, "v1.ResourceList" if isinstance(item, QuantityText) else "", atomic=_is_atomic(schema))
        return SchemaNode("interface {}")

    def _key_defaults(self, array: Definition) -> dict[str, Any]:
        """Return the values of keys that an item may lack: Go's zero value of a required one, or the key's default."""
        name = target(array["items"])
        keys = array.get("x-kubernetes-list-map-keys", ())
        if not name or not keys:
            return {}
        item, struct = self._definitions[name], name.rpartition(".")[2]
        defaults = {key: _ZEROS.get(_type_of(item["properties"][key]), "") for key in item.get("required", ())}
        defaults.update((key, KEY_DEFAULTS[f"{struct}.{key}"]) for key in keys if f"{struct}.{key}" in KEY_DEFAULTS)
        return {key: defaults[key] for key in keys if key in defaults}


def _type_of(schema: Definition) -> str:
    kinds = schema.get("type", "")
    return str(kinds if isinstance(kinds, str) else kinds[0])


def _is_atomic(schema: Definition) -> bool:
    return schema.get("x-kubernetes-map-type") == "atomic"


def _with_map_type(node: SchemaNode, reference: Definition) -> SchemaNode:
    """Return the node with the map type of a reference, which overrides that of its target if both have one.

    An example is the claimRef of a PersistentVolume.
    """
    if "x-kubernetes-map-type" in reference and isinstance(node, Struct) and node.atomic != _is_atomic(reference):
        node = copy.copy(node)
        node.atomic = _is_atomic(reference)
    return node


_TIMES = ("meta.v1.MicroTime", "meta.v1.Time")
_ZEROS: dict[str, Any] = {"integer": 0, "number": 0, "boolean": False}


@cache
def _text(go: str) -> SchemaNode:
    return Scalar(go, str)


_STRINGS: dict[str, SchemaNode] = {
    "byte": Text("[]uint8", formats.base64_bytes, ""),
    "date-time": Text("string", formats.time),
}
_BOOLEAN = Scalar("bool", bool)
_INT32 = Integer("int32")
_INT64 = Integer("int64")
_FLOAT = Number("float64")


class _OrSchema(SchemaNode):
    """A JSONSchemaProps, or what may stand in its place: a list of them (items), a boolean (additionalProperties)."""

    __slots__ = ("_go_words", "_simple")

    def __init__(self, simple: type, go_words: str) -> None:
        super().__init__("apiextensions.JSONSchemaProps")
        self._simple = simple
        self._go_words = go_words

    def convert(self, value: Any) -> Any:
        schema = node_of(_SCHEMA)
        for each in value if type(value) is list and self._simple is list else [value]:
            if type(each) is dict and schema.walk is not None:
                schema.walk(each)
            elif type(each) is not self._simple:
                raise MismatchError(text=self._go_words)
        return value

    def child(self, key: str) -> SchemaNode | None:
        return node_of(_SCHEMA).child(key)


_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_SCHEMA = f"{_EXTENSIONS}.JSONSchemaProps"
_SPECIAL: dict[str, Callable[[], SchemaNode]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": QuantityText,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": IntOrString,
    f"{_META}.Time": lambda: Text("string", formats.time),
    f"{_META}.MicroTime": lambda: Text("string", formats.micro_time),
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": lambda: _OrSchema(bool, "boolean or JSON schema expected"),
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": lambda: _OrSchema(list, "schema or schema array expected"),
}
# Objects whose members no schema describes; they are kept as they are.
_OPEN = frozenset({f"{_META}.FieldsV1", f"{_META}.Patch", "io.k8s.apimachinery.pkg.runtime.RawExtension"})
