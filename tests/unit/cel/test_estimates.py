"""What rules cost at most. The figures are those of v1.32, which decide what may be installed."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.crdschema.cel.environment import Environment
from apiserver.crdschema.cel.program import Clock
from apiserver.crdschema.cel.types import Type
from apiserver.crdschema.celrule import RuleCompiler
from apiserver.crdschema.celtypes import declaration

STRING, NUMBER, BOOLEAN = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
INT_OR_STRING = {"x-kubernetes-int-or-string": True}
OBJECT = {"type": "object", "required": ["required"], "properties": {"required": STRING, "optional": STRING}}


def text(name: str) -> dict[str, Any]:
    return {"type": "string", "format": name}


def array(items: Any, most: int | None = None) -> Any:
    return {"type": "array", "items": items} | ({} if most is None else {"maxItems": most})


def mapping(values: Any, most: int | None = None) -> Any:
    return {"type": "object", "additionalProperties": values} | ({} if most is None else {"maxProperties": most})


def string(most: int | None = None) -> Any:
    return dict(STRING) if most is None else {"type": "string", "maxLength": most}


def cost(schema: Any, rule: str) -> int:
    declared = declaration(schema)
    assert declared is not None
    compiled = RuleCompiler(declared).compile({"rule": rule})
    assert compiled.error == ""
    return compiled.cost


@pytest.mark.parametrize(
    ("schema", "rule", "unbounded", "most", "bounded"),
    [
        (array(NUMBER), "self.all(x, true)", 4718591, 10, 32),
        (array(STRING), "self.all(x, true)", 3145727, 20, 62),
        (array(BOOLEAN), "self.all(x, true)", 1887437, 5, 17),
        (array(array(NUMBER)), "self.all(x, true)", 3145727, 100, 302),
        (array(OBJECT), "self.all(x, true)", 555128, 50, 152),
        (mapping(NUMBER), "self.all(x, true)", 1348169, 10, 32),
        (mapping(STRING), "self.all(x, true)", 1179647, 3, 11),
        (mapping(BOOLEAN), "self.all(x, true)", 943718, 100, 302),
        (array(STRING), "self[1] == self[1]", 314577, 8, 314577),
        (array(NUMBER), "self[1] == 0.0", 2, 5000, 2),
        (array(NUMBER), "self.all(x, x == 0.0)", 6291454, 3 * 1024 * 2048, 25165826),
        (array(INT_OR_STRING), "self.all(x, true)", 4718591, 10, 32),
        (array(INT_OR_STRING), "self[0] == 5", 3, 10, 3),
        (array(BOOLEAN), "self[0] == false", 2, 25, 2),
        (array(OBJECT), "self[0] == null", 2, 422, 2),
        (array(array(NUMBER)), "self[0][0] == -1.0", 3, 51, 3),
        (array(mapping(NUMBER)), "self.all(x, x.y == 25.2)", 6291452, 12, 74),
        (array(mapping(NUMBER)), "self[0].x > 2.0", 4, 3000, 4),
        (array(text("duration")), "self.all(x, true)", 2359295, 5, 17),
        (array(text("duration")), "self[0].getHours() == 2", 4, 525, 4),
        (array(text("date")), "self.all(x, true)", 725936, 15, 47),
        (array(text("date-time")), "self.all(x, true)", 428963, 25, 77),
        (array(text("date-time")), "self[2].getMinutes() == 45", 4, 99, 4),
        (mapping(OBJECT), "self.all(x, true)", 428963, 20, 62),
        (mapping(mapping(NUMBER)), "self.all(x, true)", 1179647, 10, 32),
        (mapping(text("duration")), "self.all(x, true)", 1048577, 5, 17),
        (mapping(text("date")), "self.all(x, true)", 524288, 10, 32),
        (mapping(text("date-time")), "self.all(x, true)", 349526, 25, 77),
        (mapping(string()), "self.all(x, x.contains(self[x]))", 2752507, 10, 72),
        (mapping(NUMBER), "oldSelf.size() == self.size()", 5, 10, 5),
        (mapping(text("date-time")), "self['a'] == self['b']", 8, 7, 8),
        (mapping(text("duration")), "self['c'] == self['d']", 8, 42, 8),
    ],
)
def test_lists_and_maps(schema: Any, rule: str, unbounded: int, most: int, bounded: int) -> None:
    limit = "maxItems" if schema["type"] == "array" else "maxProperties"
    assert cost(schema, rule) == unbounded
    assert cost(schema | {limit: most}, rule) == bounded


@pytest.mark.parametrize(
    ("rule", "unbounded", "most", "bounded"),
    [
        ("self.contains('test')", 314574, 10, 5),
        ("self.startsWith('test')", 2, 15, 2),
        ("self.endsWith('test')", 2, 30, 2),
        ("size(self + 'hello') > size('hello')", 314578, 4, 7),
        ("self.matches('x')", 314574, 50, 22),
        ("''.matches('(((((((((())))))))))[0-9]')", 7, 10, 7),
        ("self.matches('')", 1, 100, 1),
        ("self == 'x'", 2, 0, 1),
        ("self.find('[0-9]+') == ''", 629147, 10, 11),
        ("self.lowerAscii() == 'lower!'", 314575, 10, 6),
    ],
)
def test_strings(rule: str, unbounded: int, most: int, bounded: int) -> None:
    assert cost(string(), rule) == unbounded
    assert cost(string(most), rule) == bounded


def test_functions_of_libraries() -> None:
    assert cost(array(string(10), 10), "self.join(' ') == 'aa bb'") == 43
    assert cost(array(string(), None), "self.join(' ') == 'aa bb'") == 329853068905
    assert cost(array(string(), None), "self.isSorted() == true") == 329854432052


@pytest.mark.parametrize(
    ("expression", "estimated", "actual"),
    [
        ("[1, 2, 3, 4, 5].sum()", 15, 15),
        ("[uint(1), uint(2), uint(3), uint(4), uint(5)].sum()", 20, 20),
        ("[true, false].isSorted()", 12, 12),
        ("[1, 2].indexOf(2)", 12, 12),
        ("url('https:://kubernetes.io/').getScheme()", 4, 4),
        ("ip('192.168.0.1').family()", 3, 3),
        ("ip('2001:db8:3333:4444:5555:6666:7777:8888')", 4, 4),
        ("ip.isCanonical('192.168.0.1')", 3, 3),
        ("ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')", 8, 8),
        ("cidr('192.168.0.0/16')", 2, 2),
        ("cidr('192.168.0.0/16').masked()", 3, 3),
        ("cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/30'))", 11, 7),
        ("cidr('192.168.0.0/16').containsIP(ip('192.0.0.1'))", 7, 4),
        ("cidr('192.168.0.0/16').containsIP('192.169.0.1')", 8, 5),
        ("'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3, 3),
        ("'ABCDEFGHIJ abcdefghij'.lowerAscii() == 'abcdefghij ABCDEFGHIJ'.lowerAscii()", 9, 9),
        ("strings.quote('ABCDEFGHIJ abcdefghij')", 3, 3),
        ("strings.quote('ABCDEFGHIJ abcdefghij') == strings.quote('ABCDEFGHIJ abcdefghij')", 11, 9),
        ("'abc 123 def 123'.replace('', 'x')", 3, 3),
        ("'abc 123 def 123'.split(' ')", 3, 3),
        ("'abc 123 def 123'.substring(5)", 2, 2),
        ("'abc 123 def 123'.findAll('123', 1)", 2, 2),
        ("quantity('12Mi')", 1, 1),
        ("quantity('50M').isLessThan(quantity('50Mi'))", 3, 3),
        ("quantity('50k').add(20).sub(quantity('100k')).sub(-50000).asInteger() > 0", 7, 7),
        ("quantity('200M') == quantity('200M')", 3, 3),
        ("sets.contains([1, 2, 3, 4], [2, 3])", 29, 29),
        ("sets.contains([[1], [2, 3]], [[2, 3]])", 53, 53),
        ("sets.equivalent([1, 2, 3], [3, 2, 1])", 39, 39),
        ("!sets.contains([1], [2])", 23, 23),
    ],
)
def test_expressions_of_constants(expression: str, estimated: int, actual: int) -> None:
    compiled = Environment({}, Nothing()).compile(expression)
    assert compiled.cost(lambda path: None) == estimated
    assert compiled.program().run({}, limit=1000, clock=Clock(1))[1] == actual


class Nothing:
    """No objects."""

    def field_type(self, name: str, field: str) -> Type | None:
        return None


def test_loops_within_loops() -> None:
    assert cost(array(NUMBER), "self.all(x, self.all(y, true))") > 10**12
    assert cost(array(NUMBER, 10), "self.all(x, self.all(y, true))") == 352
    assert cost(array(NUMBER, 10), "self.all(x, self.all(y, self.all(z, true)))") == 3552
