"""Quantities: upstream's canonical form, and that reading what was written changes nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery import quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.1Gi", "107374182400m"),
        ("-1Ki", "-1Ki"),
        ("1000", "1k"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e6", "12e6"),
        ("1E", "1E"),
        (".", "0"),
        ("k", "0"),
        ("0.1n", "1n"),
        ("1000000n", "1m"),
        ("100E", "9223372036854775807"),
        (2, "2"),
        (0.1, "100m"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "quantities must match the regular expression"),
        ("x", "quantities must match the regular expression"),
        ("1 Gi", "quantities must match the regular expression"),
        ("1.2.3", "quantities must match the regular expression"),
        ("1.kk", "unable to parse quantity's suffix"),
        ("Gi", "unable to parse numeric part of quantity"),
        ("1KiB", "quantities must match"),
        ("1kk", "unable to parse quantity's suffix"),
        ("1i", "unable to parse quantity's suffix"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantity.parse(text)


def test_values_round_up() -> None:
    assert quantity.value("100m") == 1
    assert quantity.value("1Ki") == 1024
    assert quantity.milli_value("1500u") == 2
    assert quantity.milli_value("250m") == 250


NUMBER = st.one_of(st.integers(-(10**9), 10**9).map(str), st.from_regex(r"-?[0-9]{1,4}\.[0-9]{1,4}", fullmatch=True))
SUFFIX = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2", "e9"])


@given(NUMBER, SUFFIX)
def test_canonical_form_is_stable_and_loses_nothing(number: str, suffix: str) -> None:
    amount = quantity.parse(number + suffix)
    written = quantity.canonical(number + suffix)
    assert quantity.parse(written) == amount
    assert quantity.canonical(written) == written
    assert "." not in written


@given(st.integers(0, 2**63 - 1), st.sampled_from(["BinarySI", "DecimalSI", "DecimalExponent"]))
def test_every_integer_survives_every_format(number: int, format: quantity.Format) -> None:
    assert quantity.parse(quantity.format_quantity(Decimal(number), format)) == number
