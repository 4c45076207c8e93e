"""What YAML means upstream: go-yaml v2's scalars, keys, tags, merges and limits."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.schema.yamlbody import YamlError, load

SCALARS: list[tuple[str, Any]] = [
    ("", None), ("~", None), ("null", None), ("NULL", None), ("nULL", "nULL"),
    ("true", True), ("y", True), ("On", True), ("no", False), ("off", False), ("yEs", "yEs"), ("nope", "nope"),
    ("0", 0), ("-0", 0), ("7", 7), ("+7", 7), ("-12", -12), ("1_000", 1000), ("007", 7), ("08", 8), ("0o17", 15),
    ("0x1F", 31), ("-0x1f", -31), ("0b101", 5), ("0b102", "0b102"), ("0x", "0x"), ("9223372036854775807", 2**63 - 1),
    ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)), ("18446744073709551616", 2**64),
    ("+18446744073709551615", 2**64), ("0x10000000000000000", "0x10000000000000000"),
    ("1.0", 1), ("1.5", 1.5), (".5", 0.5), ("1.", 1), ("-1.5e3", -1500), ("1e3", 1000), ("1e400", "1e400"),
    ("1" * 400, "1" * 400), ("+", "+"), ("1.2.3", "1.2.3"), ("²", "²"),
    ("1:30", "1:30"), ("190:20:30.15", "190:20:30.15"), ("2020-01-01", "2020-01-01"), ("<<", "<<"),
    ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"), ("'1'", "1"), ('"true"', "true"), ("! 12", 12),
    ("!!str 12", "12"), ("!!int 12", 12), ("!!float 12", 12), ("!!float 1.5", 1.5), ("!!bool y", True),
    ("!!null ''", None), ("!!binary aGk=", "hi"), ("!!binary /w==", "\ufffd"), ("!!timestamp 2020-01-01", "2020-01-01"),
    ("!foo 12", "12"), ("!!python/object:os.system x", "x"), ("!!set {a}", {"a": None}), ("!!omap [a: 1]", [{"a": 1}]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars(text: str, value: Any) -> None:
    found = load(f"a: {text}".encode()).value["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!timestamp x", "yaml: cannot decode !!str `x` as a !!timestamp"),
        ("!!int x", "yaml: cannot decode !!str `x` as a !!int"),
        ("!!bool 1", "yaml: cannot decode !!int `1` as a !!bool"),
        ("!!int 1.5", "yaml: cannot decode !!float `1.5` as a !!int"),
        ("!!binary x", "yaml: !!binary value contains invalid base64 data"),
        (".nan", "json: unsupported value: NaN"),
        ("-.Inf", "json: unsupported value: -Inf"),
        ("{<<: 1}", "yaml: map merge requires map or sequence of maps as the value"),
        ("{[a]: 1}", "yaml: invalid map key: a list or map"),
        ("{~: 1}", "Unsupported map key of type: %!s(<nil>), key: <nil>"),
        ("&a [*a]", "yaml: anchor value contains itself"),
        ("&a {b: {<<: *a}}", "yaml: anchor value contains itself"),
        ("*x", "yaml: line 1: found undefined alias"),
    ],
)
def test_what_has_no_json_form(text: str, words: str) -> None:
    with pytest.raises(YamlError) as caught:
        load(f"a: {text}".encode())
    assert str(caught.value) == words


def test_keys_are_strings() -> None:
    assert load(b"{1: a, true: b, 1.5: c, 2.0: d, no: e}").value == {
        "1": "a", "true": "b", "1.5": "c", "2": "d", "false": "e",
    }  # fmt: skip


def test_merges() -> None:
    text = b"{base: &b {a: 1, b: 2}, other: &o {a: 3, c: 4}, one: {<<: *b, b: 5}, two: {<<: [*b, *o]}}"
    value, duplicates = load(text)
    assert value["one"] == {"a": 1, "b": 5}
    assert value["two"] == {"a": 1, "b": 2, "c": 4}  # of a list the first counts
    assert duplicates == []


def test_keys_that_occur_twice() -> None:
    value, duplicates = load(b"a: 1\nb:\n  c: 1\n  c: 2\na: 2\n")
    assert value == {"a": 2, "b": {"c": 2}}
    assert duplicates == ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']


def test_only_the_first_document_is_read() -> None:
    assert load(b"a: 1\n---\nb: {").value == {"a": 1}
    assert load(b"# nothing").value is None


def laughs(width: int, depth: int) -> bytes:
    lines = [b"a0: &a0 [" + b",".join([b"x"] * width) + b"]"]
    lines += [b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * width)) for n in range(1, depth)]
    return b"\n".join(lines)


def test_aliases_are_expanded_within_upstreams_limit() -> None:
    assert len(load(laughs(9, 3)).value["a2"]) == 9
    with pytest.raises(YamlError, match="document contains excessive aliasing"):
        load(laughs(9, 9))


def test_a_document_of_very_many_nodes_is_for_json() -> None:
    assert len(load(b"[" + b"1," * 100_000 + b"]").value) == 100_000
    with pytest.raises(YamlError, match="document has more than 300000 nodes: send it as JSON"):
        load(b"[" + b"1," * 400_000 + b"]")
