"""docs/reading.md is true: the files exist, have so many lines, and together stay within the core's budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest
import reading
from goldens import Goldens


def test_the_line_counts_are_those_of_the_files(goldens: Goldens) -> None:
    """``make record`` renews them."""
    goldens.compare(reading.renewed(), reading.PAGE)


def test_the_total_is_the_sum_and_within_the_budget() -> None:
    assert reading.core_total() == sum(reading.core().values()) <= reading.BUDGET


@pytest.mark.parametrize(
    ("files", "position"), [(reading.product, 0), (reading.tour, 1), (reading.core, 2)], ids=["all", "tour", "core"]
)
def test_the_readme_gives_the_sizes_about_right(files: Callable[[], Iterable[str]], position: int) -> None:
    said = re.findall(r"\*\*([\d,]+) lines\*\*", (reading.REPOSITORY / "README.md").read_text())[position]
    assert int(said.replace(",", "")) == pytest.approx(reading.counted(files()), rel=0.05)
