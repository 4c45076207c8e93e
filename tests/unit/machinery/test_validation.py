"""Names and values, with v1.32's messages (taken from what its API server answers)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from machinery import validation as v

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (v.is_dns1123_label, ["a", "a-1", "1a", "x" * 63]),
        (v.is_dns1123_subdomain, ["a.b-c.1", "x" * 253]),
        (v.is_dns1035_label, ["a", "a-1"]),
        (v.is_qualified_name, ["a", "A_b.c", "example.com/A"]),
        (v.is_label_value, ["", "a", "A_b.c-1"]),
        (v.is_port_name, ["http", "a-1", "1a"]),
        (v.is_env_var_name, ["A", "a.b-c", "1A", "a b"]),
        (v.is_config_map_key, ["a", ".b", "a..b"]),
        (v.is_ip, ["10.0.0.1", "::1"]),
        (v.is_cidr, ["10.0.0.0/8"]),
    ],
)
def test_good(check: Callable[[Any], list[str]], good: Any) -> None:
    for value in good:
        assert check(value) == []


@pytest.mark.parametrize(
    ("check", "value", "messages"),
    [
        (v.is_dns1123_subdomain, "Upper", [SUBDOMAIN]),
        (v.is_dns1123_subdomain, "a\n", [SUBDOMAIN]),
        (v.is_dns1123_label, "a_b", [LABEL]),
        (v.is_dns1123_label, "a.b", ["must not contain dots"]),
        (v.is_dns1123_label, "x" * 64, ["must be no more than 63 characters"]),
        (v.is_label_value, "-", [VALUE]),
        (v.is_qualified_name, "/a", ["prefix part must be non-empty"]),
        (v.is_port_name, "1", ["must contain at least one letter (a-z)"]),
        (v.is_port_name, "a--b-", ["must not contain consecutive hyphens", "must not begin or end with a hyphen"]),
        (v.is_port_number, 0, ["must be between 1 and 65535, inclusive"]),
        (v.is_config_map_key, "..", ["must not be '..'"]),
        (v.is_config_map_key, "..a", ["must not start with '..'"]),
        (v.is_ip, "1.2.3", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        (v.is_cidr, "1.2.3.4", ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
    ],
)
def test_bad(check: Callable[[Any], list[str]], value: Any, messages: list[str]) -> None:
    assert check(value) == messages


def test_qualified_name_says_which_part() -> None:
    empty, pattern = v.is_qualified_name("example.com/")
    assert empty == "name part must be non-empty"
    assert pattern.startswith("name part must consist of alphanumeric characters")
    (message,) = v.is_qualified_name("a/b/c")
    assert message.endswith("with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.1.1.1", "10.1.1.1"),
        ("010.1.1.01", "10.1.1.1"),  # decimal, not octal
        ("0.0.0.0", "0.0.0.0"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:010.1.1.1", "::ffff:a01:101"),
    ],
)
def test_addresses_are_read_as_upstream_reads_them(text: str, canonical: str) -> None:
    found = v.parse_ip(text)
    assert found == ipaddress.ip_address(canonical)
    assert v.is_ip(text) == []


@pytest.mark.parametrize(
    "text", ["", "10.1.1", "10.1.1.256", "10.1.1.1/8", "fe80::1%eth0", "1²7.0.0.1", "10..1.1", " 10.1.1.1"]
)
def test_what_is_no_address(text: str) -> None:
    assert v.is_ip(text) == ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3/8", True),
        ("010.0.0.0/08", True),
        ("2001:db8::/64", True),
        ("10.0.0.0/33", False),
        ("10.0.0.0/100000008", False),
        ("10.0.0.0/255.0.0.0", False),  # what Python's ipaddress takes, too
        ("10.0.0.0", False),
        ("10.0.0.0/", False),
        ("10.0.0.0/²", False),
    ],
)
def test_cidrs(text: str, valid: bool) -> None:
    assert (v.is_cidr(text) == []) is valid
