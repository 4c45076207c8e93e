"""Query parameters, read as Go reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.model import query as parameters
from apiserver.registry.options import check_table, check_write
from machinery.errors import BadRequest, Invalid


def test_the_first_value_counts() -> None:
    assert parameters.parse("a=1&a=2&b=&c") == {"a": "1", "b": "", "c": ""}
    assert parameters.values("a=1&b=3&a=2", "a") == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("", False), ("w=0", False), ("w=False", False), ("w", True), ("w=", True), ("w=True", True), ("w=no", True)],
)
def test_flags(text: str, value: bool) -> None:
    assert parameters.flag(parameters.parse(text), "w") is value


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers(number: int) -> None:
    assert parameters.int64(str(number)) == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid syntax"),
        ("1_0", "invalid syntax"),
        (" 1", "invalid syntax"),
        ("٣", "invalid syntax"),  # a digit, but not one of Go's
        ("9223372036854775808", "value out of range"),
        ("9" * 10_000, "value out of range"),
    ],
)
def test_what_is_no_number(text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        parameters.int64(text)


@pytest.mark.parametrize(
    ("verb", "query", "message"),
    [
        ("create", "dryRun=x", 'dryRun: Unsupported value: []string{"x"}: supported values: "All"'),
        ("update", "dryRun=", 'dryRun: Unsupported value: []string{""}: supported values: "All"'),
        (
            "create",
            "fieldValidation=x",
            'fieldValidation: Unsupported value: "x": supported values: "", "Ignore", "Strict", "Warn"',
        ),
        ("patch", "force=true", "force: Forbidden: may not be specified for non-apply patch"),
        ("create", "fieldManager=a%00", "invalid character U+0000 (at position 1)"),
        ("create", "fieldManager=" + "a" * 129, "fieldManager: Too long: may not be more than 128 bytes"),
    ],
)
def test_options_of_writes(verb: str, query: str, message: str) -> None:
    with pytest.raises(Invalid) as error:
        check_write(verb, parameters.parse(query), query, "application/merge-patch+json")
    assert error.value.message.startswith(f'{verb.title()}Options.meta.k8s.io "" is invalid: ')
    assert message in error.value.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    query = "dryRun=x&fieldValidation=y"
    with pytest.raises(Invalid) as error:
        check_write("create", parameters.parse(query), query, "application/json")
    assert error.value.details is not None and len(error.value.details["causes"]) == 2


def test_options_of_tables() -> None:
    assert [check_table({}), check_table({"includeObject": "None"})] == ["Metadata", "None"]
    with pytest.raises(BadRequest, match="Unable to convert to Table as requested: includeObject: Invalid value"):
        check_table({"includeObject": "All"})
