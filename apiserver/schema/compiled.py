"""Compile upstream's definitions to trees of nodes, each once: when it is first needed, or ahead by ``preload``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from apiserver.schema import definitions, formats
from apiserver.schema.definitions import Definition, Definitions, target
from apiserver.schema.gotypes import KEPT, KEY_DEFAULTS, NAMED, TIMES, VALUES
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
                self._fill(struct, schema)
        return node

    def _plain(self, name: str, schema: Definition) -> SchemaNode:
        # An object without properties is an empty struct, such as the marker of a subresource in a definition.
        is_struct = schema.get("type") == ["object", "null"] and name not in _OPEN
        return Struct(name) if is_struct else SchemaNode("interface {}")

    def _fill(self, struct: Struct, schema: Definition) -> None:
        nodes = {key: self._schema(child, f"{struct.name}.{key}") for key, child in schema["properties"].items()}
        struct.specs = {key: node.spec() for key, node in nodes.items()}
        struct.zeros = tuple(
            (key, nodes[key].zero) for key in schema.get("required", ()) if isinstance(nodes[key].zero, str | int)
        )
        struct.replaced = frozenset(
            key for key, child in schema["properties"].items() if child.get("x-kubernetes-patch-strategy") == "replace"
        )
        struct.omitted = frozenset(
            key
            for key, node in nodes.items()
            if isinstance(node, Array | Map)
            and key not in schema.get("required", ())
            and f"{struct.name}.{key}" not in KEPT
        )
        for key, node in nodes.items():
            where = f"{struct.name}.{key}"
            if isinstance(node, Struct) and (key == "metadata" or where in VALUES):
                struct.empties[key] = {}
            elif where in TIMES:
                struct.empties[key] = None
            elif isinstance(node, Array | Map) and key in schema.get("required", ()):
                struct.empties[key] = [] if isinstance(node, Array) else {}

    def _schema(self, schema: Definition, field: str = "") -> SchemaNode:
        """Return the node of a schema; ``field`` is ``Struct.field`` if it is the schema of one."""
        if name := target(schema):
            return _with_map_type(self.definition(name), schema)
        match _type_of(schema):
            case "string" if field in NAMED:
                return Scalar(NAMED[field], str)
            case "string":
                return _STRINGS[schema.get("format", "")]
            case "boolean":
                return _BOOLEAN
            case "integer":
                return _INT32 if schema.get("format") == "int32" else _INT64
            case "number":
                return _FLOAT
            case "array":
                return Array(
                    self._schema(schema["items"], f"{field}[]"),
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


_ZEROS: dict[str, Any] = {"integer": 0, "number": 0, "boolean": False}


_STRINGS: dict[str, SchemaNode] = {
    "": Scalar("string", str),
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
