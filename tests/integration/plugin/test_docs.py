"""The Python of docs/testing.md does what the page says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"


def test_the_examples_run(pytester: pytest.Pytester, run: Callable[..., pytest.RunResult]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for number, block in enumerate(blocks):
        (pytester.path / f"test_block_{number}.py").write_text(block)
    tests = sum(block.count("\ndef test_") + block.startswith("def test_") for block in blocks)
    assert tests > 6
    run().assert_outcomes(passed=tests)


def test_the_table_of_settings_is_complete(run: Callable[..., pytest.RunResult]) -> None:
    text = re.sub(r"\s+", " ", run("--help").stdout.str())
    rows = re.findall(r"^\| `(--kube-[a-z-]+)` \| `(kube_[a-z_]+)` \| `(.*?)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len(set(re.findall(r"--kube-[a-z-]+", text)))
    for option, ini, default in rows:
        assert re.search(rf"{option}=\S+ .*?\(default: {re.escape(default)}; ini: {ini}\)", text)
