"""What rules see of a schema: its CEL type, and how large its values can be.

Upstream: apiserver pkg/cel/common/schemas.go, pkg/cel/types.go and escaping.go. What the schema does not describe
(x-kubernetes-preserve-unknown-fields without more) has no type, and fields without a type do not exist for rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.environment import MAX_REQUEST_BYTES
from apiserver.crdschema.cel.estimates import Path
from apiserver.crdschema.cel.types import Type
from apiserver.crdschema.structural import EMBEDDED, INT_OR_STRING, Schema, below

_LITERALS = ("true", "false", "null", "in")
_RESERVED = ("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package")
_KEYWORDS = frozenset((*_LITERALS, *_RESERVED, "namespace", "return", "var", "void", "while"))
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _FIRST | frozenset("0123456789")
_TEXT: Schema = {"type": "string"}
# The part of a resource's metadata that rules may use.
_METADATA: Schema = {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}}
RESOURCE_FIELDS: dict[str, Schema] = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA}
# The type, and the least and greatest sizes in JSON, of strings with formats.
_FORMATS = {
    "byte": (types.BYTES, 2, MAX_REQUEST_BYTES - 2),
    "duration": (types.DURATION, 3, 32),
    "date": (types.TIMESTAMP, 12, 12),
    "date-time": (types.TIMESTAMP, 21, 32),
}
_SCALARS = {"boolean": (types.BOOL, 4), "number": (types.DOUBLE, 1), "integer": (types.INT, 1)}


@lru_cache(maxsize=8192)
def escape(name: str) -> str:
    """Return a field's name as rules write it, "" if they cannot name it."""
    if name in _KEYWORDS:
        return f"__{name}__"
    escaped = name.replace("__", "__underscores__")
    for character, word in ((".", "dot"), ("-", "dash"), ("/", "slash")):
        escaped = escaped.replace(character, f"__{word}__")
    valid = bool(name) and name[0] in _FIRST and _NAME.issuperset(escaped)
    return escaped if valid else ""


@dataclass(slots=True)
class Declaration:
    """The type of a schema's values; ``size`` is the greatest number of characters, items or entries.

    ``least_bytes`` is the least size of a value in JSON, by which it is estimated how many fit into a request.
    """

    kind: str
    least_bytes: int
    size: int = 0
    fields: dict[str, Declaration] = field(default_factory=dict)
    element: Declaration | None = None
    simple: Type = types.DYN

    @property
    def most_in_request(self) -> int:
        """Return how many such values fit into one request."""
        return MAX_REQUEST_BYTES // (self.least_bytes + 1)


def fields_of(schema: Schema, *, root: bool) -> dict[str, Schema]:
    """Return the fields that rules may use; of a resource these include apiVersion, kind and metadata's names."""
    fields: dict[str, Schema] = schema.get("properties") or {}
    return fields if not root or _describes_resource(fields) else fields | RESOURCE_FIELDS


def _describes_resource(fields: dict[str, Schema]) -> bool:
    """Return True if a schema has all of a resource's fields itself; otherwise upstream replaces those that it has."""
    metadata = fields.get("metadata") or {}
    named = metadata.get("properties") or {}
    texts = (fields.get("kind"), fields.get("apiVersion"), named.get("name"), named.get("generateName"))
    return metadata.get("type") == "object" and all(text and text.get("type") == "string" for text in texts)


def declaration(schema: Schema, *, root: bool = False) -> Declaration | None:
    """Return the declaration of a schema, None if it has no type for rules. ``root``: its values are resources."""
    if schema.get(INT_OR_STRING):
        size = _most_characters(schema, MAX_REQUEST_BYTES - 2)
        return Declaration("simple", 1, size)
    kind = schema.get("type")
    match kind:
        case "array":
            return _list(schema)
        case "object":
            return _object(schema, root=root)
        case "string":
            return _string(schema)
        case "boolean" | "number" | "integer":
            simple, least = _SCALARS[kind]
            return Declaration("simple", least, simple=simple)
    return None


def _inner(schema: Schema) -> Declaration | None:
    return declaration(schema, root=bool(schema.get(EMBEDDED)))


def _list(schema: Schema) -> Declaration | None:
    items = below(schema, "items")
    element = _inner(items) if items is not None else None
    if element is None:
        return None
    most = schema.get("maxItems")
    size = (MAX_REQUEST_BYTES - 2) // (element.least_bytes + 1) if most is None else max(0, int(most))
    return Declaration("list", 2, size, element=element)


def _object(schema: Schema, *, root: bool) -> Declaration | None:
    additional = below(schema, "additionalProperties")
    if additional is not None:
        value = _inner(additional)
        if value is None:
            return None
        most = schema.get("maxProperties")
        size = (MAX_REQUEST_BYTES - 2) // (value.least_bytes + 6) if most is None else max(0, int(most))
        return Declaration("map", 2, size, element=value)
    found = Declaration("object", 2)
    required = frozenset(schema.get("required") or ())
    for name, child in fields_of(schema, root=root).items():
        its = _inner(child)
        if its is None:
            continue
        if escaped := escape(name):
            found.fields[escaped] = its
        if name in required and child.get("default") is None:
            # The name, its quotes, the colon and a comma.
            found.least_bytes += len(name.encode()) + its.least_bytes + 4
    return found


def _string(schema: Schema) -> Declaration:
    name = schema.get("format", "")
    if name in _FORMATS:
        simple, least, size = _FORMATS[name]
        if name == "byte" and schema.get("maxLength") is not None:
            size = max(0, int(schema["maxLength"]))
        return Declaration("simple", least, size, simple=simple)
    longest = max((len(each.encode()) for each in schema.get("enum") or () if isinstance(each, str)), default=0)
    otherwise = longest if schema.get("enum") else MAX_REQUEST_BYTES - 2
    return Declaration("simple", 2, _most_characters(schema, otherwise), simple=types.STRING)


def _most_characters(schema: Schema, otherwise: int) -> int:
    """Return maxLength in bytes, of which a character can have four."""
    most = schema.get("maxLength")
    return otherwise if most is None else 4 * max(0, int(most))


class Scope:
    """The types inside of a declaration, as the checker asks for them, and the sizes of its values."""

    def __init__(self, root: Declaration, name: str) -> None:
        self._root = root
        self._objects: dict[str, Declaration] = {}
        self.type = self._type(root, name)

    def _type(self, found: Declaration, name: str) -> Type:
        match found.kind:
            case "list" if found.element is not None:
                return types.list_of(self._type(found.element, f"{name}.@idx"))
            case "map" if found.element is not None:
                return types.map_of(types.STRING, self._type(found.element, f"{name}.@elem"))
            case "object":
                self._objects[name] = found
                return types.object_type(name)
        return found.simple

    def field_type(self, name: str, field: str) -> Type | None:
        """Return the type of a field of an object type, None if there is none."""
        found = self._objects.get(name)
        if found is None:
            return None
        # A reserved word may also be written as it is.
        child = found.fields.get(field) or found.fields.get(escape(field) if field in _KEYWORDS else "")
        return None if child is None else self._type(child, f"{name}.{field}")

    def size_of(self, path: Path) -> int | None:
        """Return the greatest size of the value at a path, None if it is not known. The variable is always self's."""
        at: Declaration | None = self._root
        for name in path[1:]:
            if at is None:
                return None
            if name in ("@items", "@values"):
                at = at.element
            else:
                # The keys of maps have no limit that upstream looks at.
                at = None if name == "@keys" else at.fields.get(name) or at.fields.get(f"__{name}__")
        if at is None:
            return 0 if path[-1] == "@keys" else None
        return at.size
