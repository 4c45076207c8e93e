"""Pruning, nulls and defaults: what decoding leaves of an object (upstream: algorithm_test.go of both)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from apiserver.crdschema.tree import compile_schema, prune
from apiserver.schema.tree import MismatchError, listed

SCHEMA = yaml.safe_load("""
type: object
properties:
  spec:
    type: object
    properties:
      name: {type: string}
      size: {type: integer, default: 3}
      maybe: {type: string, nullable: true}
      nested: {type: object, default: {}, properties: {a: {type: string, default: x}}}
      list: {type: array, items: {type: object, properties: {a: {type: string}, b: {type: string, default: y}}}}
      map: {type: object, additionalProperties: {type: object, properties: {a: {type: string}}}}
      open: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {in: {type: object}}}
      any: {type: object, additionalProperties: true}
      both: {type: object, additionalProperties: true, properties: {a: {type: object}}}
      zero: {type: object, additionalProperties: {type: string}}
      zeros: {type: object, additionalProperties: {type: string, default: z}}
      nulls: {type: object, additionalProperties: {type: string, nullable: true}}
      openlist:
        type: array
        x-kubernetes-preserve-unknown-fields: true
        items: {type: object, properties: {a: {type: object}}}
      openlists:
        type: array
        x-kubernetes-preserve-unknown-fields: true
        items: {type: array, items: {type: object}}
      openitems: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
      openvalues: {type: object, additionalProperties: {type: object, x-kubernetes-preserve-unknown-fields: true}}
      openmap:
        type: object
        x-kubernetes-preserve-unknown-fields: true
        additionalProperties: {type: object, properties: {a: {type: string}}}
      whatever: {x-kubernetes-preserve-unknown-fields: true}
      openpod:
        type: object
        x-kubernetes-embedded-resource: true
        x-kubernetes-preserve-unknown-fields: true
        properties: {spec: {type: object, properties: {a: {type: string}}}}
      pod: {type: object, x-kubernetes-embedded-resource: true, properties: {spec: {type: object}}}
""")


def decoded(spec: Any) -> tuple[Any, list[str]]:
    obj = {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "spec": spec}
    node = compile_schema(SCHEMA, root=True)
    assert node.walk is not None
    problems = node.walk(obj)
    return obj["spec"], [str(problem) for problem in listed(problems or ())]


DEFAULTS = {"size": 3, "nested": {"a": "x"}}


@pytest.mark.parametrize(
    ("spec", "left", "unknown"),
    [
        ({}, DEFAULTS, []),
        ({"size": 1, "nested": {"a": "b"}}, {"size": 1, "nested": {"a": "b"}}, []),
        ({"size": None, "name": None, "maybe": None}, {"maybe": None, **DEFAULTS}, []),
        ({"other": 1}, DEFAULTS, ["spec.other"]),
        (
            {"list": [{"a": "1", "x": 1}, {}]},
            {"list": [{"a": "1", "b": "y"}, {"b": "y"}], **DEFAULTS},
            ["spec.list[0].x"],
        ),
        ({"map": {"k": {"a": "1", "x": 2}}}, {"map": {"k": {"a": "1"}}, **DEFAULTS}, ["spec.map.k.x"]),
        (
            {"open": {"x": {"y": 1}, "in": {"z": 1}}},
            {"open": {"x": {"y": 1}, "in": {}}, **DEFAULTS},
            ["spec.open.in.z"],
        ),
        ({"any": {"a": 1, "b": {"c": 2}}}, {"any": {"a": 1, "b": {}}, **DEFAULTS}, ["spec.any.b.c"]),
        (
            {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "x": 1}, "spec": {}, "y": 1}},
            {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}, **DEFAULTS},
            ["spec.pod.metadata.x", "spec.pod.y"],
        ),
        (
            {"both": {"a": {"x": 1}, "b": {"c": 2}, "d": 1, "e": None, "f": [{"g": 1}]}},
            {"both": {"a": {}, "b": {}, "d": 1, "e": None, "f": [{}]}, **DEFAULTS},
            ["spec.both.a.x", "spec.both.b.c"],
        ),
        ({"zero": {"a": None, "b": "x"}}, {"zero": {"b": "x"}, **DEFAULTS}, []),
        ({"zeros": {"a": None}}, {"zeros": {"a": "z"}, **DEFAULTS}, []),
        ({"nulls": {"a": None}}, {"nulls": {"a": None}, **DEFAULTS}, []),
        ({"any": {"a": None}}, {"any": {"a": None}, **DEFAULTS}, []),
        (
            {"openlist": [{}, {"x": {"y": [{"z": 1}]}, "a": {"b": 1}}]},
            {"openlist": [{}, {"x": {"y": [{"z": 1}]}, "a": {}}], **DEFAULTS},
            ["spec.openlist[1].a.b"],
        ),
        ({"openlists": [[{"x": {"y": 1}}], []]}, {"openlists": [[{"x": {"y": 1}}], []], **DEFAULTS}, []),
        ({"openitems": [{"x": {"y": 1}}]}, {"openitems": [{"x": {"y": 1}}], **DEFAULTS}, []),
        ({"openvalues": {"k": {"x": {"y": 1}}}}, {"openvalues": {"k": {"x": {"y": 1}}}, **DEFAULTS}, []),
        (
            {"openmap": {"k": {"a": "1", "x": 1}}},
            {"openmap": {"k": {"a": "1"}}, **DEFAULTS},
            ["spec.openmap.k.x"],
        ),
        ({"whatever": [{"x": [{"y": None}]}]}, {"whatever": [{"x": [{"y": None}]}], **DEFAULTS}, []),
        ({"whatever": {"x": 1}}, {"whatever": {"x": 1}, **DEFAULTS}, []),
        (
            {"openpod": {"apiVersion": "v1", "kind": "P", "metadata": {"x": 1}, "spec": {"b": 1}, "y": {"z": 1}}},
            {"openpod": {"apiVersion": "v1", "kind": "P", "metadata": {}, "spec": {}, "y": {"z": 1}}, **DEFAULTS},
            ["spec.openpod.metadata.x", "spec.openpod.spec.b"],
        ),
        ({"name": {"not": "a string"}}, {"name": {"not": "a string"}, **DEFAULTS}, []),
    ],
)
def test_decoding(spec: Any, left: Any, unknown: list[str]) -> None:
    found, problems = decoded(spec)
    assert found == left
    assert problems == [f'unknown field "{path}"' for path in unknown]
    assert decoded(copy.deepcopy(found)) == (found, []), "what has been decoded stays as it is"


def test_a_default_is_everybodys_own() -> None:
    first, _ = decoded({})
    first["nested"]["a"] = "changed"
    assert decoded({})[0] == DEFAULTS


def test_metadata_is_typed() -> None:
    node = compile_schema(SCHEMA, root=True)
    assert node.walk is not None
    with pytest.raises(MismatchError, match=r"number into Go struct field ObjectMeta.labels of type string"):
        node.walk({"metadata": {"labels": {"a": 1}}})
    with pytest.raises(MismatchError, match=r"string into Go value of type v1.ObjectMeta"):
        node.walk({"metadata": "x"})


def test_pruning_alone_fills_in_nothing() -> None:
    obj = {"metadata": {"name": "n"}, "spec": {"x": 1, "open": {"y": 1}}, "status": {}}
    prune(compile_schema(SCHEMA, root=True), obj)
    assert obj == {"metadata": {"name": "n"}, "spec": {"open": {"y": 1}}}


def test_owners_of_fields_know_lists_and_maps() -> None:
    schema = yaml.safe_load("""
    type: object
    properties:
      s: {type: array, x-kubernetes-list-type: set, items: {type: string}}
      m:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [name]
        items: {type: object, properties: {name: {type: string, default: a}}}
      o: {type: object, x-kubernetes-map-type: atomic, properties: {a: {type: string}}}
    """)
    node = compile_schema(schema, root=True)
    found: Any = {name: node.child(name) for name in "smo"}
    assert (found["s"].list_type, found["m"].list_type, found["m"].list_keys) == ("set", "map", ("name",))
    assert found["m"].key_defaults == {"name": "a"}
    assert (found["o"].atomic, node.child("metadata").child("labels").atomic) == (True, False)  # type: ignore[union-attr]
