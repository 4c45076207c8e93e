"""The tables of docs/reading.md: which files are the core, in reading order, and how much runs with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "docs" / "reading.md"
BUDGET = 8500  # lines of the core
_ROW = re.compile(r"^\| \[[^]]*\]\(\.\./([\w/.-]+\.py)\) \| ([\d,]+) \|", re.MULTILINE)
_CORE_TOTAL = re.compile(r"\*\*([\d,]+) lines\*\*")
_RUNNING_TOTAL = re.compile(r"at most \*\*([\d,]+) lines\*\*")


def core() -> dict[str, int]:
    """Return the core's files, in reading order, with the line counts that the page gives them."""
    rows = [(match[1], _number(match[2])) for match in _ROW.finditer(PAGE.read_text())]
    files = dict(rows)
    assert len(files) == len(rows), "a file stands in two rows"
    return files


def tour() -> list[str]:
    """Return the core's files that the page marks with a star."""
    return [file for file in core() if re.search(rf"\(\.\./{re.escape(file)}\) \| [\d,]+ \| ★", PAGE.read_text())]


def product() -> list[str]:
    """Return the Python files of the product: everything but tests, demo and benchmarks."""
    folders = ("apiserver", "cluster", "controllers", "kubelet", "machinery", "mini_minishift", "proxy", "sample-app")
    return [str(file.relative_to(REPOSITORY)) for name in folders for file in (REPOSITORY / name).rglob("*.py")]


def core_total() -> int:
    """Return the core's size as the page gives it."""
    return _total(_CORE_TOTAL)


def running_total() -> int:
    """Return the most lines that run in the core's cluster, as the page gives them."""
    return _total(_RUNNING_TOTAL)


def counted(files: Iterable[str]) -> int:
    """Return how many lines the files of the repository have together."""
    return sum(len((REPOSITORY / file).read_text().splitlines()) for file in files)


def renewed() -> str:
    """Return the page with the line counts that the files have now."""
    text = PAGE.read_text()
    for file in core():
        text = re.sub(rf"(\(\.\./{re.escape(file)}\) \| )[\d,]+ ", rf"\g<1>{counted([file]):,} ", text)
    return _CORE_TOTAL.sub(f"**{counted(core()):,} lines**", text, count=1)


def _total(pattern: re.Pattern[str]) -> int:
    found = pattern.search(PAGE.read_text())
    assert found, f"{PAGE} has no {pattern.pattern}"
    return _number(found[1])


def _number(text: str) -> int:
    return int(text.replace(",", ""))
