"""Values against schemas, in upstream's words (apiextensions pkg/apiserver/validation/validation_test.go)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.crdschema.embedded import check_embedded
from apiserver.crdschema.formats import KNOWN
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


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("date-time", "2024-02-29T10:00:00Z", "2024-02-29"),
        ("duration", "1h30m", "1 fortnight"),
        ("uri", "https://example.com/a?b", "example"),
        ("email", "a@example.com", "example.com"),
        ("hostname", "a.example.com", "a..b"),
        ("ipv6", "::1", "1.2.3.4"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "01:23:45:67:89:ab", "01:23"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ("byte", "YWJj", "YWJj!"),
        ("isbn10", "0-306-40615-2", "0-306-40615-3"),
        ("isbn13", "978-3-16-148410-0", "978-3-16-148410-1"),
        ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("hexcolor", "#a1b2c3", "#a1b2"),
        ("ssn", "123-45-6789", "123-45"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    assert KNOWN[name](good)
    assert not KNOWN[name](bad)
