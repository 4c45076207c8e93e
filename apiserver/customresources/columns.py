"""Make columns of a Table from ``additionalPrinterColumns`` (upstream: registry/customresource/tableconvertor)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from apiserver.customresources import jsonpath
from apiserver.kinds.cells import NAME
from apiserver.model.kind import Column
from apiserver.model.printing import age
from apiserver.schema import formats
from machinery.objects import Object


def columns_of(definitions: Iterable[Object]) -> tuple[Column, ...]:
    """Return the column Name and those that a version defines, or Age if it defines none."""
    return (NAME, *(map(_column, definitions or [_AGE])))


_AGE: Object = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    # As upstream, this is the field's own documentation.
    "description": "CreationTimestamp is a timestamp representing the server time when this object was created. It is "
    "not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It "
    "is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
}


def _column(definition: Object) -> Column:
    path, kind = definition["jsonPath"], definition["type"]
    return Column(
        definition["name"],
        _reader(path, kind),
        kind,
        definition.get("format", ""),
        definition.get("priority", 0),
        definition.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
    )


def _reader(path: str, kind: str) -> Callable[[Object], Any]:
    def read(obj: Object) -> Any:
        try:
            found = jsonpath.find(path, obj)
        except jsonpath.JSONPathError:
            return None
        return cell(kind, found[0]) if found else None

    return read


def cell(kind: str, value: Any) -> Any:
    """Return a value as a cell of a column of this type, None if it does not fit."""
    match kind, value:
        case "string", _:
            return jsonpath.text(value)
        case (("integer" | "number" | "boolean"), bool()):
            return value if kind == "boolean" else None
        case "integer", int() | float():
            return int(value)
        case "number", int() | float():
            return float(value)
        case "date", str():
            try:
                return age(formats.time(value))
            except ValueError:
                return "<invalid>"
    return None
