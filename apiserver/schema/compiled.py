"""The compiled definitions, each compiled when it is first needed or ahead of it, and kept."""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.schema import definitions
from apiserver.schema.nodes import Compiler, Node

_nodes: dict[str, Node] = {}
# (apiVersion, kind) of everything that upstream knows.
_registered: set[tuple[str, str]] = set()


def preload(names: Iterable[str]) -> None:
    """Compiles these definitions and what they refer to; done once before the workers fork, so that they share it."""
    known = definitions.load()
    compiler = Compiler(known, _nodes)
    for name in names:
        if name in known:
            compiler.definition(name)
    if not _registered:
        for schema in known.values():
            for row in schema.get("x-kubernetes-group-version-kind", ()):
                version = f"{row['group']}/{row['version']}" if row["group"] else row["version"]
                _registered.add((version, row["kind"]))


def node_of(definition: str) -> Node:
    """The compiled form of a definition; raises KeyError for an unknown name."""
    if definition not in _nodes:
        preload([definition])
    return _nodes[definition]


def is_registered(api_version: str, kind: str) -> bool:
    """Whether upstream knows such a kind: a body of it is of the wrong kind, any other is of none."""
    if not _registered:
        preload(())
    return (api_version, kind) in _registered
