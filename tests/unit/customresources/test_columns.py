"""Printer columns and the paths in them (upstream: client-go util/jsonpath, tableconvertor_test.go)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apiserver.customresources.columns import cell, columns_of
from apiserver.customresources.jsonpath import JSONPathError, find, parse
from machinery.objects import format_time

OBJECT: Any = {
    "metadata": {"name": "n", "annotations": {"example.com/a": "x"}},
    "spec": {"a": 1, "list": [{"n": "one", "v": 1}, {"n": "two", "v": 2}], "empty": [], "words": ["p", "q", "r"]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a", [1]),
        (".spec['a']", [1]),
        (".spec.missing", []),
        (".spec.a.deeper", []),
        (r".metadata.annotations.example\.com/a", ["x"]),
        (".metadata.annotations['example.com/a']", ["x"]),
        (".spec.list[0].n", ["one"]),
        (".spec.list[-1].n", ["two"]),
        (".spec.list[*].n", ["one", "two"]),
        (".spec.words[1:]", ["q", "r"]),
        (".spec.words[0,2]", ["p", "r"]),
        (".spec.words[::2]", ["p", "r"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Other')].status", ["False"]),
        (".spec.list[?(@.v > 1)].n", ["two"]),
        (".spec.list[?(@.n)].v", [1, 2]),
        (".spec.list[?(@.nothing)].v", []),
        ("..n", ["one", "two"]),
        (".", [OBJECT]),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    assert find(path, OBJECT) == found


@pytest.mark.parametrize("path", [".spec.list[9]", ".spec[0]", ".spec.a[?(@.b==1)]", ".spec.list[?(@.v>'x')]"])
def test_paths_that_do_not_fit(path: str) -> None:
    with pytest.raises(JSONPathError):
        find(path, OBJECT)


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".a[?(@.b==what)]", "a"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(JSONPathError):
        parse(path)


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("string", "a", "a"),
        ("string", 1, "1"),
        ("string", {"a": [1]}, '{"a":[1]}'),
        ("string", True, "true"),
        ("integer", 1, 1),
        ("integer", 1.9, 1),
        ("integer", "1", None),
        ("integer", True, None),
        ("number", 1, 1.0),
        ("boolean", False, False),
        ("boolean", "false", None),
        ("date", "yesterday", "<invalid>"),
        ("date", 1, None),
    ],
)
def test_cells(kind: str, value: Any, shown: Any) -> None:
    assert cell(kind, value) == shown
    assert type(cell(kind, value)) is type(shown)


def test_a_date_is_an_age() -> None:
    assert cell("date", format_time(datetime.now(UTC) - timedelta(hours=50))) == "2d2h"


def test_columns_of_a_version() -> None:
    own = [
        {"name": "Bad", "type": "string", "jsonPath": ".spec.list[9].n"},
        {"name": "A", "type": "integer", "jsonPath": ".spec.a"},
    ]
    name, bad, a = columns_of(own)
    assert (name.value(OBJECT), bad.value(OBJECT), a.value(OBJECT)) == ("n", None, 1)
    assert a.description == "Custom resource definition column (in JSONPath format): .spec.a"
    assert [(column.name, column.type) for column in columns_of([])] == [("Name", "string"), ("Age", "date")]
