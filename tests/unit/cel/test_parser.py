"""What is an expression, and what is told about what is none: cel-go's words and places."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.environment import Environment, InstantiationError
from apiserver.crdschema.cel.source import CompileError
from apiserver.crdschema.cel.types import Type

TYPES: dict[str, dict[str, Type]] = {
    "self": {
        "count": types.INT,
        "ratio": types.DOUBLE,
        "name": types.STRING,
        "tags": types.list_of(types.STRING),
        "map": types.map_of(types.STRING, types.INT),
        "part": types.object_type("part"),
        "any": types.DYN,
        "at": types.TIMESTAMP,
    },
    "part": {"size": types.INT},
}
WANTED = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)


class Fields:
    """The fields of two objects."""

    def field_type(self, name: str, field: str) -> Type | None:
        return TYPES[name].get(field)


def compile(text: str) -> Any:
    return Environment({"self": types.object_type("self")}, Fields()).compile(text)


def faults(text: str) -> list[str]:
    """What is reported, each as line:column: message."""
    with pytest.raises(CompileError) as caught:
        compile(text)
    lines = [line for line in str(caught.value).split("\n") if line.startswith("ERROR: <input>:")]
    return [line.removeprefix("ERROR: <input>:") for line in lines]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("self.count + 1", "int"),
        ("self.ratio > 0 && self.count < 1.5", "bool"),
        ("self.tags.map(t, t.size())", "list(int)"),
        ("self.part.size == 1 ? 'a' : 'b'", "string"),
        ("{'a': [1u]}", "map(string, list(uint))"),
        ("[]", "list(dyn)"),
        ("self.any.x.y[0]", "dyn"),
        ("self.?name", "optional_type(string)"),
        ("self.tags[?0].orValue('')", "string"),
        ("self.part == null || self.at == null || self.any == null", "bool"),
        ("type(self.count)", "type(int)"),
        ("[[1], []]", "list(list(int))"),
        ("self.any + 1", "int"),
        ("'%s %d'.format(['a', 1])", "string"),
        ("// nothing\n  self // a comment\n  .count", "int"),
        ("-self.count - -1", "int"),
        ("!!true", "bool"),
        ("self.tags.all(t, t in ['a',]) && {'a': 1,}.size() == 1", "bool"),
        ("'a' + 'b'" + " + 'c'" * 200, "string"),
        (" || ".join(["self.count == 1"] * 3000), "bool"),
    ],
)
def test_types(text: str, kind: str) -> None:
    assert str(compile(text).type) == kind


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("self.", ["1:6: Syntax error: no viable alternative at input '.'"]),
        ("a b", ["1:3: Syntax error: extraneous input 'b' expecting <EOF>"]),
        ("1 +", [f"1:4: Syntax error: mismatched input '<EOF>' expecting {WANTED}"]),
        ("{1: 2, 'a'}", ["1:11: Syntax error: mismatched input '}' expecting ':'"]),
        ("self.count >> 1", [f"1:13: Syntax error: extraneous input '>' expecting {WANTED}"]),
        ("if == 1", ["1:1: reserved identifier: if"]),
        ("9223372036854775808 > 0", ["1:1: invalid int literal"]),
        ("x.all(1, true)", ["1:7: argument must be a simple name"]),
        ("self.tags.map(a.b, true)", ["1:16: argument must be a simple name"]),
        ("has(self)", ["1:5: invalid argument to has() macro"]),
        ("(" * 251 + "1" + ")" * 251, ["-1:0: expression recursion limit exceeded: 250"]),
        ("1" + " + 1" * 251, ["-1:0: expression recursion limit exceeded: 250"]),
        ("a" * 100_001, ["-1:0: expression code point size exceeds limit: size: 100001, limit 100000"]),
        # types
        ("self.nope", ["1:5: undefined field 'nope'"]),
        ("has(self.nope)", ["1:4: undefined field 'nope'"]),
        ("self.?nope", ["1:5: undefined field 'nope'"]),
        ("nope", ["1:1: undeclared reference to 'nope' (in container '')"]),
        ("nope(1)", ["1:5: undeclared reference to 'nope' (in container '')"]),
        ("self.name.nope()", ["1:15: undeclared reference to 'nope' (in container '')"]),
        ("Point{x: 1}", ["1:6: undeclared reference to 'Point' (in container '')"]),
        ("self.count + 'a'", ["1:12: found no matching overload for '_+_' applied to '(int, string)'"]),
        ("self.ratio == 1", ["1:12: found no matching overload for '_==_' applied to '(double, int)'"]),
        ("self.name == null", ["1:11: found no matching overload for '_==_' applied to '(string, null)'"]),
        ("self.count.size()", ["1:16: found no matching overload for 'size' applied to 'int.()'"]),
        ("self.name.startsWith(1)", ["1:21: found no matching overload for 'startsWith' applied to 'string.(int)'"]),
        ("self.part > 1", ["1:11: found no matching overload for '_>_' applied to '(part, int)'"]),
        ("self.tags.all(t, t)", ["1:14: found no matching overload for '_&&_' applied to '(bool, string)'"]),
        ("self.count.foo", ["1:11: type 'int' does not support field selection"]),
        (
            "self.count.all(x, true)",
            ["1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"],
        ),
        ("true ? 1 : 'a'", ["1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'"]),
        ("self.tags['a']", ["1:10: found no matching overload for '_[_]' applied to '(list(string), string)'"]),
        ("self.count in ['a']", ["1:12: found no matching overload for '@in' applied to '(int, list(string))'"]),
        ("'a'.reverse()", ["1:12: undeclared reference to 'reverse' (in container '')"]),
        (
            "semver('1.0.0').major()",
            [
                "1:7: undeclared reference to 'semver' (in container '')",
                "1:22: undeclared reference to 'major' (in container '')",
            ],
        ),
        (
            "x + y",
            [
                "1:1: undeclared reference to 'x' (in container '')",
                "1:5: undeclared reference to 'y' (in container '')",
            ],
        ),
        ("true &&\n  nope", ["2:3: undeclared reference to 'nope' (in container '')"]),
        # literals
        ("[1, 'a']", ["1:5: expected type 'int' but found 'string'"]),
        ("[1, dyn('a')]", ["1:8: expected type 'int' but found 'dyn'"]),
        ("{'a': 1, 2: 3}", ["1:10: expected type 'string' but found 'int'"]),
        ("{'a': 1, 'b': 'c'}", ["1:15: expected type 'int' but found 'string'"]),
        ("self.name.matches('[')", ["1:19: invalid matches argument"]),
        ("duration('1y') == duration('1h')", ["1:10: invalid duration argument"]),
        ("timestamp('2020') == self.at", ["1:11: invalid timestamp argument"]),
        (
            "'%d'.format(['a'])",
            [
                "1:14: error during formatting: decimal clause can only be used on integers, was given string",
            ],
        ),
        ("'%d %d'.format([1])", ["1:1: index 1 out of range"]),
        ("'%d'.format([1, 2])", ["1:12: too many arguments supplied to string.format (expected 1, got 2)"]),
        ("'%z'.format([1])", ['1:1: could not parse formatting clause: unrecognized formatting clause "z"']),
    ],
)
def test_faults(text: str, found: list[str]) -> None:
    assert faults(text) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("self.name.find('[') == ''", "error parsing regexp: missing closing ]: `[`"),
        ("int('a') == 1", 'strconv.ParseInt: parsing "a": invalid syntax'),
    ],
)
def test_constants_that_cannot_be_evaluated(text: str, why: str) -> None:
    with pytest.raises(InstantiationError) as caught:
        compile(text).program()
    assert str(caught.value) == why


def test_the_place_is_shown() -> None:
    with pytest.raises(CompileError) as caught:
        compile("true &&\n\tself.é.nope")
    assert str(caught.value).startswith("ERROR: <input>:2:7: Syntax error")
    with pytest.raises(CompileError) as caught:
        compile("'é' + self.nope")
    assert str(caught.value) == ("ERROR: <input>:1:11: undefined field 'nope'\n | 'é' + self.nope\n | .\uff0e........^")
