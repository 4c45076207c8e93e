"""Values against schemas, in upstream's words (apiextensions pkg/apiserver/validation/validation_test.go)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.crdschema import formats
from apiserver.crdschema.embedded import check_embedded
from apiserver.crdschema.uniqueness import check_uniqueness
from apiserver.crdschema.values import check_values


def wrong(schema: str, value: Any, *old: Any) -> list[str]:
    return [str(error) for error in check_values(yaml.safe_load(schema), value, *old, path="spec")]  # type: ignore[misc]


@pytest.mark.parametrize("case", yaml.safe_load(Path(__file__).with_name("values.yaml").read_text()))
def test_values(case: Any) -> None:
    found = check_values(case["schema"], case["value"], path="spec")
    assert [str(error) for error in found] == case["errors"]


def test_what_has_not_changed_is_not_complained_about() -> None:
    schema = "{type: object, properties: {a: {type: integer, maximum: 1}, b: {type: integer, maximum: 1}}}"
    assert wrong(schema, {"a": 5, "b": 0}, {"a": 5}) == []
    assert len(wrong(schema, {"a": 6, "b": 0}, {"a": 5})) == 1
    assert len(wrong("{type: integer}", True, 1)) == 1, "true is not 1"


def test_elements_of_list_maps_are_compared_by_their_keys() -> None:
    schema = """
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [k]
    items: {type: object, properties: {k: {type: string}, v: {type: integer, maximum: 1}}}
    """
    old = [{"k": "a", "v": 5}, {"k": "b", "v": 6}]
    assert wrong(schema, list(reversed(old)), old) == []
    assert [error.partition(":")[0] for error in wrong(schema, [{"k": "c", "v": 7}, old[0]], old)] == ["spec[0].v"]
    atomic = schema.replace("type: map", "type: atomic")
    assert len(wrong(atomic, list(reversed(old)), old)) == 2


def test_sets_and_maps_hold_nothing_twice() -> None:
    schema = yaml.safe_load("""
    type: object
    properties:
      set: {type: array, x-kubernetes-list-type: set, items: {type: string}}
      map:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [name, port]
        items: {type: object}
    """)
    value = {"set": ["a", "b", "a", "a"], "map": [{"name": "a", "port": 1}, {"name": "a"}, {"name": "a", "port": 1}]}
    assert [str(error) for error in check_uniqueness(schema, value)] == [
        'set[2]: Duplicate value: "a"',
        'map[2]: Duplicate value: {"name":"a","port":1}',
    ]


def test_embedded_objects_are_objects() -> None:
    schema = yaml.safe_load("""
    type: object
    properties:
      pods: {type: array, items: {type: object, x-kubernetes-embedded-resource: true}}
    """)
    bad = {"apiVersion": "a/b/c", "kind": "Pod", "metadata": {"name": "A/"}}
    pods = [{"apiVersion": "v1", "kind": "Pod"}, {"kind": "po d"}, bad]
    found = [str(error) for error in check_embedded(schema, {"pods": pods})]
    assert [error.partition(": ")[0] for error in found] == [
        "pods[1].apiVersion",
        "pods[1].kind",
        "pods[2].apiVersion",
        "pods[2].metadata.name",
    ]


_FORMATS = yaml.safe_load(Path(__file__).with_name("formats.yaml").read_text())


@pytest.mark.parametrize("name", _FORMATS)
def test_formats(name: str) -> None:
    check = formats.known(name)
    assert check is not None
    assert [text for text in _FORMATS[name]["good"] if not check(text)] == []
    assert [text for text in _FORMATS[name]["bad"] if check(text)] == []


def test_formats_that_are_not_checked() -> None:
    assert formats.known("date-time") is formats.known("datetime")
    for name in ("", "int32", "int64", "float", "double", "k8s-short-name", "quantity", "no-such-format"):
        assert formats.known(name) is None


def test_the_message_about_a_format() -> None:
    assert wrong("{type: string, format: uri}", "http://x y") == [
        'spec: Invalid value: "http://x y": spec in body must be of type uri: "http://x y"'
    ]
    assert wrong("{type: string, format: date-time}", "2024-05-06T07:08:09.123456") == [
        'spec: Invalid value: "2024-05-06T07:08:09.123456": '
        'spec in body must be of type date-time: "2024-05-06T07:08:09.123456"'
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("duration", "1ns" * 28 + "!"),
        ("duration", "1" * 100_000),
        ("duration", "1ns" * 100_000 + "!"),
        ("email", "a." * 100_000),
        ("email", "(" * 100_000),
        ("email", '"' + "\\" * 100_000),
        ("uri", "http://" + "[" * 100_000),
        ("uri", "%41" * 100_000 + "%"),
        ("hostname", "a-" * 100_000),
        ("ipv6", ":" * 100_000),
        ("creditcard", "4" * 100_000),
        ("byte", "A" * 100_000),
        ("date-time", "2024-05-06T" + "1" * 100_000),
        ("isbn", " " * 100_000),
    ],
)
def test_formats_take_linear_time(name: str, text: str) -> None:
    check = formats.known(name)
    assert check is not None
    began = time.process_time()
    check(text)
    assert time.process_time() - began < 0.5
