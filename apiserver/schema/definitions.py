"""Upstream's definitions of v1.32, from the package kubernetes-validate.

The file is parsed whenever it is needed, which takes a few milliseconds. Only what is compiled or rendered from it is
kept in memory, at a tenth of the size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from apiserver.schema import metricsdefinitions

Definition = dict[str, Any]
Definitions = Mapping[str, Definition]

REFERENCE_PREFIX = "#/$defs/"
_FILE = "kubernetes-json-schema/v1.32.0-local/_definitions.json"


def load() -> Definitions:
    """Return every definition by its full name, e.g. ``io.k8s.api.core.v1.Pod``."""
    # The package is not imported: that would load a JSON schema validator that nobody uses.
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package kubernetes-validate is missing: install the dependencies in pyproject.toml")
    content = Path(spec.submodule_search_locations[0], _FILE).read_bytes()
    definitions: Definitions = {**orjson.loads(content)["$defs"], **metricsdefinitions.DEFINITIONS}
    return definitions


def target(schema: Definition) -> str:
    """Return the name of the definition that a schema refers to, "" for none."""
    reference: str = schema.get("$ref", "")
    return reference.removeprefix(REFERENCE_PREFIX)


def reachable(definitions: Definitions, roots: Iterable[str]) -> list[str]:
    """Return the names of the roots and of all that they refer to, sorted; roots that do not exist are left out."""
    found: set[str] = set()
    waiting = [root for root in roots if root in definitions]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(definitions[name])
    return sorted(found)


def _references(schema: Definition) -> list[str]:
    found = [name] if (name := target(schema)) else []
    for child in schema.get("properties", {}).values():
        found += _references(child)
    for part in ("items", "additionalProperties"):
        if isinstance(child := schema.get(part), dict):
            found += _references(child)
    return found
