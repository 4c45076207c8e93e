"""The list of what must be covered names files that exist."""

from __future__ import annotations

import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def test_each_pattern_of_the_pure_cores_matches_a_file() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    patterns = settings["tool"]["coverage"]["report"]["include"]
    assert [pattern for pattern in patterns if not list(REPOSITORY.glob(pattern))] == []
