"""Objects with values everywhere, made from upstream's definitions."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from apiserver.schema import definitions
from apiserver.schema.definitions import Definition, Definitions, target

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"


@cache
def known() -> Definitions:
    return definitions.load()


class Filler:
    """Makes values of definitions: with all fields, or with some of them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._all = seed == 0

    def value(self, name: str, depth: int = 0) -> Any:
        """Return a value of a definition."""
        choose = self._random.choice
        match name.removeprefix(f"{META}.").removeprefix(f"{EXTENSIONS}."):
            case "io.k8s.apimachinery.pkg.api.resource.Quantity":
                return choose(["1", "500m", "1Gi", "0"])
            case "io.k8s.apimachinery.pkg.util.intstr.IntOrString":
                return choose([0, 80, -1, "http", "25%"])
            case "Time":
                return choose(["2026-11-29T00:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:01Z"])
            case "MicroTime":
                return choose(["2026-11-29T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z"])
            case "JSON" | "FieldsV1" | "io.k8s.apimachinery.pkg.runtime.RawExtension":
                return {"f:a": {"b": [1, "ü", None, 1.5]}}
            case "JSONSchemaPropsOrBool":
                return choose([True, False]) if depth > 2 else self._struct(f"{EXTENSIONS}.JSONSchemaProps", depth)
            case "JSONSchemaPropsOrArray":
                return self._struct(f"{EXTENSIONS}.JSONSchemaProps", depth + 1)
            case "JSONSchemaPropsOrStringArray":
                return ["a", "b"]
        return self._struct(name, depth)

    def _struct(self, name: str, depth: int) -> Any:
        found: dict[str, Any] = {}
        for key, schema in known()[name].get("properties", {}).items():
            recursive = target(schema.get("items", schema.get("additionalProperties", schema)) or {})
            if key in ("apiVersion", "kind") and "x-kubernetes-group-version-kind" in known()[name]:
                continue
            if (depth > 3 and recursive.startswith(EXTENSIONS)) or not (self._all or self._random.random() < 0.6):
                continue
            is_duration = "metrics" in name and key == "window"  # which its definition calls a string
            found[key] = "15s" if is_duration else self._schema(schema, depth + recursive.startswith(EXTENSIONS))
        return found

    def _schema(self, schema: Definition, depth: int) -> Any:
        if name := target(schema):
            return self.value(name, depth)
        kind = schema.get("type", "")
        match kind if isinstance(kind, str) else kind[0]:
            case "string" if schema.get("format") == "byte":
                return "AP8="
            case "string" if schema.get("format") == "date-time":
                return "2026-11-29T00:00:00Z"
            case "string":
                return self._random.choice(["a", "ü" * 100])
            case "boolean":
                return True
            case "integer" if schema.get("format") == "int32":
                return self._random.choice([1, -1, 300, 2**31 - 1])
            case "integer":
                return self._random.choice([1, -1, 300, 2**63 - 1, -(2**63)])
            case "number":
                return 1.5
            case "array":
                return [self._schema(schema["items"], depth) for _ in range(self._random.choice([1, 2]))]
            case "object" if "additionalProperties" in schema:
                return {key: self._schema(schema["additionalProperties"], depth) for key in ("", "k")}
        return {}
