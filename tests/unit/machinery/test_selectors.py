"""Label and field selectors: grammar, matching, messages, and the laws that every selector keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery.errors import BadRequest
from machinery.selectors import (
    EVERYTHING,
    NOTHING,
    FieldSelector,
    FieldTerm,
    Requirement,
    Selector,
    from_label_selector,
    from_map,
    parse_field_selector,
    parse_selector,
)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("a=1", [{"a": "1", "b": "2"}], [{}, {"a": "2"}]),
        ("a==1", [{"a": "1"}], [{"a": "2"}]),
        ("a!=1", [{}, {"a": "2"}], [{"a": "1"}]),
        ("a in (1, 2)", [{"a": "1"}, {"a": "2"}], [{}, {"a": "3"}]),
        ("a notin (1,2)", [{}, {"a": "3"}], [{"a": "1"}]),
        ("a", [{"a": ""}, {"a": "1"}], [{}]),
        ("!a", [{}], [{"a": ""}]),
        ("a,!b , c in (x,)", [{"a": "1", "c": ""}], [{"a": "1", "b": "", "c": "x"}]),
        ("a>5", [{"a": "6"}], [{"a": "5"}, {"a": "x"}, {}]),
        ("a<5", [{"a": "-4"}], [{"a": "5"}]),
        ("a=", [{"a": ""}], [{}, {"a": "1"}]),
        ("in in (in,notin)", [{"in": "notin"}], [{"in": "x"}]),
        ("a in ()", [{"a": ""}], [{}, {"a": "x"}]),
        ("", [{}, {"a": "1"}], []),
        ("example.com/a=b", [{"example.com/a": "b"}], [{}]),
    ],
)
def test_matching(text: str, yes: list[dict[str, str]], no: list[dict[str, str]]) -> None:
    selector = parse_selector(text)
    assert all(selector.matches(labels) for labels in yes)
    assert not any(selector.matches(labels) for labels in no)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (=", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_selector(text)
    assert caught.value.message == message


def test_bad_key_and_bad_value() -> None:
    with pytest.raises(BadRequest, match=r'^unable to parse requirement: <nil>: Invalid value: "-a": name part must'):
        parse_selector("-a=1")
    with pytest.raises(
        BadRequest, match=r'^unable to parse requirement: values\[0\]\[a\]: Invalid value: "-": a valid'
    ):
        parse_selector("a=-")
    with pytest.raises(BadRequest, match="the value must be an integer"):
        parse_selector("a>x")


def test_label_selector_objects() -> None:
    assert from_label_selector(None) == NOTHING
    assert from_label_selector({}) == EVERYTHING
    assert not NOTHING.matches({})
    both = {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["x"]}]}
    assert from_label_selector(both).matches({"a": "1"})
    assert not from_label_selector(both).matches({"a": "1", "b": "x"})
    with pytest.raises(BadRequest, match=r'^"Near" is not a valid label selector operator$'):
        from_label_selector({"matchExpressions": [{"key": "b", "operator": "Near"}]})
    with pytest.raises(BadRequest, match="values set can't be empty"):
        from_label_selector({"matchExpressions": [{"key": "b", "operator": "In"}]})


WORD = st.from_regex("[A-Za-z0-9]([A-Za-z0-9_.-]{0,5}[A-Za-z0-9])?", fullmatch=True)
VALUE = st.one_of(st.just(""), WORD)
REQUIREMENT = st.one_of(
    st.builds(Requirement, WORD, st.sampled_from(["=", "==", "!="]), st.tuples(VALUE)),
    st.builds(
        Requirement,
        WORD,
        st.sampled_from(["in", "notin"]),
        st.lists(VALUE, min_size=1, max_size=3, unique=True).map(sorted).map(tuple),
    ),
    st.builds(Requirement, WORD, st.sampled_from(["exists", "!"])),
    st.builds(Requirement, WORD, st.sampled_from(["gt", "lt"]), st.tuples(st.integers(0, 99).map(str))),
)
LABELS = st.dictionaries(WORD, VALUE, max_size=4)


@given(st.lists(REQUIREMENT, max_size=4))
def test_what_is_written_is_read_back(requirements: list[Requirement]) -> None:
    selector = Selector(requirements)
    assert parse_selector(str(selector)) == selector


@given(LABELS, LABELS)
def test_a_map_selects_exactly_its_supersets(wanted: dict[str, str], labels: dict[str, str]) -> None:
    assert from_map(wanted).matches(labels) == (wanted.items() <= labels.items())
    assert from_map(wanted).matches({**labels, **wanted})


@given(REQUIREMENT, LABELS)
def test_opposites(requirement: Requirement, labels: dict[str, str]) -> None:
    opposite = {"=": "!=", "==": "!=", "!=": "=", "in": "notin", "notin": "in", "exists": "!", "!": "exists"}
    if requirement.operator in opposite:
        other = Requirement(requirement.key, opposite[requirement.operator], requirement.values)
        assert requirement.matches(labels) != other.matches(labels)


@given(st.text("ab=!(),<> in", max_size=12))
def test_any_text_is_a_selector_or_a_bad_request(text: str) -> None:
    try:
        parse_selector(text)
    except BadRequest as error:
        assert error.message


def test_field_selectors() -> None:
    selector = parse_field_selector("spec.nodeName=n1,status.phase!=Running")
    assert selector.matches({"spec.nodeName": "n1", "status.phase": "Pending"})
    assert not selector.matches({"spec.nodeName": "n1", "status.phase": "Running"})
    assert selector.exact("spec.nodeName") == "n1"
    assert selector.exact("status.phase") is None
    assert parse_field_selector("spec.nodeName=").matches({})
    assert parse_field_selector("").empty


FIELD = st.from_regex("[a-z]+(\\.[a-z]+)?", fullmatch=True)


@given(st.lists(st.builds(FieldTerm, FIELD, st.sampled_from(["=", "!="]), st.text("a,=\\!x", max_size=4)), max_size=3))
def test_field_selectors_are_read_back(terms: list[FieldTerm]) -> None:
    selector = FieldSelector(terms)
    assert parse_field_selector(str(selector)).terms == selector.terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: b=c"),
        ("a=\\n", "invalid field selector: invalid escape sequence: \\n"),
    ],
)
def test_field_selector_messages(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_field_selector(text)
    assert caught.value.message == message


def test_unknown_fields() -> None:
    selector = parse_field_selector("spec.x=1")
    with pytest.raises(BadRequest, match=r"^field label not supported: spec.x$"):
        selector.check_fields({"metadata.name", "metadata.namespace", "spec.nodeName"})
    with pytest.raises(
        BadRequest, match=r'^"spec.x" is not a known field selector: only "metadata.name", "metadata.na'
    ):
        selector.check_fields({"metadata.name", "metadata.namespace"})
