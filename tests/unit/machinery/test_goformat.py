"""Values as Go prints them; the texts are those of Go 1.19."""

from __future__ import annotations

from typing import Any

import pytest

from machinery.goformat import DEPTH, go_syntax, go_value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "<nil>"),
        (True, "true"),
        ("a 'b'", "a 'b'"),
        (12345678, "12345678"),
        ({"b": None, "a": [True, "x y", 1.5, {}]}, "map[a:[true x y 1.5 map[]] b:<nil>]"),
        ([], "[]"),
        *((0.0, "0"), (1.0, "1"), (1.5, "1.5"), (-2.25, "-2.25"), (100000.0, "100000"), (1e6, "1e+06")),
        *((1234567.5, "1.2345675e+06"), (123456789.0, "1.23456789e+08"), (1e20, "1e+20"), (1e21, "1e+21")),
        *((1.5e22, "1.5e+22"), (0.0001, "0.0001"), (0.00001, "1e-05"), (0.00012345, "0.00012345"), (1e-7, "1e-07")),
        *((1e300, "1e+300"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (float("nan"), "NaN")),
    ],
)
def test_a_value(value: Any, shown: str) -> None:
    assert go_value(value) == shown


def test_a_value_in_gos_syntax() -> None:
    assert go_syntax({"b": None, "a": [True, 'x "y"', 1.5, 1e6, 1.0, 5, {}, []]}) == (
        r'map[string]interface {}{"a":[]interface {}{true, "x \"y\"", 1.5, 1e+06, 1, 5, map[string]interface {}{}, '
        '[]interface {}{}}, "b":interface {}(nil)}'
    )


def test_deep_nesting_is_cut() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]
    assert go_value(value) == "[" * DEPTH + "..." + "]" * DEPTH
