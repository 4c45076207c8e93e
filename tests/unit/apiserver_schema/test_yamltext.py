from __future__ import annotations

from typing import Any

import pytest
import yaml

from apiserver.schema.yamltext import dump

TEXTS = (
    *("", " ", "a", "a b", "a.b/c-d", "yes", "No", "n", "Y", "off", "null", "~", "true", "NaN", "inf", ".inf", "_1"),
    *("1", "-1", "1e5", "1.5", "0x1f", "1:30", "2020-01-01", "1_000", "<<", "=", "-", "- a", "? a", "?", ": ", "a: b"),
    *("#", "a #b", "'", '"', "\\", "|", ">", "---", "...", "[", "{", "*a", "&a", "!t", "%", "@", "`", "a\nb", "\n"),
    *("\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff", "\uffff", "\xe9", "\U0001f600", "b" * 2_000),
)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_read_as_itself_wherever_it_stands(text: str, loader: Any) -> None:
    for value in (text, {text: text}, [text, [text, {text: [text]}]], {"a": {text: {text: [{text: text, "b": {}}]}}}):
        assert yaml.load(dump(value), Loader=loader) == value


@pytest.mark.parametrize("value", [0, -1, 2**70, 0.5, 1e20, 1.5e-7, True, False, None, [], {}, [[]], {"a": None}])
def test_other_values_keep_their_types(value: Any) -> None:
    found = yaml.safe_load(dump(value))
    assert found == value
    assert type(found) is type(value)


def test_the_style() -> None:
    value = {"b": [{"z": 1, "c": [[1, 2], [{}]]}], "a": {"e": "x y", "f": "word"}}
    assert dump(value).decode() == (
        """a:
  e: "x y"
  f: word
b:
- c:
  - - 1
    - 2
  - - {}
  z: 1
"""
    )
