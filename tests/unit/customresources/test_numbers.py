"""Numbers: what is stored for a JSON number, and what a schema takes (asked of upstream's v1.20 validator)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apiserver.crdschema import numbers
from apiserver.crdschema.values import check_values

INTEGER, NUMBER = {"type": "integer"}, {"type": "number"}
EITHER = {"x-kubernetes-int-or-string": True}


def read(text: str) -> Any:
    value = [orjson.loads(text)]
    numbers.normalize(value)
    return value[0]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("-0.0", "0"),
        ("1.5", "1.5"),
        ('{"a": [1.0, {"b": 2.0}]}', '{"a":[1,{"b":2}]}'),
        ("true", "true"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9.223372036854776e18"),
        ("18446744073709551616", "1.8446744073709552e19"),
        ("1e300", "1e300"),
    ],
)
def test_what_is_stored(text: str, stored: str) -> None:
    assert orjson.dumps(read(text)).decode().replace("e+", "e") == stored


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            INTEGER,
            "1 1.0 1e2 9223372036854775807 -9223372036854775808",
            "1.5 9223372036854775808 9007199254740993.0 true",
        ),
        ({**INTEGER, "format": "int32"}, "1 9223372036854775807", "1.5"),
        (NUMBER, "1 1.0 1.5 9223372036854775808 1e300", 'true "1" null'),
        ({**NUMBER, "format": "float"}, "1e300 1", ""),
        (EITHER, '1 1.0 "A"', "1.5 true 9223372036854775808"),
        ({**INTEGER, "maximum": 2.5}, "2 1.0", "3"),
        ({**NUMBER, "maximum": 2.5}, "2.5 2", "2.6 3"),
        ({**NUMBER, "maximum": 2.5, "exclusiveMaximum": True}, "2.4 1", "2.5 2 3"),
        ({**INTEGER, "minimum": 2.5}, "2 3", "1"),
        ({**NUMBER, "minimum": 2, "exclusiveMinimum": True}, "2.1 3", "2 2.0 1"),
        ({**NUMBER, "multipleOf": 0.1}, "0.3 0.7 2.5 3", "0.35 1e20"),
        ({**INTEGER, "multipleOf": 2}, "2 4.0 0 -2", "3"),
        ({**NUMBER, "multipleOf": 2.5}, "2 2.5 7.5", "5 3 2.6"),
        ({**INTEGER, "enum": [1, 2]}, "1 1.0 2", "3"),
        ({**NUMBER, "enum": [1.0, 2.5]}, "1 1.0 2.5", "2"),
        ({**NUMBER, "enum": [1, 2.5]}, "1 1.0 1.5 2.5", "2"),
        ({**EITHER, "enum": ["A", 1]}, '1 1.0 "A"', '2 "1"'),
    ],
)
def test_what_a_schema_takes(schema: Any, good: str, bad: str) -> None:
    assert [text for text in good.split() if check_values(schema, read(text))] == []
    assert [text for text in bad.split() if not check_values(schema, read(text))] == []
