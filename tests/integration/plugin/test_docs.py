"""The Python of docs/testing.md, of the README's tests, and the demo's operator made with kopf, do what they say.

In one run, for what costs most is that the client libraries are imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "testing.md"
OPERATOR = REPOSITORY / "demo" / "operator"


def test_the_examples_run(pytester: pytest.Pytester, run: Callable[..., pytest.RunResult]) -> None:
    for file in OPERATOR.iterdir():
        if file.is_file():
            (pytester.path / file.name).write_text(file.read_text())
    blocks = [block for page in (PAGE, REPOSITORY / "README.md") for block in examples(page)]
    for number, block in enumerate(blocks):
        (pytester.path / f"test_block_{number}.py").write_text(block)
    blocks.append((OPERATOR / "test_pages.py").read_text())
    count = sum(len(re.findall(r"^def test_", block, re.MULTILINE)) for block in blocks)
    assert count > 11
    run().assert_outcomes(passed=count)


def examples(page: Path) -> list[str]:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [block for block in blocks if "def test_" in block]


def test_the_table_of_settings_is_complete(run: Callable[..., pytest.RunResult]) -> None:
    text = re.sub(r"\s+", " ", run("--help").stdout.str())
    rows = re.findall(r"^\| `(--kube-[a-z-]+)` \| `(kube_[a-z_]+)` \| `(.*?)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len(set(re.findall(r"--kube-[a-z-]+", text)))
    for option, ini, default in rows:
        assert re.search(rf"{option}=\S+ .*?\(default: {re.escape(default)}; ini: {ini}\)", text)
