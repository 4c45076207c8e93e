"""Rules in CEL: what may be written, and what breaks them (upstream: schema/cel validation_test.go)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from apiserver.crdschema.celcheck import check_rules
from apiserver.crdschema.celrules import rules_of
from apiserver.crdschema.celtypes import escape

FIELDS = yaml.safe_load("""
min: {type: integer}
max: {type: integer}
name: {type: string, maxLength: 20}
ratio: {type: number}
at: {type: string, format: date-time}
for: {type: string, format: duration}
bytes: {type: string, format: byte, maxLength: 20}
port: {x-kubernetes-int-or-string: true}
maybe: {type: string, nullable: true, maxLength: 20}
tags: {type: array, maxItems: 1000, items: {type: string, maxLength: 20}}
few: {type: array, maxItems: 9, items: {type: string, maxLength: 20}}
set: {type: array, x-kubernetes-list-type: set, maxItems: 9, items: {type: string, maxLength: 20}}
dash-ed: {type: string, maxLength: 20}
labels: {type: object, maxProperties: 9, additionalProperties: {type: string, maxLength: 20}}
lists: {type: object, maxProperties: 9, additionalProperties: {type: array, maxItems: 9, items: {type: integer}}}
grid: {type: array, maxItems: 9, items: {type: array, maxItems: 9, items: {type: integer}}}
namespace: {type: string, maxLength: 20}
atomic:
  type: object
  x-kubernetes-map-type: atomic
  properties: {a: {type: integer}}
any: {type: object, x-kubernetes-preserve-unknown-fields: true}
inner:
  type: object
  x-kubernetes-embedded-resource: true
  x-kubernetes-preserve-unknown-fields: true
parts:
  type: array
  maxItems: 9
  x-kubernetes-list-type: map
  x-kubernetes-list-map-keys: [name]
  items: {type: object, required: [name], properties: {name: {type: string, maxLength: 20}, size: {type: integer}}}
""")


COMPILATION = "rule: compilation failed: ERROR: <input>"


def schema(*rules: Any, inside: str = "") -> Any:
    """A schema with rules at its root, or at a field (an element's, with brackets)."""
    listed = [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]
    whole: Any = {"type": "object", "properties": yaml.safe_load(yaml.safe_dump(FIELDS))}
    place = whole if not inside else whole["properties"][inside.removesuffix("[]")]
    if inside.endswith("[]"):
        place = place["items"]
    place["x-kubernetes-validations"] = listed
    return whole


def refused(*rules: Any, inside: str = "") -> list[str]:
    return [
        f"{error.field.partition('s[0].')[2]}: {error.detail}"
        for error in check_rules("s", schema(*rules, inside=inside))
    ]


def broken(rule: Any, obj: Any, old: Any = None, *, inside: str = "") -> list[str]:
    whole = schema(rule, inside=inside)
    assert list(check_rules("s", whole)) == []
    rules = rules_of(whole)
    assert rules is not None
    return [str(error) for error in rules.check(obj, old)]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("self.min <= self.max", {"min": 1, "max": 2}, {"min": 3, "max": 2}),
        ("!has(self.name) || self.name.startsWith('a')", {}, {"name": "b"}),
        ("self.ratio / 2.0 < 1.0", {"ratio": 1}, {"ratio": 2}),
        ("self.at > timestamp('2020-01-01T00:00:00Z')", {"at": "2021-01-01T00:00:00Z"}, {"at": "2019-01-01T00:00:00Z"}),
        ("self.__for__ < duration('1h')", {"for": "59m"}, {"for": "1h1m"}),
        ("self.bytes == b'abc'", {"bytes": "YWJj"}, {"bytes": "YWJk"}),
        ("type(self.port) == int || self.port == 'http'", {"port": 80}, {"port": "x"}),
        ("!has(self.maybe) || self.maybe == 'a'", {"maybe": None}, {"maybe": "b"}),
        ("self.ratio > 0 && self.min < 1.5", {"ratio": 1, "min": 1}, {"ratio": 0, "min": 1}),
        ("self.namespace == self.__namespace__ && self.namespace != 'x'", {"namespace": "a"}, {"namespace": "x"}),
        (
            "self.set == ['a', 'b'] && self.set + ['a', 'c'] == ['c', 'b', 'a']",
            {"set": ["b", "a"]},
            {"set": ["a", "c"]},
        ),
        (
            "(self.parts + [self.parts[1]]).size() == 2 && self.parts == self.parts",
            {"parts": [{"name": "a"}, {"name": "b"}]},
            {"parts": [{"name": "a"}, {"name": "b"}, {"name": "c"}]},
        ),
        (
            "self.inner.kind == 'Pod' && self.inner.metadata.name == 'a' && !has(self.inner.metadata.generateName)",
            {"inner": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}},
            {"inner": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}}},
        ),
        ("self.any == self.any && self.atomic.a == 1", {"any": {"x": 1}, "atomic": {"a": 1}}, {"atomic": {"a": 2}}),
        ("self.tags.all(t, size(t) < 3) && self.tags.isSorted()", {"tags": ["a", "b"]}, {"tags": ["b", "a"]}),
        ("self.dash__dash__ed == 'x'", {"dash-ed": "x"}, {"dash-ed": "y"}),
        ("self.labels.all(k, k.matches('^[a-z]+$'))", {"labels": {"a": "1"}}, {"labels": {"A": "1"}}),
        ("self.lists.all(k, self.lists[k].sum() == 3)", {"lists": {"a": [1, 2]}}, {"lists": {"a": [1]}}),
        ("self.grid.all(row, row.max() < 3)", {"grid": [[1, 2]]}, {"grid": [[3]]}),
        ("self.parts.exists_one(p, p.name == 'a' && p.size > 1)", {"parts": [{"name": "a", "size": 2}]}, {"parts": []}),
        (
            "self.metadata.name == 'x' && self.kind == 'K'",
            {"kind": "K", "metadata": {"name": "x"}},
            {"kind": "K", "metadata": {"name": "y"}},
        ),
        (
            "isQuantity(self.name) && quantity(self.name).isGreaterThan(quantity('1Gi'))",
            {"name": "2Gi"},
            {"name": "1000Mi"},
        ),
        ("quantity(self.name).add(quantity('1')) == quantity('1.5')", {"name": "500m"}, {"name": "501m"}),
        (
            "isURL(self.name) && url(self.name).getHost() == 'a.b:1'",
            {"name": "https://a.b:1/c"},
            {"name": "https://a.b/c"},
        ),
        ("isIP(self.name) && cidr('10.0.0.0/8').containsIP(ip(self.name))", {"name": "10.1.1.1"}, {"name": "11.1.1.1"}),
        ("self.name.find('[0-9]+') == '12'", {"name": "a12b"}, {"name": "ab"}),
        ("self.name.split(',') == ['a', 'b']", {"name": "a,b"}, {"name": "a"}),
        ("'%s:%d'.format([self.name, self.min]) == 'a:1'", {"name": "a", "min": 1}, {"name": "a", "min": 2}),
        ("sets.contains(['a', 'b'], self.tags)", {"tags": ["a"]}, {"tags": ["c"]}),
        ("self.?name.orValue('a') == 'a'", {}, {"name": "b"}),
    ],
)
def test_rules(rule: str, good: Any, bad: Any) -> None:
    assert broken(rule, good) == []
    assert broken(rule, bad) == [f'<nil>: Invalid value: "object": failed rule: {rule}']


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("self.nope > 1", COMPILATION + ":1:5: undefined field 'nope'\n | self.nope > 1\n | ....^"),
        (
            "self.min > 'a'",
            COMPILATION
            + ":1:10: found no matching overload for '_>_' applied to '(int, string)'\n"
            + " | self.min > 'a'\n | .........^",
        ),
        (
            "unheard(self)",
            COMPILATION + ":1:8: undeclared reference to 'unheard' (in container '')\n | unheard(self)\n | .......^",
        ),
        ("self.min", "rule: cel expression must evaluate to a bool"),
        ("  ", "rule: rule is not specified"),
        ({"rule": "true\n&& true"}, "message: message must be specified if rule contains line breaks"),
        ({"rule": "true", "message": "a\nb"}, "message: message must not contain line breaks"),
        ({"rule": "true", "messageExpression": "1"}, "messageExpression: messageExpression must evaluate to a string"),
        (
            {"rule": "true", "fieldPath": ".x"},
            "fieldPath: fieldPath must be a valid path: does not refer to a valid field",
        ),
        ({"rule": "true", "optionalOldSelf": True}, "optionalOldSelf: may not be set if oldSelf is not used in rule"),
    ],
)
def test_what_may_not_be_written(rule: Any, why: str) -> None:
    assert refused(rule) == [why]


def test_transitions() -> None:
    rule = {"rule": "self.name == oldSelf.name", "message": "name is immutable", "fieldPath": ".name"}
    assert broken(rule, {"name": "a"}) == []
    assert broken(rule, {"name": "b"}, {"name": "a"}) == ['name: Invalid value: "object": name is immutable']
    optional = {"rule": "!oldSelf.hasValue() || oldSelf.value().min <= self.min", "optionalOldSelf": True}
    assert broken(optional, {"min": 1}) == []
    assert broken(optional, {"min": 2}, {"min": 1}) == []
    assert len(broken(optional, {"min": 0}, {"min": 1})) == 1


def test_elements_are_compared_where_they_can_be_told_apart() -> None:
    rule = {"rule": "self.size >= oldSelf.size", "message": "may not shrink"}
    old, new = (
        [{"name": "a", "size": 1}, {"name": "b", "size": 5}],
        [{"name": "b", "size": 4}, {"name": "a", "size": 1}],
    )
    assert broken(rule, {"parts": new}, {"parts": old}, inside="parts[]") == [
        'parts[0]: Invalid value: "object": may not shrink'
    ]
    assert refused("self == oldSelf", inside="few[]") == [
        "rule: oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[few]"
    ]


def nested(*kinds: str) -> Any:
    """A schema of lists and maps inside each other, with a rule on ``oldSelf`` inside of all."""
    inner: Any = {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}
    for kind in reversed(kinds):
        form, _, name = kind.partition(" ")
        if form == "list":
            inner = {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": inner}}
            inner = {"type": "array", "maxItems": 2, "items": inner, "x-kubernetes-list-type": name or "atomic"}
            inner |= {"x-kubernetes-list-map-keys": ["k"]} if name == "map" else {}
        elif form == "map":
            inner = {"type": "object", "maxProperties": 2, "additionalProperties": inner}
            inner |= {"x-kubernetes-map-type": name} if name else {}
        else:
            inner = {"type": "object", "properties": {"v": inner}} | ({"x-kubernetes-map-type": name} if name else {})
    return {"type": "object", "properties": {"v": inner}}


@pytest.mark.parametrize(
    ("kinds", "within"),
    [
        (("object",), ""),
        (("object atomic", "map atomic"), ""),
        (("map granular", "object granular"), ""),
        (("list map", "object atomic"), ""),
        (("list map", "list map"), ""),
        (("list",), "s.properties[v]"),
        (("list atomic", "list map"), "s.properties[v]"),
        (("list map", "list set"), "s.properties[v].items.properties[v]"),
        (("object", "list set", "list atomic"), "s.properties[v].properties[v]"),
        (("map", "list"), "s.properties[v].additionalProperties"),
    ],
)
def test_where_old_values_are_known(kinds: tuple[str, ...], within: str) -> None:
    why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {within}"
    assert [error.detail for error in check_rules("s", nested(*kinds))] == ([why] if within else [])


def test_the_value_of_an_error_is_the_rule_as_go_prints_it() -> None:
    [error] = check_rules("s", schema({"rule": "self.nope", "message": "no"}))
    assert error.body().startswith(
        'Invalid value: apiextensions.ValidationRule{Rule:"self.nope", Message:"no", MessageExpression:"", '
        'Reason:(*apiextensions.FieldValueErrorReason)(nil), FieldPath:"", OptionalOldSelf:(*bool)(nil)}: '
        "compilation failed: ERROR: <input>:1:5: undefined field 'nope'"
    )


ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def test_rules_that_may_cost_too_much() -> None:
    unbounded: Any = {"type": "array", "items": {"type": "string"}}
    rules = [{"rule": "self.all(x, self.all(y, x == y))"}, {"rule": "self.all(x, x.contains('a'))"}]
    whole = {"type": "object", "properties": {"l": unbounded | {"x-kubernetes-validations": rules}}}
    path = "s.properties[l].x-kubernetes-validations"
    over = f"exceeds budget by factor of more than 100x {ADVICE}"
    contributed = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
    assert [str(error) for error in check_rules("s", whole)] == [
        f"{path}[0].rule: Forbidden: estimated rule cost {over}",
        f"{path}[1].rule: Forbidden: estimated rule cost {over}",
        f"{path}[0].rule: Forbidden: {contributed}",
        f"{path}[1].rule: Forbidden: {contributed}",
        f"s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema {over}",
    ]


@pytest.mark.parametrize(
    ("most", "factor"),
    [
        (1_000_000, ""),
        (2_000_000, ""),
        (2_100_000, "1.050000x"),
        (2_400_000, "1.200000x"),
        (4_000_000, "2.0x"),
        (None, ""),
    ],
)
def test_the_factor_of_a_cost(most: int | None, factor: str) -> None:
    limit = {} if most is None else {"maxItems": most}
    items = {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0 && self < 9 || self == 7"}]}
    found = [error.detail for error in check_rules("s", {"type": "array", "items": items, **limit})]
    # The rule costs 5, and without a limit there are at most as many as fit into a request.
    assert found == ([f"estimated rule cost exceeds budget by factor of {factor} {ADVICE}"] if factor else [])


def test_defaults_keep_to_rules() -> None:
    whole = schema("self.min <= self.max") | {"default": {"min": 2, "max": 1}}
    whole["properties"]["atomic"] |= {"default": {"a": 0}, "x-kubernetes-validations": [{"rule": "self.a > 0"}]}
    assert [str(error) for error in check_rules("s", whole)] == [
        's.default: Invalid value: "object": failed rule: self.min <= self.max',
        's.properties[atomic].default: Invalid value: "object": failed rule: self.a > 0',
    ]


def test_rules_without_a_type() -> None:
    whole = schema("true", inside="any")
    whole["properties"]["any"].pop("type")
    [error] = check_rules("s", whole)
    assert str(error) == (
        "s.properties[any].x-kubernetes-validations: Internal error: internal error: failed to construct type "
        "information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations"
    )


def test_messages_and_reasons() -> None:
    told = {"rule": "self.min > 0", "messageExpression": "'min is %d'.format([self.min])", "message": "no"}
    assert broken(told, {"min": 0}) == ['<nil>: Invalid value: "object": min is 0']
    fails = {"rule": "self.min > 0", "messageExpression": "'min is ' + self.name", "message": "positive, please"}
    assert broken(fails, {"min": 0}) == ['<nil>: Invalid value: "object": positive, please']
    forbidden = {"rule": "self.min > 0", "reason": "FieldValueForbidden", "fieldPath": ".min"}
    assert broken(forbidden, {"min": 0}) == ["min: Forbidden: failed rule: self.min > 0"]


@pytest.mark.parametrize(
    ("rule", "obj", "why"),
    [
        ("self.min > 1", {}, "no such key: min evaluating rule: self.min > 1"),
        ("self.max / self.min > 1", {"max": 1, "min": 0}, "division by zero evaluating rule: self.max / self.min > 1"),
        ("self.tags[3] == 'a'", {"tags": []}, "index out of bounds: 3 evaluating rule: self.tags[3] == 'a'"),
        (
            "self.port > 1",
            {"port": "a"},
            "'no such overload': call arguments did not match a supported operator, function or macro signature for "
            "rule: self.port > 1",
        ),
    ],
)
def test_what_fails_at_work(rule: str, obj: Any, why: str) -> None:
    assert broken(rule, obj) == [f'<nil>: Invalid value: "object": {why}']


def unchecked(rule: Any, obj: Any) -> list[str]:
    """What breaks a rule that was installed although it costs too much (by an earlier version, say)."""
    rules = rules_of(schema(rule))
    assert rules is not None
    return [str(error) for error in rules.check(obj, None)]


# It costs 10 units for each ten characters of the name, so that it reaches the limits in no time.
DEAR = "self.tags.all(a, !self.name.matches('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'))"


def test_a_rule_that_costs_too_much_ends() -> None:
    [error] = unchecked(DEAR, {"tags": ["a"] * 200, "name": "a" * 10_000})
    assert error == (
        "<nil>: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation "
        f"rules will be run due to call cost exceeds limit for rule: {DEAR}"
    )


def test_rules_share_a_budget() -> None:
    rules = rules_of(schema(*[DEAR] * 40))
    assert rules is not None
    obj: Any = {"tags": ["a"] * 90, "name": "a" * 10_000}
    assert [str(error) for error in rules.check(obj, None)] == [
        '<nil>: Invalid value: "object": validation failed due to running out of cost budget, no further validation '
        "rules will be run"
    ]
    few = rules_of(schema(*[DEAR] * 10))
    assert few is not None
    assert few.check(obj, None) == []


def test_what_is_inside_an_unchanged_list_may_stay() -> None:
    rule = {"rule": "self != 'a'"}
    assert broken(rule, {"few": ["a"]}, {"few": ["a"]}, inside="few[]") == []
    assert len(broken(rule, {"few": ["a", "b"]}, {"few": ["a"]}, inside="few[]")) == 1


def test_values_that_are_not_what_the_schema_says() -> None:
    """As after a change of the schema, which does not touch objects."""
    for obj, why in (
        ({"min": "x"}, "invalid data, expected int, got string"),
        ({"at": "x"}, "Invalid date-time formatted string x"),
        ({"for": "x"}, "Invalid duration formatted string x"),
        ({"tags": {}}, "invalid data, expected array"),
    ):
        [name] = obj
        field = f"self.__{name}__" if name == "for" else f"self.{name}"
        [error] = unchecked(f"{field} == {field}", obj)
        assert f'<nil>: Invalid value: "object": {why}' in error


def test_what_was_broken_before_the_rule_came_may_stay() -> None:
    old = {"parts": [{"name": "a", "size": 0}]}
    assert broken("self.size > 0", {**old, "name": "new"}, old, inside="parts[]") == []
    assert len(broken("self.size > 0", {"parts": [{"name": "a", "size": -1}]}, old, inside="parts[]")) == 1


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("a", "a"), ("a-b", "a__dash__b"), ("a.b/c", "a__dot__b__slash__c"), ("a__b", "a__underscores__b"), ("int", "int"),
     ("namespace", "__namespace__"), ("1a", ""), ("ä", "")],
)  # fmt: skip
def test_names_of_fields(name: str, escaped: str) -> None:
    assert escape(name) == escaped
