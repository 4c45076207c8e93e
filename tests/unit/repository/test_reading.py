"""docs/reading.md is true: the files exist, have so many lines, and together stay within the core's budget."""

from __future__ import annotations

import reading
from goldens import Goldens


def test_the_line_counts_are_those_of_the_files(goldens: Goldens) -> None:
    """``make record`` renews them."""
    goldens.compare(reading.renewed(), reading.PAGE)


def test_the_total_is_the_sum_and_within_the_budget() -> None:
    assert reading.core_total() == sum(reading.core().values()) <= reading.BUDGET
