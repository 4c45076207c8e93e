"""Blocks of PEM, as Go's pem.Decode finds them; hostile texts take linear time."""

from __future__ import annotations

import time

import pytest

from machinery.pemcertificates import blocks, check_certificates, parse_request

A = b"-----BEGIN A-----\nYQ==\n-----END A-----"


@pytest.mark.parametrize(
    ("text", "types"),
    [
        (A, ["A"]),
        (A.replace(b"\n", b"\r\n"), ["A"]),
        (b"words\n" + A + b"\nmore words\n" + A.replace(b"A-", b"B-"), ["A", "B"]),
        (b"words " + A, []),
        (A.replace(b"END A", b"END B"), []),
        (A[:-1], []),
        (b"-----BEGIN A-----\n" + A, ["A"]),
        (b"-----BEGIN A\n" + A, ["A"]),
        (b"-----BEGIN A-----\n-----END A-----", ["A"]),
        (b"", []),
        (b"-----BEGIN A-----", []),
    ],
)
def test_blocks(text: bytes, types: list[str]) -> None:
    assert [block.type for block in blocks(text)] == types


def test_a_block_has_its_text_and_content() -> None:
    (block,) = blocks(b"x\n" + A + b"\n")
    assert (block.text, block.content) == (A, b"YQ==\n")


def test_messages() -> None:
    with pytest.raises(ValueError, match=r"^PEM block type must be CERTIFICATE REQUEST$"):
        parse_request(A)
    with pytest.raises(ValueError, match=r'^only CERTIFICATE PEM blocks are allowed, found "A"$'):
        check_certificates(A)


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN A-----\n" * 100_000,
        b"-----BEGIN A-----\n" * 100_000 + b"-----END B-----",
        b"-----BEGIN A" * 100_000,
        b"-----BEGIN A-----\n-----END B-----\n" * 50_000,
        b"".join(b"-----BEGIN %d-----\n" % number for number in range(100_000)),
        b"\n" * 1_000_000,
    ],
)
def test_hostile_texts(text: bytes) -> None:
    began = time.process_time()
    assert list(blocks(text)) == []
    assert time.process_time() - began < 1
