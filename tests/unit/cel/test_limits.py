"""No expression, however written, costs more than it may: when a definition is written, and when an object is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apiserver.crdschema.celcheck import check_rules
from apiserver.crdschema.celrules import rules_of

# About a second is meant. A busy machine's processor time varies by a factor of two or more.
SECONDS = 6
BIG = "a" * 3_000_000


def schema(rule: str) -> Any:
    text, number = {"type": "string"}, {"type": "integer"}
    properties = {
        "text": text,
        "list": {"type": "array", "items": text},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "grid": {"type": "array", "items": {"type": "array", "items": number}},
    }
    return {"type": "object", "properties": properties, "x-kubernetes-validations": [{"rule": rule}]}


@pytest.mark.parametrize(
    "rule",
    [
        "(" * 99_000,
        "[" * 99_000,
        "!" * 99_000 + "true",
        "self" + ".text" * 19_000,
        "1" + "+1" * 49_000 + " > 0",
        "||".join(["1==1"] * 16_000),
        "true?true:" * 9_900 + "true",
        "[" + "1," * 49_000 + "1].size() > 0",
        "[" + "'a'," * 24_000 + "1].size() > 0",
        "'" + "a" * 99_000,
        "@#$%" * 24_000,
        "||".join(["[]==[]"] * 12_000),
        "||".join(["nope"] * 16_000),
        "self.list.all(a," * 200 + "true" + ")" * 200,
        "self.?text" + ".optMap(x, x)" * 200 + ".hasValue()",
        "self.?text.optMap(x, " * 100 + "x" + ")" * 100 + ".hasValue()",
        "duration('" + "1ns" * 30_000 + "') == duration('1s')",
        "'" + "%s" * 20_000 + "'.format([" + "1," * 20_000 + "1]) == ''",
        "self.text.matches('" + "(a{1,9}){1,9}" * 5_000 + "')",
    ],
    ids=lambda rule: rule[:20],
)
def test_writing_a_definition(rule: str) -> None:
    started = time.thread_time()
    list(check_rules("s", schema(rule)))
    assert time.thread_time() - started < SECONDS


@pytest.mark.parametrize(
    ("rule", "obj"),
    [
        ("self.list.all(a, self.list.all(b, true))", {"list": ["x"] * 200_000}),
        ("self.text.replace('', self.text) == ''", {"text": BIG}),
        ("self.list.map(x, self.text + self.text).size() > 0", {"text": BIG, "list": ["x"] * 200_000}),
        ("self.text.findAll('a').size() > 0", {"text": BIG}),
        ("self.list.all(x, self.text.matches('(x+x+)+y'))", {"text": BIG, "list": ["x"] * 1_000}),
        ("self.list.all(x, self.any == self.any)", {"any": {"a": list(range(100_000))}, "list": ["x"] * 100_000}),
        ("self.list.all(x, self.grid.indexOf([1]) < 0)", {"grid": [[2]] * 10_000, "list": ["x"] * 10_000}),
        ("self.list.all(x, self.list.indexOf('y') < 0)", {"list": ["x"] * 100_000}),
        ("self.text.split('').map(x, x + x).join('') == ''", {"text": BIG}),
        ("sets.contains(self.list, self.list)", {"list": ["x"] * 200_000}),
        ("self.?text" + ".optMap(x, x)" * 60 + ".hasValue()", {"text": "a"}),
        ("self.list.all(a, isQuantity(a) && isURL(a) && isCIDR(a))", {"list": ["1e999999999"] * 200_000}),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_writing_an_object(rule: str, obj: Any) -> None:
    rules = rules_of(schema(rule))
    assert rules is not None
    started = time.thread_time()
    rules.check(obj, None)
    assert time.thread_time() - started < SECONDS
