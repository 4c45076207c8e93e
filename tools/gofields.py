"""Derive apiserver/schema/gofields.json from upstream's Go packages: run it by ``make gofields``.

Upstream writes down twice what a type is: in ``types.go``, whose tags have each field's name in JSON and number in
protobuf, and in ``generated.proto``, which is made from it and resolves the Go types to those of the wire. The result
joins both, with facts only and no text of upstream's. Its form is explained in apiserver/schema/gotypes.py.

    python tools/gofields.py PACKAGE.deb… >apiserver/schema/gofields.json

The arguments are Debian's packages of k8s.io's modules: golang-k8s-api-dev and its like. Of newer modules, fields are
left out that v1.32's OpenAPI definitions do not have.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from apiserver.schema import definitions
from apiserver.schema.gotypes import SCALARS, alias, parse

_SOURCES = Path("usr/share/gocode/src/k8s.io")
_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_PROTO_FIELD = re.compile(r"^  (optional|repeated|map<string, ([\w.]+)>) ?([\w.]*) (\w+) = (\d+);", re.MULTILINE)
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_GO_FIELD = re.compile(r"^\t(?:\w+ +)?(\*?[\w.\[\]*]+)\s+`(.*)`", re.MULTILINE)
_GO_TEXT = re.compile(r"^type (\w+) string$", re.MULTILINE)
# What v1.32's definitions lack: metadata, discovery, the envelope, and old versions that are served to old clients.
_ALSO = ("apidiscovery.", "discovery.v1beta1.", "meta.", "pkg.", "policy.v1beta1.")
_TAG = re.compile(r'(\w+):"([^"]*)"')


class _ProtoField(NamedTuple):
    label: str  # "", "[]" or "{}"
    type: str  # of the wire: a scalar, or a message's alias
    name: str
    number: int


_Messages = dict[str, list[_ProtoField]]


def main(packages: list[str]) -> None:
    """Print the table."""
    versions = [f"{name} {version}" for name, version in map(_identity, packages)]
    with TemporaryDirectory() as folder:
        for package in packages:
            subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
        structs = _structs(Path(folder, _SOURCES))
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(fields)}" for name, fields in sorted(structs.items()))
    source = f"Debian: {', '.join(versions)}; made by tools/gofields.py. Upstream's licence is Apache-2.0."
    print(f'{{\n "source": {json.dumps(source)},\n "structs": {{\n{lines}\n }}\n}}')


def _identity(package: str) -> tuple[str, str]:
    shown = subprocess.run(["dpkg-deb", "--field", package], check=True, capture_output=True, text=True).stdout
    fields = dict(line.split(": ", 1) for line in shown.splitlines() if re.match(r"\S+: ", line))
    return fields["Package"], fields["Version"]


def _structs(root: Path) -> dict[str, str]:
    """Return alias → fields, of the structs that v1.32's definitions need, and of those that only Go has in between."""
    found: dict[str, str] = {}
    known = {alias(name): set(schema.get("properties", ())) for name, schema in definitions.load().items()}
    folders = [path.parent for path in sorted(root.rglob("generated.proto"))]
    texts = {f"{folder.name}.{name}" for folder in folders for name in _GO_TEXT.findall(_go(folder))} | {"types.UID"}
    for folder in folders:
        package, messages = _messages(folder / "generated.proto")
        structs = dict(_STRUCT.findall(_go(folder)))
        for name, proto in messages.items():
            key = alias(f"{package}.{name}")
            fields = _go_fields(folder.name, structs.get(name, ""), proto, texts)
            lines = [line for field, line in fields or _proto_fields(proto) if _is_known(field, known.get(key))]
            found[key] = ", ".join(lines)
    return _reachable(found, [*known, *(key for key in found if key.startswith(_ALSO))])


def _is_known(field: str, known: set[str] | None) -> bool:
    return not known or field in known or field == "-"


def _go(folder: Path) -> str:
    """Return the text of a package's sources, without what is generated from them."""
    names = (path for path in sorted(folder.glob("*.go")) if not re.search(r"generated|_test", path.name))
    return "\n".join(path.read_text() for path in names)


def _messages(file: Path) -> tuple[str, _Messages]:
    """Return a file's package and its messages."""
    text = file.read_text()
    found = re.search(r"^package (\S+);", text, re.MULTILINE)
    assert found is not None, file
    package = found[1]
    messages: _Messages = {}
    for message, body in _MESSAGE.findall(text):
        fields = messages[message] = []
        for label, of_map, of_field, name, number in _PROTO_FIELD.findall(body):
            type_ = (of_map or of_field).lstrip(".")
            if type_ not in SCALARS:
                type_ = alias(type_ if "." in type_ else f"{package}.{type_}")
            label = "{}" if of_map else "[]" if label == "repeated" else ""
            fields.append(_ProtoField(label, type_, name, int(number)))
    return package, messages


def _go_fields(package: str, body: str, proto: list[_ProtoField], texts: set[str]) -> list[tuple[str, str]]:
    """Return the fields of a Go struct with their lines; [] if its form in JSON is not that of a struct.

    ``texts`` has the names of Go's string types.
    """
    by_number = {field.number: field for field in proto}
    found = []
    for go_type, tag_text in _GO_FIELD.findall(body):
        tags = dict(_TAG.findall(tag_text))
        if tags.get("protobuf", "-") == "-" or ("json" not in tags and package != "runtime"):
            continue
        field = by_number[int(tags["protobuf"].split(",")[1])]
        name, *options = tags.get("json", "-").split(",")
        name = field.name if name == "-" else name or "-"
        named = re.sub(r"^(\*|\[\]|map\[\w+\])*", "", go_type)
        named = named if "." in named else f"{package}.{named}"
        named = re.sub(r"^[a-z]+(v\d\w*)\.", r"\1.", named)  # Go's own name of a package that is imported as metav1
        named = f"={named}" if field.type == "string" and named in texts else ""
        marks = "*" * go_type.startswith("*") + "?" * ("omitempty" in options) + "~" * ("inline" in options)
        found.append((name, f"{name} {field.number} {field.label}{field.type}{named}{marks}"))
    return found


def _proto_fields(proto: list[_ProtoField]) -> list[tuple[str, str]]:
    """Return the fields of a message that has another form in JSON, with their names in protobuf."""
    marks = {field: "*" * (field.type not in SCALARS and not field.label) for field in proto}
    return [("-", f"{field.name} {field.number} {field.label}{field.type}{marks[field]}") for field in proto]


def _reachable(structs: dict[str, str], roots: list[str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    waiting = [root for root in roots if root in structs]
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = structs[name]
            waiting += [field.type for field in parse(structs[name]) if field.type in structs]
    return kept


if __name__ == "__main__":
    main(sys.argv[1:])
