"""What upstream's Go types say and its OpenAPI definitions do not, from ``gofields.json``.

The file has a line for each struct, which lists its fields: name in JSON, number in protobuf, type, marks. ``[]`` and
``{}`` before a type mean a list and a map of it. Types are the scalars of protobuf (``string=v1.PodPhase`` is one that
Go has a type of its own for) and other structs. The marks: ``*`` a pointer, ``?`` omitempty, ``~`` a struct that is
inlined in JSON and is a message of its own in protobuf. Structs that are no objects in JSON, such as Quantity, have the
names of protobuf.

Structs are called by the last three parts of their definition's name: ``core.v1.Pod``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

_FILE = Path(__file__).with_name("gofields.json")

SCALARS = frozenset({"bool", "bytes", "double", "int32", "int64", "string"})
# Defaults of fields that identify the items of lists (if they are not Go's zero value of a required field).
KEY_DEFAULTS = {"ContainerPort.protocol": "TCP", "ServicePort.protocol": "TCP", "LocalObjectReference.name": ""}


class GoField(NamedTuple):
    """One field of a Go struct."""

    name: str  # "-" for one that is inlined
    number: int
    label: str  # "", "[]" or "{}"
    type: str
    go: str  # the name of a string's Go type, for messages
    pointer: bool
    omitempty: bool
    inline: bool

    @property
    def is_scalar(self) -> bool:
        """Whether the field is one value, of which Go always has one."""
        return not self.label and not self.pointer and self.type in SCALARS


def alias(definition: str) -> str:
    """Return how the file calls a struct: the last three parts of its full name."""
    return ".".join(definition.split(".")[-3:])


def load() -> Mapping[str, str]:
    """Read the file: struct → its fields as text, which ``parse`` parses. The caller keeps it, or not."""
    structs: Mapping[str, str] = orjson.loads(_FILE.read_bytes())["structs"]
    return structs


def parse(text: str) -> Iterator[GoField]:
    """Yield the fields of one struct."""
    for field in filter(None, text.split(", ")):
        name, number, written = field.split()
        type_ = written.rstrip("*?~")
        marks = written[len(type_) :]
        label = type_[:2] if type_[0] in "[{" else ""
        type_, _, go = type_[len(label) :].partition("=")
        yield GoField(name, int(number), label, type_, go or type_, "*" in marks, "?" in marks, "~" in marks)


def flat(structs: Mapping[str, str], name: str) -> dict[str, GoField]:
    """Return the fields of a struct by their names in JSON, those of inlined structs included; {} if it is unknown."""
    found: dict[str, GoField] = {}
    for field in parse(structs.get(name, "")):
        found.update(flat(structs, field.type) if field.inline else {field.name: field})
    return found
