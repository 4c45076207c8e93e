"""Whatever a definition or an object says, the answer is an object or an error in upstream's form."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiserver.crdschema import definition
from apiserver.customresources.conditions import decide
from apiserver.customresources.rows import rows_of
from apiserver.kinds.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS as KIND
from apiserver.model.item import Item, encode
from machinery.errors import ApiError

NAMES = st.sampled_from(["a", "b", "metadata", "kind", "x-y", "spec", "__", "1", "status"])
SCALARS = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(allow_nan=False) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
RULES = ["self.a == self.b", "has(self.a)", "self == oldSelf", "size(self) < 3", "(", ""]
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "", "null", "other"])


def schema_of(inner: Any) -> Any:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "properties": st.dictionaries(NAMES, inner, max_size=3) | st.none(),
            "additionalProperties": inner | st.booleans(),
            "items": inner | st.lists(inner, max_size=2),
            "required": st.lists(NAMES, max_size=2),
            "anyOf": st.lists(inner, max_size=2),
            "not": inner | st.none(),
            "default": VALUES,
            "enum": st.lists(SCALARS, max_size=2),
            "nullable": st.booleans(),
            "minimum": st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False),
            "multipleOf": st.integers(-3, 3),
            "maxLength": st.integers(0, 3),
            "pattern": st.sampled_from(["^a", "[", "(?=a)", ""]),
            "format": st.sampled_from(["date-time", "byte", "int32", "duration", "unknown"]),
            "x-kubernetes-preserve-unknown-fields": st.booleans(),
            "x-kubernetes-embedded-resource": st.booleans(),
            "x-kubernetes-int-or-string": st.booleans(),
            "x-kubernetes-list-type": st.sampled_from(["atomic", "set", "map", "bag"]),
            "x-kubernetes-list-map-keys": st.lists(NAMES, max_size=2),
            "x-kubernetes-map-type": st.sampled_from(["atomic", "granular", "other"]),
            "x-kubernetes-validations": st.lists(
                st.fixed_dictionaries(
                    {"rule": st.sampled_from(RULES)},
                    optional={
                        "message": st.text(max_size=3),
                        "optionalOldSelf": st.booleans(),
                        "fieldPath": st.sampled_from([".a", "x", ""]),
                    },
                ),
                max_size=2,
            ),
        },
    )  # fmt: skip


SCHEMAS = st.recursive(schema_of(st.just({"type": "string"})), schema_of, max_leaves=4)


def crd(schema: Any) -> Any:
    return {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
        "status": {"storedVersions": ["v1"]},
    }


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEMAS, st.lists(VALUES, min_size=2, max_size=2))
def test_schemas_and_objects(schema: Any, contents: list[Any]) -> None:
    try:
        made, _ = KIND.codec.decode(KIND, orjson.dumps(crd({"type": "object", **schema})), "application/json")
    except ApiError:
        return
    definition.default(made)
    if definition.check(made):
        return
    made["metadata"]["uid"] = "1"
    [row] = rows_of(decide(made, ()))
    row.codec.published(row, v2=True)
    row.codec.published(row, v2=False)
    old = None
    for content in contents:
        body = orjson.dumps({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "n"}, "a": content})
        try:
            obj, _ = row.codec.decode(row, body, "application/json")
        except ApiError:
            continue
        found = row.strategy.validate(obj) if old is None else row.strategy.validate_update(obj, old)
        orjson.dumps([error.cause() for error in found])
        stored = Item("k", encode(row.codec.stored(obj)), 1)
        seen = row.codec.view(stored)
        assert seen.object["kind"] == "Foo"
        again, _ = row.codec.decode(row, seen.data, "application/json", field_validation="Strict")
        assert encode(again) == encode(seen.object), "what has been decoded stays as it is"
        old = obj
